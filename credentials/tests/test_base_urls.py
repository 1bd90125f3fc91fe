"""Base URLs that people give: no way into the server's own network."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from agents.clients import select
from credentials.errors import BaseURLsClosed
from credentials.models import LLMCredential
from credentials.tests.factories import CredentialFactory

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
URL = "/api/v1/users/me/llm-credentials"
BODY = {"provider": "openai_compatible", "api_key": "my-own-server-key", "model_name": "llama3"}


@dataclass
class Private:
    """A server inside: it counts who connects."""

    port: int = 0
    hits: int = 0
    ready: threading.Event = field(default_factory=threading.Event)
    done: asyncio.Event | None = None

    async def serve(self) -> None:
        listener = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        self.loop, self.done = asyncio.get_running_loop(), asyncio.Event()
        self.ready.set()
        async with listener:
            await self.done.wait()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.hits += 1
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"object": "list", "data": [{"id": "llama3", "object": "model"}]}'
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
        writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def stop(self) -> None:
        assert self.done is not None
        self.loop.call_soon_threadsafe(self.done.set)


@pytest.fixture
def inside() -> Iterator[Private]:
    private = Private()
    thread = threading.Thread(target=lambda: asyncio.run(private.serve()))
    thread.start()
    private.ready.wait(10)
    yield private
    private.stop()
    thread.join(10)


@pytest.mark.parametrize(
    "host",
    ["10.0.0.5", "169.254.169.254", "localhost", "[::ffff:127.0.0.1]", "2130706433", "127.1"]
    + ["0x7f.1", "0177.0.0.1", "localhost.", "me@api.example.com", "127。0。0。1"],
)
@pytest.mark.parametrize("validate", [False, True])
def test_a_private_host_is_refused_when_a_key_is_added(
    api: APIClient, allow: Any, host: str, validate: bool
) -> None:
    body = {**BODY, "base_url": f"https://{host}/v1", "validate": validate}
    response = api.post(URL, body, format="json")

    assert (response.status_code, response.json()["code"]) == (400, "base_url_refused")
    assert "base URL" in response.json()["detail"] and host not in response.json()["detail"]
    assert not LLMCredential.objects.exists()


def test_plain_http_is_refused_when_a_key_is_added(api: APIClient, allow: Any) -> None:
    response = api.post(URL, {**BODY, "base_url": "http://llm.example/v1"}, format="json")

    assert response.status_code == 400
    assert "must begin with https://" in response.json()["detail"]
    assert not LLMCredential.objects.exists()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_key_whose_host_turns_out_private_is_tested_without_contact(
    api: APIClient, alice: User, allow: Any, inside: Private, scheme: str, host: str
) -> None:
    url = f"{scheme}://{host}:{inside.port}/v1"
    row = CredentialFactory.create(
        owner=alice, provider="openai_compatible", key="my-own-server-key", base_url=url
    )
    answer = api.post(f"{URL}/{row.pk}/validate").json()

    assert answer["code"] == "cannot_test"
    assert "only to hosts that are found on the public internet" in answer["detail"]
    assert host not in answer["detail"] and str(inside.port) not in answer["detail"]
    assert inside.hits == 0


def test_what_the_operator_lists_is_reached(
    api: APIClient, alice: User, allow: Any, inside: Private
) -> None:
    allow(f"localhost:{inside.port}")
    body = {**BODY, "base_url": f"http://localhost:{inside.port}/v1", "validate": True}
    response = api.post(URL, body, format="json")

    assert response.status_code == 201
    assert LLMCredential.objects.get().last_validated_at is not None
    assert inside.hits == 1


def test_a_call_to_a_private_host_is_refused_in_words(
    api: APIClient, alice: User, allow: Any, inside: Private
) -> None:
    url = f"https://localhost:{inside.port}/v1"
    row = CredentialFactory.create(
        owner=alice,
        provider="openai_compatible",
        key="my-own-server-key",
        base_url=url,
        model_name="llama3",
    )
    session = api.post("/api/v1/agent/sessions", {"credential_id": str(row.pk)}, format="json")
    messages = f"/api/v1/agent/sessions/{session.json()['id']}/messages"
    response = api.post(messages, {"content": "Hello"}, format="json")

    assert (response.status_code, response.json()["code"]) == (400, "destination_refused")
    assert inside.hits == 0


def test_the_simulator_needs_no_listing(api: APIClient, allow: Any, simulator: Any) -> None:
    body = {"provider": "openai", "api_key": "sk-sim-ok-1234567890"}
    assert api.post(f"{URL}/validate", body, format="json").json()["is_valid"]
    assert simulator.app.log


def test_where_own_base_urls_are_closed_those_there_are_serve_no_call(
    alice: User, settings: Any
) -> None:
    row = CredentialFactory.create(owner=alice, key="real-key-1", base_url="https://one.example")
    settings.CUSTOM_BASE_URLS = False
    with pytest.raises(BaseURLsClosed):
        select(user=alice, credential_id=row.pk)
