"""The home page, and the answer to API addresses that don't exist."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from agents.models import AgentSession
from byom.errors import NOT_FOUND
from credentials.models import LLMCredential
from usage.summary import totals_of


def home(request: HttpRequest) -> HttpResponse:
    """What BYOM is, for visitors; where one stands and what to do next, for people signed in."""
    context: dict[str, object] = {"simulator": bool(settings.SIMULATOR_URL)}
    if request.user.is_authenticated:
        context |= {
            "credentials": LLMCredential.objects.owned_by(request.user).active(),
            "sessions": AgentSession.objects.owned_by(request.user)[:5],
            "totals": totals_of(request.user.pk),
        }
    return render(request, "home.html", context)


def unknown_api_address(request: HttpRequest) -> JsonResponse:
    return JsonResponse(NOT_FOUND, status=404)
