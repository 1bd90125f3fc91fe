"""Writes to sessions that take more than one step. All arguments are keyword-only."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from agents.clients import select
from agents.models import AgentSession


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
    policy: str = "",
    fallback: Sequence[Mapping[str, Any]] = (),
) -> AgentSession:
    """A new session, once it is sure that a call with it could be made, by each of its `fallback`
    too: keyword arguments of `select`, in the order in which they take over.

    Raises what `agents.clients.select` raises; then nothing is stored.
    """
    first: dict[str, Any] = {"credential_id": credential_id, "provider": provider, "model": model}
    entries = (first, *fallback)
    selection, *_ = [select(user=owner, policy=policy, **entry) for entry in entries]
    return AgentSession.objects.create(
        owner=owner,
        title=title,
        goal=goal,
        instructions=instructions,
        credential=selection.credential if credential_id else None,
        provider=selection.provider if provider or credential_id else "",
        model=model,
        params=dict(params or {}),
        policy=policy,
        fallback=[dict(entry) for entry in fallback],
    )
