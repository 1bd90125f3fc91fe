"""Writes to sessions that take more than one step. All arguments are keyword-only."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction

from agents import running
from agents.clients import Selection, select
from agents.errors import SessionEnded, TurnRunning
from agents.models import AgentSession, Message, Role, SessionStatus
from agents.toolbox import choose
from agents.turns import ensure_able
from providers import registry

WORDS = {"title", "goal", "instructions"}  # what no call can fail by
PAYER = ("credential_id", "provider", "model")


def create_session(
    *,
    owner: Any,
    title: str = "",
    goal: str = "",
    instructions: str = "",
    credential_id: uuid.UUID | str | None = None,
    provider: str = "",
    model: str = "",
    params: Mapping[str, Any] | None = None,
    tools: Sequence[str] = (),
    policy: str = "",
    fallback: Sequence[Mapping[str, Any]] = (),
) -> AgentSession:
    """A new session, once it is sure that a call with it could be made, by each of its `fallback`
    too: keyword arguments of `select`, in the order in which they take over.

    Raises what `agents.clients.select` raises, ToolNotFound, ToolServersClosed, ToolsNotSupported
    and Unsupported; then nothing is stored.
    """
    first: dict[str, Any] = {"credential_id": credential_id, "provider": provider, "model": model}
    selection = _checked(
        owner, first, params=params or {}, tools=tools, policy=policy, fallback=fallback
    )
    return AgentSession.objects.create(
        owner=owner,
        title=title,
        goal=goal,
        instructions=instructions,
        credential=selection.credential if credential_id else None,
        provider=selection.provider if provider or credential_id else "",
        model=model,
        params=dict(params or {}),
        tools=list(dict.fromkeys(tools)),
        policy=policy,
        fallback=[dict(entry) for entry in fallback],
    )


def _checked(
    owner: Any,
    first: Mapping[str, Any],
    *,
    params: Mapping[str, Any],
    tools: Iterable[str],
    policy: str,
    fallback: Iterable[Mapping[str, Any]],
) -> Selection:
    """The selection of the first entry, all of them being possible. What the parameters ask for
    and a later one lacks is no trouble: a call passes that one over."""
    chosen = choose(owner, tools)
    selections = [select(user=owner, policy=policy, **entry) for entry in (first, *fallback)]
    for selection in selections:
        ensure_able(selection, chosen)
    ensure_able(selections[0], chosen, params=params)
    return selections[0]


def change_session(*, session: AgentSession, changes: Mapping[str, Any]) -> AgentSession:
    """The session with some of the arguments of `create_session` changed, checked in the same way,
    but for its words, which can change also where its key can't be used.

    Naming a credential, provider or model replaces all three. A switch leaves a note in the
    session. Raises TurnRunning and SessionEnded too; then nothing has changed.
    """
    with transaction.atomic():
        row = AgentSession.objects.select_for_update().get(pk=session.pk)
        if row.status == SessionStatus.RUNNING:
            raise TurnRunning
        if row.status == SessionStatus.TERMINATED:
            raise SessionEnded(reason=row.reason or "it was terminated.")
        before = payer_label(row)
        _apply(row, changes)
        row.save()
        if (after := payer_label(row)) != before:
            Message.append(row, Role.NOTE, f"Switched from {before} to {after}.")
    return row


def _apply(row: AgentSession, changes: Mapping[str, Any]) -> None:
    switches = any(name in changes for name in PAYER)
    if switches:
        payer = {name: changes.get(name) or "" for name in PAYER}
    else:
        payer = {
            "credential_id": row.credential_id or "", "provider": row.provider, "model": row.model,
        }  # fmt: skip
    for name in (*WORDS, "params", "tools", "policy", "fallback"):
        setattr(row, name, changes.get(name, getattr(row, name)))
    if not changes.keys() - WORDS:
        return
    selection = _checked(
        row.owner,
        {**payer, "credential_id": payer["credential_id"] or None},
        params=row.params,
        tools=row.tools,
        policy=row.policy,
        fallback=row.fallback,
    )
    if switches:
        row.credential = selection.credential if payer["credential_id"] else None
        row.provider = selection.provider if payer["provider"] or payer["credential_id"] else ""
        row.model = str(payer["model"])


def payer_label(session: AgentSession) -> str:
    """What the session names for its calls, in words."""
    names = [registry.label(session.provider) if session.provider else "", session.model]
    if session.credential:
        names.append(f"({session.credential})")
    return " ".join(filter(None, names)) or "the usual selection order"


def cancel_turn(*, session: AgentSession) -> bool:
    """Stops the session's turn, in whatever process it runs; False where none runs.

    Here it stops at once, elsewhere within `running.BEAT` seconds. One that was lost with its
    process is marked as failed.
    """
    one = AgentSession.objects.filter(pk=session.pk)
    one.fail_lost()
    asked = one.running().update(cancel_requested=True)
    running.stop({session.pk})
    return bool(asked)


def delete_session(*, session: AgentSession) -> None:
    """Its calls stay in the ledger. A turn that runs is stopped."""
    running.stop({session.pk})
    session.delete()
