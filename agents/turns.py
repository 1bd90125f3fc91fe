"""Turns: one user message and all that follows from it.

`begin_turn` is what can be refused, and refuses before anything is stored. `stream_turn`
runs the loop and tells what happens as events; `whole_turn` waits for the end.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from agents import parts
from agents.clients import Selection, select
from agents.database import in_database
from agents.errors import (
    SessionEnded,
    ToolServerFailed,
    ToolServersClosed,
    ToolsNotSupported,
    TurnRunning,
)
from agents.history import next_request
from agents.loop import CANCELLED, Event, Turn, TurnError, run, store
from agents.models import AgentSession, Message, Role, SessionStatus
from agents.running import Stopped, running
from agents.toolbox import Chosen, choose
from credentials.models import AccessToken
from credentials.vault import Unreadable
from providers import registry
from providers.capabilities import Capability, lacking
from providers.errors import ProviderError, Unsupported
from providers.vocabulary import ChatRequest, Image, Text
from providers.vocabulary import Message as NeutralMessage
from usage.accounts import Caller
from usage.admission import NotAdmitted
from usage.ledger import receipt
from usage.models import Surface, UsageRecord

TITLE_LENGTH = 60
TURN_ERRORS = (ProviderError, Unreadable, NotAdmitted, ToolServerFailed, ToolServersClosed)
STOPPED = "Stopped before the answer was complete."
OURS = "Something went wrong on our side. It has been logged; send a message to try again."


def begin_turn(
    *,
    session: AgentSession,
    text: str,
    surface: Surface,
    token: AccessToken | None = None,
    images: Sequence[Image] = (),
    params: Mapping[str, Any] | None = None,
    fallback: Sequence[Mapping[str, Any]] | None = None,
) -> Turn:
    """Selects the key, claims the session and stores the user's message.

    `params` win over the session's for this turn, `fallback` stands in the place of its chain.
    Raises what `agents.clients.select` raises, SessionEnded, TurnRunning, ToolNotFound,
    ToolServersClosed, ToolsNotSupported and Unsupported; then nothing has been stored.
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
    chosen = choose(session.owner, session.tools)
    ensure_able(selection, chosen, images, {**session.params, **(params or {})})
    for entry in fallback or ():
        ensure_able(select(user=session.owner, policy=session.policy, **entry), chosen)
    turn_id = uuid.uuid4()
    message = _claim(session, turn_id, text, images)
    request = next_request(
        session,
        provider=selection.provider,
        model=selection.model,
        defaults=selection.credential.params if selection.credential else {},
        params=params or {},
        tools=[each.tool for each in chosen.built_in],
    )
    return Turn(
        id=turn_id,
        session=session,
        selection=selection,
        request=request,
        caller=_caller(session, surface, token),
        user_message=message,
        chosen=chosen,
        params=params or {},
        fallback=session.fallback if fallback is None else fallback,
    )


def _claim(
    session: AgentSession, turn_id: uuid.UUID, text: str, images: Sequence[Image]
) -> Message:
    """The stored message of a turn that holds the session now. Raises TurnRunning."""
    with transaction.atomic():
        AgentSession.objects.filter(pk=session.pk).fail_lost()
        if not AgentSession.objects.claim(session.pk, turn_id):
            raise TurnRunning
        said = [*map(parts.dump, images), parts.dump(Text(text))]
        message = Message.append(session, Role.USER, text, parts=said)
        if not session.title:
            session.title = text.strip().splitlines()[0][:TITLE_LENGTH]
            AgentSession.objects.filter(pk=session.pk).update(title=session.title)
    return message


def _caller(session: AgentSession, surface: Surface, token: AccessToken | None) -> Caller:
    return Caller(
        surface=surface,
        user_id=session.owner_id,
        access_token_id=token.pk if token else None,
        session_id=session.pk,
    )


def ensure_able(
    selection: Selection,
    chosen: Chosen,
    images: Sequence[Image] = (),
    params: Mapping[str, Any] | None = None,
) -> None:
    """Says before the call what the provider lacks, the parameters of the credential included.
    Raises ToolsNotSupported, Unsupported."""
    row = registry.get(selection.provider)
    if (chosen.built_in or chosen.servers) and Capability.TOOLS not in row.capabilities:
        raise ToolsNotSupported(provider=row.label)
    own = selection.credential.params if selection.credential else {}
    asked = ChatRequest(
        model=selection.model,
        messages=[NeutralMessage("user", tuple(images))],
        **{**own, **(params or {})},
    )
    if lack := lacking(asked, row.capabilities):
        raise Unsupported(row.label, detail=f"{lack} is not supported")


