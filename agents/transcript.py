"""A session's messages as its page shows them: each turn of several calls with what it used in
all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from agents.advice import ENDS, title_of
from agents.models import AgentSession, Message, Role
from usage.models import UsageRecord


@dataclass(frozen=True, slots=True)
class Total:
    """`cost_usd` is None where that of one call is not known."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class End:
    """Why an answer is not all that it might have been."""

    title: str
    detail: str


@dataclass(frozen=True, slots=True)
class Entry:
    """`total` stands at the last message that a call of the turn has made."""

    message: Message
    total: Total | None = None

    @property
    def end(self) -> End | None:
        known = ENDS.get(self.message.finish_reason)
        return End(title_of(known[0]), known[1]) if known else None


def transcript(session: AgentSession) -> list[Entry]:
    rows = session.messages.select_related("record")
    return [entry for turn in _turns(rows) for entry in _entries(turn)]


def _turns(messages: Iterable[Message]) -> list[list[Message]]:
    """Each begins with what the person said."""
    found: list[list[Message]] = []
    for message in messages:
        if not found or message.role == Role.USER:
            found.append([])
        found[-1].append(message)
    return found


def _entries(turn: Sequence[Message]) -> list[Entry]:
    called = [message for message in turn if message.record]
    last = called[-1] if len(called) > 1 else None
    records = [message.record for message in called if message.record]
    return [Entry(each, _total(records) if each is last else None) for each in turn]


def _total(records: Sequence[UsageRecord]) -> Total:
    known = [record.cost_usd for record in records if record.cost_usd is not None]
    return Total(
        calls=len(records),
        input_tokens=sum(record.input_tokens for record in records),
        output_tokens=sum(record.output_tokens for record in records),
        cost_usd=sum(known, Decimal(0)) if len(known) == len(records) else None,
    )
