"""Writes to sessions that take more than one step. All arguments are keyword-only."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
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
) -> AgentSession:
    """A new session, once it is sure that a call with it could be made.

    Raises what `agents.clients.select` raises; then nothing is stored.
    """
    selection = select(user=owner, credential_id=credential_id, provider=provider, model=model)
    return AgentSession.objects.create(
        owner=owner,
        title=title,
        goal=goal,
        instructions=instructions,
        credential=selection.credential if credential_id else None,
        provider=selection.provider if provider or credential_id else "",
        model=model,
        params=dict(params or {}),
    )