async def stream_turn(turn: Turn) -> AsyncGenerator[Event]:
    """The events of a turn: started, those of its steps, then done or error. Never raises a
    TurnError."""
    yield Event("started", _started_data(turn))
    reason = OURS
    try:
        async with (
            running(turn.session.pk, turn.id) as stop,
            aclosing(run(turn, stop)) as events,
        ):
            async for event in events:
                yield event
        reason = ""
    except TURN_ERRORS as failure:
        turn.error, reason = failure, str(failure)
    except Stopped:
        turn.finish_reason, reason = CANCELLED, STOPPED
    except (asyncio.CancelledError, GeneratorExit):
        turn.finish_reason, reason = CANCELLED, STOPPED
        raise
    finally:
        done = await in_database(_end_turn, turn, reason)
    yield done


async def whole_turn(turn: Turn) -> dict[str, Any]:
    """The data of the turn's `done` event. Raises a TurnError."""
    last = Event("error", {})
    async for event in stream_turn(turn):
        last = event
    if turn.error is not None:
        raise turn.error
    return last.data


def _started_data(turn: Turn) -> dict[str, Any]:
    payer = turn.selection.payer
    return {
        "session_id": str(turn.session.pk),
        "turn_id": str(turn.id),
        "provider": payer.provider,
        "model": payer.model,
        "paid_by": payer.paid_by,
        "simulated": payer.is_simulated,
    }


def _end_turn(turn: Turn, reason: str) -> Event:
    """Stores what came of it: an answer, a failure, or that it was broken off."""
    _keep_rest(turn)
    if turn.message:  # which may be gone by now, with its conversation
        turn.message.finish_reason = turn.finish_reason
        Message.objects.filter(pk=turn.message.pk).update(finish_reason=turn.finish_reason)
    status = SessionStatus.COMPLETED
    if reason:
        cancelled = turn.finish_reason == CANCELLED
        status = SessionStatus.CANCELLED if cancelled else SessionStatus.FAILED
    # Not where the session was ended meanwhile, its key deleted: that stays.
    held = AgentSession.objects.filter(pk=turn.session.pk).held_by(turn.id)
    held.update(status=status, reason=reason[:500], turn_id=None, updated_at=timezone.now())
    if turn.error is not None:
        return Event("error", error_data(turn.error))
    return Event("done", _done_data(turn))


def _keep_rest(turn: Turn) -> None:
    """What the step that was broken off had said, and its row in the ledger."""
    if turn.call_id is None:
        return
    if record := UsageRecord.objects.filter(pk=turn.call_id).first():
        turn.records.append(record)
    if turn.text:
        with suppress(Stopped):
            turn.message = store(turn, Role.ASSISTANT, turn.text, record=record)


def _done_data(turn: Turn) -> dict[str, Any]:
    receipts = [asdict(receipt(record)) for record in turn.records]
    return {
        "message": _message_data(turn.message) if turn.message else None,
        "finish_reason": turn.finish_reason,
        "steps": turn.step,
        "receipt": receipts[-1] if receipts else None,
        "receipts": receipts,
        "total": total(turn.records),
    }


def _message_data(message: Message) -> dict[str, Any]:
    return {
        "id": message.pk,
        "position": message.position,
        "role": message.role,
        "content": message.text,
        "parts": message.content,
        "finish_reason": message.finish_reason,
    }


def total(records: Sequence[UsageRecord]) -> dict[str, Any]:
    """What the calls used and cost together; the cost is None where one of them is not known."""
    costs = [record.cost_usd for record in records]
    known = [cost for cost in costs if cost is not None]
    return {
        "calls": len(records),
        "input_tokens": sum(record.input_tokens for record in records),
        "output_tokens": sum(record.output_tokens for record in records),
        "cost_usd": f"{sum(known, Decimal(0)):f}" if len(known) == len(costs) else None,
    }


def error_data(error: TurnError) -> dict[str, Any]:
    return {
        "code": error.code,
        "detail": str(error),
        "status": error.status,
        "retry_after": getattr(error, "retry_after", None),
        "request_id": getattr(error, "request_id", ""),
    }
