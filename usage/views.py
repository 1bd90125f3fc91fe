"""The page with one's own calls and what they cost."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from usage.models import UsageRecord

CALLS_PER_PAGE = 50


@login_required
def usage(request: HttpRequest) -> HttpResponse:
    own = UsageRecord.objects.visible_to(request.user)
    page = Paginator(own.select_related("credential"), CALLS_PER_PAGE).get_page(
        request.GET.get("page")
    )
    context = {"totals": own.totals(), "by_model": own.by_model(), "page": page}
    return render(request, "usage/usage.html", context)
