"""Pages for one's own access tokens."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from credentials import tokens
from credentials.models import AccessToken, Scope
from credentials.token_forms import TokenForm


@login_required
def tokens_list(request: HttpRequest) -> HttpResponse:
    own = AccessToken.objects.owned_by(request.user).select_related("credential")
    context = {"tokens": own, "scopes": Scope.choices}
    return render(request, "credentials/tokens.html", context)


@login_required
@never_cache
def token_new(request: HttpRequest) -> HttpResponse:
    """The token is in the answer to the form itself and kept nowhere: not even in the session."""
    form = TokenForm(request.POST or None, owner=request.user)
    if request.method == "POST" and form.is_valid() and (made := form.save()):
        row, token = made
        return render(request, "credentials/token_new.html", {"row": row, "token": token})
    status = 422 if form.errors else 200
    return render(request, "credentials/token_new.html", {"form": form}, status=status)


@login_required
@require_POST
def token_revoke(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(AccessToken.objects.owned_by(request.user), pk=pk)
    tokens.revoke_token(token=row)
    messages.success(request, f"Token {row.name} revoked: it opens nothing any more.")
    return redirect("credentials:tokens")
