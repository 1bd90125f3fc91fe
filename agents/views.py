"""The chat pages."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from agents.advice import ENDS, advice_for, last_advice
from agents.clients import SelectionError
from agents.errors import SessionError
from agents.events import event_stream
from agents.forms import ChangeSessionForm, MessageForm, SearchForm, SessionForm
from agents.model_lists import listed_models
from agents.models import AgentSession, SessionStatus
from agents.offers import listed_on_offer, offers
from agents.services import cancel_turn, delete_session
from agents.transcript import transcript
from agents.turns import TURN_ERRORS, begin_turn, whole_turn
from byom.errors import own_error_body
from credentials.errors import CredentialError
from credentials.vault import Unreadable
from providers import registry
from providers.errors import ProviderError
from usage.accounts import Caller
from usage.admission import NotAdmitted
from usage.models import PaidBy, Surface

PAGE_SIZE = 25


@login_required
def sessions(request: HttpRequest) -> HttpResponse:
    found = AgentSession.objects.owned_by(request.user)
    form = SearchForm(request.GET)
    if form.is_valid():
        found = form.narrow(found)
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {"page": page, "sessions": page.object_list, "form": form}
    return render(request, "agents/sessions.html", context)


@login_required
def session_new(request: HttpRequest) -> HttpResponse:
    form = SessionForm(request.POST or None, owner=request.user)
    if request.method == "POST" and form.is_valid() and (session := form.save()):
        return redirect("agents:chat", pk=session.pk)
    context = {"form": form, "picker": form.picker}
    return render(request, "agents/new.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def offered_models(request: HttpRequest) -> JsonResponse:
    """For the picker: the models that an offer's key reaches, as its provider lists them now."""
    wanted = request.POST.get("offer", "")
    offer = next((each for each in offers(request.user) if each.value == wanted), None)
    if offer is None:
        return JsonResponse({"detail": "This key is not on offer.", "code": "invalid"}, status=400)
    try:
        caller = Caller(surface=Surface.AGENT, user_id=request.user.pk)
        names = async_to_sync(listed_models)(caller, offer.selection)
    except (ProviderError, NotAdmitted, Unreadable) as error:
        return JsonResponse(own_error_body(error), status=error.status)
    return JsonResponse({"models": [each.shown() for each in listed_on_offer(offer, names)]})


@login_required
def session_change(request: HttpRequest, pk: str) -> HttpResponse:
    """Another title, key, model, instruction or tool for a session that goes on."""
    session = get_object_or_404(AgentSession.objects.owned_by(request.user), pk=pk)
    form = ChangeSessionForm(request.POST or None, session=session)
    if form.is_bound and form.is_valid() and form.save():
        return redirect("agents:chat", pk=pk)
    context = {"form": form, "picker": form.picker, "session": session}
    return render(request, "agents/change.html", context, status=422 if form.errors else 200)


@login_required
def chat(request: HttpRequest, pk: str) -> HttpResponse:
    session = get_object_or_404(AgentSession.objects.owned_by(request.user), pk=pk)
    context = {
        "session": session,
        "entries": transcript(session),
        "form": MessageForm(),
        "labels": _labels(session),
        "advice": last_advice(session) if session.status == SessionStatus.FAILED else None,
    }
    return render(request, "agents/chat.html", context)


def _labels(session: AgentSession) -> dict[str, Any]:
    """How the page's script calls what a streamed turn only names."""
    providers = {name: registry.label(name) for name in registry.names()}
    return {
        "providers": providers,
        "paid_by": dict(PaidBy.choices),
        "advice": advice_for(session),
        "ends": {
            reason: {"code": code, "detail": detail} for reason, (code, detail) in ENDS.items()
        },
    }


@login_required
@require_POST
def send(request: HttpRequest, pk: str) -> HttpResponseBase:
    """One turn. The page's script asks for a stream; without it the page comes back whole."""
    session = get_object_or_404(AgentSession.objects.owned_by(request.user), pk=pk)
    wants_stream = request.headers.get("Accept", "").startswith("text/event-stream")
    form = MessageForm(request.POST)
    if not form.is_valid():
        return _refused(request, session, ValueError("Write a message first."), wants_stream)
    try:
        turn = begin_turn(session=session, text=form.cleaned_data["content"], surface=Surface.AGENT)
        if wants_stream:
            return event_stream(turn)
        async_to_sync(whole_turn)(turn)
    except (SelectionError, SessionError, CredentialError, *TURN_ERRORS) as error:
        return _refused(request, session, error, wants_stream)
    return redirect("agents:chat", pk=session.pk)


def _refused(
    request: HttpRequest, session: AgentSession, error: Exception, as_json: bool
) -> HttpResponse:
    if as_json:
        body = own_error_body(error) or {"detail": str(error), "code": "invalid"}
        return JsonResponse(body, status=getattr(error, "status", 400))
    messages.error(request, str(error))
    return redirect("agents:chat", pk=session.pk)


@login_required
@require_POST
def session_cancel(request: HttpRequest, pk: str) -> HttpResponse:
    """Stops the session's turn, wherever it runs."""
    session = get_object_or_404(AgentSession.objects.owned_by(request.user), pk=pk)
    if not cancel_turn(session=session):
        messages.info(request, "No answer was on its way any more.")
    return redirect("agents:chat", pk=session.pk)


@login_required
@require_POST
def session_delete(request: HttpRequest, pk: str) -> HttpResponse:
    session = get_object_or_404(AgentSession.objects.owned_by(request.user), pk=pk)
    delete_session(session=session)
    messages.success(request, "Conversation deleted. Its calls stay in your usage.")
    return redirect("agents:list")
