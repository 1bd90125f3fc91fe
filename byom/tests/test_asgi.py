"""The server's entry, spoken to as a server would."""

from __future__ import annotations

import json
from typing import Any

import pytest

from byom.asgi import application

CHUNK = 64_000


async def request(path: str, body_bytes: int, *, declare: bool) -> tuple[int, dict[str, Any]]:
    """Sends a body of that many bytes; answers the status and the JSON body."""
    left = body_bytes
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        nonlocal left
        size = min(CHUNK, left)
        left -= size
        return {"type": "http.request", "body": b"x" * size, "more_body": left > 0}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"testserver"), (b"content-type", b"application/json")]
    if declare:
        headers.append((b"content-length", str(body_bytes).encode()))
    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(),
        "query_string": b"", "headers": headers, "http_version": "1.1", "scheme": "http",
        "server": ("testserver", 80), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    await application(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(body)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("declare", [True, False])
async def test_a_body_of_ten_megabytes_is_refused_with_a_sentence(declare: bool) -> None:
    status, body = await request("/api/v1/agent/sessions", 10_000_000, declare=declare)

    assert status == 413
    assert "larger than 2,000,000 bytes" in body["detail"]


@pytest.mark.django_db(transaction=True)
async def test_the_server_starts_and_stops() -> None:
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await application({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
