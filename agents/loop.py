"""The run loop: the model is called, the tools that it asks for are run, and it is called again.

Every step is stored before it is told, so that a turn which ends at any point leaves a history
that the session can go on from. The last step that is allowed is asked to answer in words.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from django.db import transaction

from agents import parts
from agents.calls import Answer, call
from agents.clients import Selection, select
from agents.database import in_database
from agents.errors import ToolServerFailed, ToolServersClosed
from agents.history import next_request
from agents.models import AgentSession, Message, Role
from agents.running import Stop, Stopped
from agents.toolbox import Chosen, Result, Toolbox
from agents.tries import Plan
from credentials.vault import Unreadable
from providers.errors import ProviderError
from providers.vocabulary import ChatRequest, Text
from usage.accounts import Account, Caller
from usage.admission import NotAdmitted
from usage.ledger import OpenCall, receipt
from usage.models import UsageRecord

TurnError = ProviderError | Unreadable | NotAdmitted | ToolServerFailed | ToolServersClosed
CANCELLED = "cancelled"
MAX_STEPS = 10  # calls of the model in one turn


@dataclass(frozen=True, slots=True)
class Event:
    """`name` is one of started, delta, tool_call, tool_result, usage, done and error; `data` is
    what a program gets as JSON (docs/reference/api.md)."""

    name: str
    data: dict[str, Any]


@dataclass(slots=True)
class Turn:
    """A turn that has been let in. `text` is what the model has said in the step under way, of
    which nothing is stored yet; `params` and `fallback` are those of its message; `records` are
    the ledger's rows of the steps before."""

    id: uuid.UUID
    session: AgentSession
    selection: Selection
    request: ChatRequest
    caller: Caller
    user_message: Message
    chosen: Chosen
    params: Mapping[str, Any] = field(default_factory=dict)
    fallback: Sequence[Mapping[str, Any]] = ()
    step: int = 0
    call_id: uuid.UUID | None = None
    text: str = ""
    records: list[UsageRecord] = field(default_factory=list)
    message: Message | None = None
    finish_reason: str = ""
    error: TurnError | None = None


async def run(turn: Turn, stop: Stop) -> AsyncGenerator[Event]:
    """The events between started and done. Raises what `agents.calls.call` raises, Stopped,
    ToolServerFailed and ToolServersClosed."""
    toolbox = await stop.unless(turn.chosen.open)
    turn.request = replace(turn.request, tools=toolbox.tools)
    while not turn.finish_reason:
        turn.step += 1
        async with aclosing(_step(turn, stop, toolbox)) as events:
            async for event in events:
                yield event


async def _step(turn: Turn, stop: Stop, toolbox: Toolbox) -> AsyncGenerator[Event]:
    """One call of the model, and the tools that it asks for."""
    if turn.step == MAX_STEPS and toolbox.tools:
        turn.request = replace(turn.request, tool_choice="none")
    entry = OpenCall(Account(turn.caller, turn.selection.payer))
    turn.call_id, turn.text = entry.id, ""
    answer: Answer | None = None
    events = call(
        selection=turn.selection,
        request=turn.request,
        entry=entry,
        fallback=[partial(_fallback, turn, choice) for choice in turn.fallback],
    )
    async with aclosing(events):
        while event := await stop.unless(lambda: anext(events, None)):
            if isinstance(event, Answer):
                answer = event
                break
            turn.text += event.text
            if event.text:
                yield _told("delta", turn, text=event.text)
    assert answer is not None, "a call ends with its Answer or raises"
    await in_database(_store_answer, turn, answer)
    yield _told("usage", turn, receipt=asdict(receipt(answer.record)))
    calls = answer.result.tool_calls
    if not calls or turn.step == MAX_STEPS:
        turn.finish_reason = "max_steps" if calls else answer.result.finish_reason
        return
    for asked in calls:
        yield _told("tool_call", turn, id=asked.id, name=asked.name, arguments=asked.arguments)
    results = await stop.unless(lambda: toolbox.run_all(calls))
    await in_database(_store_results, turn, results)
    for result in results:
        yield _told("tool_result", turn, **_shown(result))


def _told(event: str, turn: Turn, **data: Any) -> Event:
    return Event(event, {"step": turn.step, **data})


def _shown(result: Result) -> dict[str, Any]:
    shown = {**parts.dump(result.result), "duration_ms": result.duration_ms}
    del shown["type"]
    return shown


def _store_answer(turn: Turn, answer: Answer) -> None:
    result, provider = answer.result, answer.record.provider
    said = [parts.dump(Text(result.text))] if result.text else []
    said += [parts.dump(asked, provider) for asked in result.tool_calls]
    turn.records.append(answer.record)
    turn.message = store(turn, Role.ASSISTANT, result.text, parts=said, record=answer.record)
    turn.call_id, turn.text = None, ""


def _store_results(turn: Turn, results: Sequence[Result]) -> None:
    """Also makes the request of the next step, from what is stored: cut to the window again."""
    given = [{"type": "tool_result", **_shown(result)} for result in results]
    text = "\n\n".join(result.result.content for result in results)
    store(turn, Role.TOOL, text, parts=given)
    turn.request = request_for(turn, turn.selection)


def request_for(turn: Turn, selection: Selection) -> ChatRequest:
    """The turn's next call, if `selection` makes it."""
    return next_request(
        turn.session,
        provider=selection.provider,
        model=selection.model,
        defaults=selection.credential.params if selection.credential else {},
        params=turn.params,
        tools=turn.request.tools,
    )


def _fallback(turn: Turn, choice: Mapping[str, Any]) -> Plan:
    """The turn's next call by an entry of its fallback chain. Raises what `select`
    raises."""
    selection = select(user=turn.session.owner, policy=turn.session.policy, **choice)
    request = request_for(turn, selection)
    return Plan(selection, replace(request, tool_choice=turn.request.tool_choice))


def store(turn: Turn, role: Role, text: str, **fields: Any) -> Message:
    """Adds a message to the session, if it is still the turn's. Raises Stopped."""
    with transaction.atomic():
        held = AgentSession.objects.filter(pk=turn.session.pk).held_by(turn.id)
        if not held.select_for_update().exists():
            raise Stopped
        return Message.append(turn.session, role, text, **fields)
