"""Writes to tool servers. All arguments are keyword-only; each leaves its event in the trail.

A token goes to its server only: whoever changes the URL gives the token again.
"""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from agents.errors import (
    TokenNeeded,
    TokenRefused,
    ToolServerExists,
    ToolServerRefused,
    ToolServersClosed,
)
from agents.models import ToolServer
from credentials.trail import Action, record
from providers.errors import BaseURLRefused
from providers.keys import check_own_base_url

SERVER_NAME = r"\A[a-z][a-z0-9-]*\Z"
MAX_TOKEN = 4096  # a JWT takes one to two thousand characters
_TOKEN = re.compile(rf"[\x21-\x7e]{{8,{MAX_TOKEN}}}")


def add_tool_server(*, owner: Any, name: str, url: str, token: str = "") -> ToolServer:
    """Raises ToolServersClosed, ToolServerRefused, TokenRefused and ToolServerExists. What the
    URL's host resolves to is checked at every connection."""
    server = ToolServer(owner=owner, name=name, url=_checked_url(url))
    server.set_token(check_token(token))
    try:
        with transaction.atomic():
            server.save(force_insert=True)
            record(Action.SERVER_CREATE, server, detail=name)
    except IntegrityError:
        raise ToolServerExists(name=name) from None
    return server


def change_tool_server(
    *, server: ToolServer, url: str | None = None, token: str | None = None
) -> ToolServer:
    """The server at another URL, with another token, or (where it is empty) without one.

    Raises what `add_tool_server` raises, and TokenNeeded for another URL alone where there is a
    token: then nothing has changed.
    """
    checked = _checked_url(url) if url is not None else None
    given = check_token(token) if token is not None else None
    with transaction.atomic():
        row = ToolServer.objects.active().select_for_update().get(pk=server.pk)
        changed = []
        if checked is not None and checked != row.url:
            if row.token and given is None:
                raise TokenNeeded
            row.url = checked
            changed.append("url")
        if given is not None:
            row.set_token(given)
            changed.append("token" if given else "token taken away")
        row.save(update_fields=["url", "token", "key_kid", "last4", "updated_at"])
        if changed:
            record(Action.SERVER_CHANGE, row, detail=f"{row.name}: {', '.join(changed)}")
    return row


def delete_tool_server(*, server: ToolServer) -> None:
    """The row stays for the trail, its token goes at once; no call reaches the server from now
    on, also none of a turn that runs."""
    fields = ["token", "key_kid", "is_active", "deleted_at", "updated_at"]
    with transaction.atomic():
        row = ToolServer.objects.active().select_for_update().get(pk=server.pk)
        row.token, row.key_kid = None, ""
        row.is_active, row.deleted_at = False, timezone.now()
        row.save(update_fields=fields)
        record(Action.SERVER_DELETE, row, detail=row.name)


def check_token(token: str) -> str:
    """The token without white space around it; empty for none. Raises TokenRefused, which never
    quotes it: what may stand in an HTTP header passes."""
    token = token.strip()
    if not token or _TOKEN.fullmatch(token):
        return token
    if " " in token:
        raise TokenRefused(detail="it has spaces: leave out the word Bearer")
    if not 8 <= len(token) <= MAX_TOKEN:
        raise TokenRefused(detail=f"a token has 8 to {MAX_TOKEN} characters")
    raise TokenRefused(detail="a token has no line breaks or special letters")


def _checked_url(url: str) -> str:
    if not settings.CUSTOM_BASE_URLS:
        raise ToolServersClosed
    try:
        return check_own_base_url("openai_compatible", url)
    except BaseURLRefused as error:
        raise ToolServerRefused(detail=error.detail) from None
