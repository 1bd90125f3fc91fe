"""Turns: one user message and all that follows from it.

`begin_turn` is what can be refused, and refuses before anything is stored. `stream_turn`
makes the call and tells what happens as events; `whole_turn` waits for the end.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from agents.calls import Answer, call
from agents.clients import Selection, select
from agents.errors import SessionEnded, TurnRunning
from agents.history import next_request
from agents.models import AgentSession, Message, Role, SessionStatus
from agents.tries import Plan
from credentials.models import AccessToken
from credentials.vault import Unreadable
from providers.errors import ProviderError
from providers.vocabulary import ChatRequest
from usage.admission import NotAdmitted
from usage.ledger import Caller, OpenCall, receipt
from usage.models import Surface, UsageRecord

TITLE_LENGTH = 60
TurnError = ProviderError | Unreadable | NotAdmitted
TURN_ERRORS = (ProviderError, Unreadable, NotAdmitted)


@dataclass(frozen=True, slots=True)
class Event:
    """`name` is started, delta, done or error; `data` is what a program gets as JSON."""

    name: str
    data: dict[str, Any]


@dataclass(slots=True)
class Turn:
    """A turn that has been let in. `text` is what the model has said so far."""

    id: uuid.UUID
    session: AgentSession
    selection: Selection
    request: ChatRequest
    caller: Caller
    user_message: Message
    call_id: uuid.UUID = field(default_factory=uuid.uuid4)
    text: str = ""
    error: TurnError | None = field(default=None)


def begin_turn(
    *, session: AgentSession, text: str, surface: Surface, token: AccessToken | None = None
) -> Turn:
    """Selects the key, claims the session and stores the user's message.

    Raises what `agents.clients.select` raises, SessionEnded and TurnRunning; then nothing
    has been stored.
    """
    if session.status == SessionStatus.TERMINATED:
        raise SessionEnded(reason=session.reason or "it was terminated.")
    selection = select(
        user=session.owner,
        pinned_id=session.credential_id or (token.credential_id if token else None),
        provider=session.provider,
        model=session.model,
        policy=session.policy,
    )
    turn_id = uuid.uuid4()
    with transaction.atomic():
        AgentSession.objects.filter(pk=session.pk).fail_lost()
        if not AgentSession.objects.claim(session.pk, turn_id):
            raise TurnRunning
        message = Message.append(session, Role.USER, text)
        if not session.title:
            session.title = text.strip().splitlines()[0][:TITLE_LENGTH]
            AgentSession.objects.filter(pk=session.pk).update(title=session.title)
    caller = Caller(
        surface=surface,
        user_id=session.owner_id,
        access_token_id=token.pk if token else None,
        session_id=session.pk,
    )
    request = _request(session, selection)
    return Turn(turn_id, session, selection, request, caller, message)


async def stream_turn(turn: Turn) -> AsyncGenerator[Event]:
    """The events of a turn: started, delta…, then done or error. Never raises a TurnError."""
    payer = turn.selection.payer
    yield Event(
        "started",
        {
            "session_id": str(turn.session.pk),
            "provider": payer.provider,
            "model": payer.model,
            "paid_by": payer.paid_by,
            "simulated": payer.is_simulated,
        },
    )
    answer: Answer | None = None
    try:
        entry = OpenCall(turn.caller, turn.selection.payer)
        turn.call_id = entry.id
        events = call(
            selection=turn.selection,
            request=turn.request,
            entry=entry,
            fallback=[partial(_fallback, turn.session, choice) for choice in turn.session.fallback],
        )
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Answer):
                    answer = event
                else:
                    turn.text += event.text
                    yield Event("delta", {"text": event.text})
    except TURN_ERRORS as error:
        turn.error = error
    finally:
        done = await sync_to_async(_end_turn)(turn, answer)
    yield done


def _fallback(session: AgentSession, choice: Mapping[str, Any]) -> Plan:
    """The session's next call by an entry of its fallback chain. Raises what `select` raises."""
    selection = select(user=session.owner, policy=session.policy, **choice)
    return Plan(selection, _request(session, selection))


def _request(session: AgentSession, selection: Selection) -> ChatRequest:
    defaults = selection.credential.params if selection.credential else {}
    return next_request(
        session, provider=selection.provider, model=selection.model, defaults=defaults
    )


async def whole_turn(turn: Turn) -> dict[str, Any]:
    """The data of the turn's `done` event. Raises ProviderError, Unreadable, NotAdmitted."""
    last = Event("error", {})
    async for event in stream_turn(turn):
        last = event
    if turn.error is not None:
        raise turn.error
    return last.data


def _end_turn(turn: Turn, answer: Answer | None) -> Event:
    """Stores what came of it: an answer, a failure, or (neither) that it was broken off."""
    record = answer.record if answer else UsageRecord.objects.filter(pk=turn.call_id).first()
    message = None
    if answer or turn.text:
        message = Message.append(turn.session, Role.ASSISTANT, turn.text, record=record)
    status, reason = SessionStatus.COMPLETED, ""
    if turn.error is not None:
        status, reason = SessionStatus.FAILED, str(turn.error)[:500]
    elif answer is None:
        status, reason = SessionStatus.CANCELLED, "Stopped before the answer was complete."
    # Not where the session was ended meanwhile, its key deleted: that stays.
    held = AgentSession.objects.filter(pk=turn.session.pk).held_by(turn.id)
    held.update(status=status, reason=reason, updated_at=timezone.now())
    if turn.error is not None:
        return Event("error", error_data(turn.error))
    return Event("done", _done_data(message, answer))


def _done_data(message: Message | None, answer: Answer | None) -> dict[str, Any]:
    if message is None or answer is None:
        return {}
    return {
        "message": {
            "id": message.pk,
            "position": message.position,
            "role": message.role,
            "content": message.text,
        },
        "finish_reason": answer.result.finish_reason,
        "receipt": asdict(receipt(answer.record)),
    }


def error_data(error: TurnError) -> dict[str, Any]:
    return {
        "code": error.code,
        "detail": str(error),
        "status": error.status,
        "retry_after": getattr(error, "retry_after", None),
    }
