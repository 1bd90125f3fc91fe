"""The gateway spoken to as a server would: what real sockets can't time exactly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from benchmarks.simulator.server import SimulatorThread
from credentials.models import AccessToken
from credentials.tests.factories import CredentialFactory
from gateway.app import application
from gateway.selection import in_database
from gateway.tests.sdks import QUESTION, run
from providers.http import MAX_BODY_BYTES
from usage.models import UsageRecord

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

Message = dict[str, Any]
PATIENCE = 10.0


class Client:
    """Sends one request and leaves as soon as `leaves` says so of what has arrived."""

    def __init__(self, leaves: Callable[[bytes], bool] = lambda received: False) -> None:
        self.leaves = leaves
        self.received = b""
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.gone = asyncio.Event()

    async def post(self, token: str, body: bytes, *headers: tuple[bytes, bytes]) -> None:
        await self.ask("POST", "/v1/chat/completions", token, body, *headers)

    async def get(self, token: str, path: str) -> None:
        await self.ask("GET", path, token, b"")

    async def ask(
        self, method: str, path: str, token: str, body: bytes, *headers: tuple[bytes, bytes]
    ) -> None:
        bearer = (b"authorization", f"Bearer {token}".encode())
        scope = {
            "type": "http", "method": method, "path": path,
            "query_string": b"", "headers": [bearer, *headers],
        }  # fmt: skip
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            if messages:
                return messages.pop()
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.status, self.headers = message["status"], dict(message["headers"])
            self.received += message.get("body", b"")
            await self.look()

        await application(scope, receive, send)

    async def look(self) -> None:
        if self.leaves(self.received):
            self.gone.set()


class Bookkeeper(Client):
    """Counts the ledger's rows each time that something arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[bytes, int]] = []

    async def look(self) -> None:
        self.rows.append((self.received, await in_database(UsageRecord.objects.count)))


@pytest.fixture
def token(alice: User) -> str:
    CredentialFactory.create(owner=alice)
    return AccessToken.issue(user=alice, name="program")[1]


def asking(**more: Any) -> bytes:
    messages = [{"role": "user", "content": QUESTION}]
    return json.dumps({"model": "gpt-4o-mini", "messages": messages, **more}).encode()


async def until(condition: Callable[[], bool]) -> None:
    """For what another thread will make true, soon."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.002)


def test_a_client_that_leaves_stops_the_provider_and_pays_for_what_it_got(
    simulator: SimulatorThread, token: str
) -> None:
    slow = [(b"x-sim-ttft-ms", b"1"), (b"x-sim-itl-ms", b"60000"), (b"x-sim-tokens", b"50")]

    async def scenario() -> None:
        client = Client(leaves=lambda received: b'"content":"Paris' in received)
        async with asyncio.timeout(PATIENCE):
            await client.post(token, asking(stream=True), *slow)
        await until(lambda: simulator.app.log[0].client_disconnected)

    run(scenario())
    row = UsageRecord.objects.get()
    assert (row.status, row.usage_source, row.error_code) == ("cancelled", "estimated", "")
    assert 1 <= row.output_tokens < 50 and row.input_tokens > 0 and row.cost_usd
    assert row.ttft_ms is not None


def test_a_client_that_leaves_before_a_whole_answer_is_booked_as_cancelled(
    simulator: SimulatorThread, token: str
) -> None:
    async def scenario() -> None:
        client = Client()
        call = asyncio.create_task(client.post(token, asking(), (b"x-sim-fault", b"hang")))
        await until(lambda: bool(simulator.app.log))
        client.gone.set()
        await call
        await until(lambda: simulator.app.log[0].client_disconnected)

    run(scenario())
    row = UsageRecord.objects.get()
    assert (row.status, row.input_tokens, row.output_tokens) == ("cancelled", 0, 0)


def test_a_client_that_leaves_after_the_end_has_had_a_whole_answer(
    simulator: SimulatorThread, token: str
) -> None:
    async def scenario() -> None:
        client = Client(leaves=lambda received: b'"finish_reason":"stop"' in received)
        await client.post(token, asking(stream=True), (b"x-sim-itl-ms", b"0"))

    run(scenario())
    assert UsageRecord.objects.get().status == "ok"


def test_a_server_that_stops_in_the_middle_of_a_stream_still_books_it(
    simulator: SimulatorThread, token: str
) -> None:
    async def scenario() -> None:
        client = Client()
        slow = [(b"x-sim-itl-ms", b"60000"), (b"x-sim-tokens", b"50")]
        call = asyncio.create_task(client.post(token, asking(stream=True), *slow))
        await until(lambda: b'"content":"Paris' in client.received)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    run(scenario())
    assert UsageRecord.objects.get().status == "cancelled"


@pytest.mark.parametrize(("streamed", "last"), [(False, b'"usage"'), (True, b"[DONE]")])
def test_the_row_is_there_before_the_last_byte(
    simulator: SimulatorThread, token: str, streamed: bool, last: bytes
) -> None:
    async def scenario() -> list[int]:
        client = Bookkeeper()
        await client.post(token, asking(stream=streamed), (b"x-sim-itl-ms", b"0"))
        return [rows for received, rows in client.rows if last in received]

    assert set(run(scenario())) == {1}


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_of_more_than_32_mb_is_refused(token: str, declared: bool) -> None:
    body = b"" if declared else b" " * (MAX_BODY_BYTES + 1)
    length = [(b"content-length", str(MAX_BODY_BYTES + 1).encode())] if declared else []
    client = Client()
    run(client.post(token, body, *length))

    assert client.status == 413
    assert json.loads(client.received)["error"]["code"] == "body_too_large"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        b"\xff",
        b"{}",
        b'{"model": 3}',
        b'{"model": "a\\r\\nb: c"}',
    ],
)
def test_a_body_that_names_no_model_is_refused(token: str, body: bytes) -> None:
    client = Client()
    run(client.post(token, body))

    assert client.status == 400
    assert json.loads(client.received)["error"]["code"] == "invalid_request"


def test_a_key_that_the_provider_repeats_is_taken_out(
    simulator: SimulatorThread, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sim-401-a-key-that-is-in-the-answer"
    CredentialFactory.create(owner=alice, key=key)
    _, token = AccessToken.issue(user=alice, name="program")
    shown = "benchmarks.simulator.dialects.openai_errors._masked"
    monkeypatch.setattr(shown, lambda whole: whole)
    client = Client()
    run(client.post(token, asking()))

    assert client.status == 401
    assert key.encode() not in client.received and b"[redacted]" in client.received
