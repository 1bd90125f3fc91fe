"""The leak harness: keys go through the whole product, then all that came out is searched.

One canary key per provider, one for each fault of the simulator, and the token of a tool server
that repeats it. What is searched: every
response (headers too; of every page and export of the URLconf and of the whole admin), the log at
DEBUG, debug pages, `dumpdata`, the database's tables, mail, the cache, arguments of tasks, the
benchmark's output. What for: the key, its base64, its URL-encoded form,
and its first twelve characters.
"""

from __future__ import annotations

import base64
import io
import logging
import logging.config
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.core import mail
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django_tasks.signals import task_enqueued

from agents.models import ToolServer
from agents.tests.tool_server import tool_server
from benchmarks.models import BenchmarkRun, BenchmarkSample
from byom.logging import RedactingFormatter, logging_config
from byom.tests.test_ownership import WITHOUT_OBJECT, address
from credentials.models import AccessToken, LLMCredential
from credentials.tests.factories import UserFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

KEYS = "/api/v1/users/me/llm-credentials"
SESSIONS = "/api/v1/agent/sessions"
SERVERS = "/api/v1/agent/tool-servers"
CANARIES = {
    "openai": "sk-sim-Zq7Xw9Kp+3Vb/Tr5",
    "anthropic": "sk-ant-sim-Lm4Ns8Qy+2Jd/Hf6",
    "google": "AIza-sim-Wc1Rb6Gt+9Ux/Pe3",
}
FAULTS = (
    "401", "403", "429", "quota", "500", "529", "drop", "errorevent", "garbage", "context",
    "refuse", "cut",
)  # fmt: skip
FAULT_KEYS = {fault: f"sk-sim-{fault}-Canary+7/{fault}Zz" for fault in FAULTS}
TOOL_TOKEN = "tools-Vb5Kd2Xr+8Qm/Ty1"
BAD_TOKENS = ("Canary-token with spaces", "Canary-tökens", "Canary7")
BAD_KEYS = ("Canary with spaces 77", "sk-admin-Canary7712345", "Cänary-7712345", "Canary\n7712345")


def forms(key: str) -> list[str]:
    """What a key may look like when it has leaked."""
    encoded = base64.b64encode(key.encode()).decode().rstrip("=")
    return [key, encoded[:-1], quote(key, safe=""), key[:12]]


class Harvest:
    """Everything that came out, by where."""

    def __init__(self) -> None:
        self.pieces: list[tuple[str, str]] = []
        self.log = io.StringIO()

    def add(self, where: str, text: object) -> None:
        self.pieces.append((where, str(text)))

    def leaks(self, keys: list[str]) -> list[str]:
        pieces = [*self.pieces, ("log", self.log.getvalue())]
        wanted = [form for key in keys for form in forms(key)]
        return [f"{where}: {form}" for form in wanted for where, text in pieces if form in text]


class Recorder(Client):
    """A client that keeps every answer it gets, and survives a 500."""

    def __init__(self, harvest: Harvest, **defaults: Any) -> None:
        super().__init__(raise_request_exception=False, **defaults)
        self.harvest = harvest

    def request(self, **request: Any) -> Any:
        response = super().request(**request)
        where = f"{request.get('REQUEST_METHOD')} {request.get('PATH_INFO')}"
        body = _whole(response) if response.streaming else response.content
        self.harvest.add(where, f"{response.status_code} {response.headers}\n{body.decode()}")
        return response


def _whole(response: Any) -> bytes:
    async def collect() -> bytes:
        return b"".join([chunk async for chunk in response])

    return async_to_sync(collect)() if response.is_async else b"".join(response)


@pytest.fixture
def harvest() -> Iterator[Harvest]:
    """With the product's own logging at DEBUG, into memory, and the arguments of every task."""
    found = Harvest()

    def keep(task_result: Any, **kwargs: Any) -> None:
        found.add("task", (task_result.args, task_result.kwargs))

    task_enqueued.connect(keep)
    handler = logging.StreamHandler(found.log)
    handler.setFormatter(RedactingFormatter("%(levelname)s %(name)s %(message)s"))
    config = logging_config("DEBUG")
    levels = {name: logging.getLogger(name).level for name in ["", *config["loggers"]]}
    for name, options in config["loggers"].items():
        logging.getLogger(name).setLevel(options.get("level", "DEBUG"))
    logging.getLogger().setLevel("DEBUG")
    logging.getLogger().addHandler(handler)
    yield found
    task_enqueued.disconnect(keep)
    logging.getLogger().removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def api(alice: User, harvest: Harvest) -> Recorder:
    _, token = AccessToken.issue(user=alice, name="canary")
    return Recorder(harvest, headers={"Authorization": f"Bearer {token}"})


def post(client: Client, path: str, body: dict[str, Any]) -> Any:
    return client.post(path, body, content_type="application/json")


def talk(api: Recorder, credential: str) -> None:
    session = post(api, SESSIONS, {"credential_id": credential}).json()
    if "id" in session:
        post(api, f"{SESSIONS}/{session['id']}/messages", {"content": "Hello"})
        api.get(f"{SESSIONS}/{session['id']}/messages")


def through_the_api(api: Recorder, provider: str, key: str) -> str:
    body = {"provider": provider, "api_key": key, "label": provider + key[-6:]}
    post(api, f"{KEYS}/validate", body)
    pk = str(post(api, KEYS, body).json()["id"])
    post(api, KEYS, body)  # a duplicate
    api.get(KEYS)
    api.get(f"{KEYS}/{pk}")
    talk(api, pk)
    post(api, f"{KEYS}/{pk}/validate", {})
    api.patch(f"{KEYS}/{pk}", {"api_key": key}, content_type="application/json")
    api.put(f"{KEYS}/{pk}/default")
    return pk


def with_a_tool_server(api: Recorder, url: str) -> str:
    for token in BAD_TOKENS:
        post(api, SERVERS, {"name": "home", "url": url, "token": token})
    post(api, SERVERS, {"name": TOOL_TOKEN, "url": url, "token": TOOL_TOKEN})
    body = {"name": "home", "url": url, "token": TOOL_TOKEN}
    pk = str(post(api, SERVERS, body).json()["id"])
    post(api, SERVERS, body)  # a duplicate
    api.get(SERVERS)
    api.get(f"{SERVERS}/{pk}/tools")
    session = post(api, SESSIONS, {"tools": ["mcp:home"]}).json()["id"]
    messages = f"{SESSIONS}/{session}/messages"
    for stream in (False, True):
        post(api, messages, {"content": "Use home_tell: what opens it?", "stream": stream})
    api.get(messages)
    change = {"url": "https://elsewhere.invalid/mcp", "token": TOOL_TOKEN}
    for body in ({"token": TOOL_TOKEN}, {"url": change["url"]}, change, {"token": "Canary7"}):
        api.patch(f"{SERVERS}/{pk}", body, content_type="application/json")
    return pk


def everything_stored(harvest: Harvest) -> None:
    dump = io.StringIO()
    call_command("dumpdata", stdout=dump)
    harvest.add("dumpdata", dump.getvalue())
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            harvest.add(f"table {table}", cursor.fetchall())
    harvest.add("cache", getattr(cache, "_cache", {}))
    for message in mail.outbox:
        harvest.add("mail", message.message().as_string())


def test_no_key_leaks_from_the_api_or_what_it_stores(
    api: Recorder, harvest: Harvest, simulator: Any, no_retry_waits: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("agents.tries.LONGEST_WAIT", 0.0)
    for provider, key in CANARIES.items():
        through_the_api(api, provider, key)
    for key in FAULT_KEYS.values():
        through_the_api(api, "openai", key)
    for key in BAD_KEYS:
        for body in ({"provider": "openai", "api_key": key}, {"provider": key, "api_key": key}):
            post(api, KEYS, body)
    everything_stored(harvest)

    assert LLMCredential.objects.count() == len(CANARIES) + len(FAULT_KEYS)
    assert "agent/sessions" in harvest.log.getvalue() or harvest.pieces
    keys = [*CANARIES.values(), *FAULT_KEYS.values(), *(key.strip() for key in BAD_KEYS)]
    assert harvest.leaks(keys) == []


def test_no_token_of_a_tool_server_leaks(
    alice: User, api: Recorder, harvest: Harvest, simulator: Any, allow: Callable[..., None]
) -> None:
    pages, staff = Recorder(harvest), Recorder(harvest)
    pages.force_login(alice)
    staff.force_login(UserFactory.create(is_staff=True, is_superuser=True))
    allow("127.0.0.1")
    with tool_server(TOOL_TOKEN) as door:
        pk = with_a_tool_server(api, door.url)
        form = {"name": "two", "url": door.url, "token": TOOL_TOKEN}
        pages.post("/chat/tool-servers/", {**form, "name": "Two"})
        two = pages.post("/chat/tool-servers/", form).headers["Location"]
        for path in (two, "/chat/tool-servers/", "/keys/trail/", "/chat/new/"):
            pages.get(path)
        for path in ("", f"{pk}/change/", f"{pk}/history/"):
            staff.get(f"/admin/agents/toolserver/{path}")
    everything_stored(harvest)
    post(api, f"{two}delete/", {})
    everything_stored(harvest)

    assert ToolServer.objects.count() == 2 and len(door.brought) > 10
    assert "Bearer [redacted]" in str(harvest.pieces)
    assert harvest.leaks([TOOL_TOKEN, *BAD_TOKENS]) == []


PARTS = ("", "progress", "calls/", "compare/", "report.html", "results.json", "calls.csv")
PAGES = [address(route) for route, _ in WITHOUT_OBJECT]
ADMIN = [model for model in apps.get_models() if admin.site.is_registered(model)]


def test_no_key_leaks_from_pages_exports_or_admin(
    alice: User, harvest: Harvest, simulator: Any, api: Recorder
) -> None:
    pages, staff = Recorder(harvest), Recorder(harvest)
    pages.force_login(alice)
    staff.force_login(UserFactory.create(is_staff=True, is_superuser=True))
    for provider, key in CANARIES.items():
        form = {"provider": provider, "api_key": key, "label": "one", "model_name": "x" * 200}
        pages.post("/keys/add/", form)  # refused: the model's name is too long
        pages.post("/keys/add/", {**form, "model_name": ""})
    for row in LLMCredential.objects.all():
        talk(api, str(row.pk))
        pages.get(f"/keys/{row.pk}/")
        staff.get(f"/admin/credentials/llmcredential/{row.pk}/change/")
    for path in PAGES:
        pages.get(path)
        staff.get(path)
    for model in ADMIN:
        staff.get(f"/admin/{model._meta.app_label}/{model._meta.model_name}/")

    assert LLMCredential.objects.count() == len(CANARIES)
    assert "/usage/export.csv" in PAGES and "/metrics" in PAGES
    assert harvest.leaks(list(CANARIES.values())) == []


def test_no_key_leaks_from_a_debug_page(
    api: Recorder, harvest: Harvest, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*args: Any) -> None:
        raise RuntimeError("a mistake of ours")

    settings.DEBUG = True
    monkeypatch.setattr("credentials.services._refuse_twin", breaks)
    for provider, key in CANARIES.items():
        response = post(api, KEYS, {"provider": provider, "api_key": key})
        assert response.status_code == 500 and b"RuntimeError" in response.content

    assert harvest.leaks(list(CANARIES.values())) == []


def test_no_key_leaks_from_the_benchmark(
    api: Recorder, alice: User, harvest: Harvest, simulator: Any, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for provider, key in CANARIES.items():
        post(api, KEYS, {"provider": provider, "api_key": key})
    output = tmp_path / "results.json"
    call_command("benchmark", user="alice", runs=1, warmup=0, output=str(output))
    shown = capsys.readouterr()
    harvest.add("benchmark", shown.out + shown.err)
    harvest.add("results", output.read_text())

    assert "openai" in output.read_text()
    assert harvest.leaks(list(CANARIES.values())) == []


def test_no_key_leaks_from_the_pages_and_files_of_a_benchmark(
    api: Recorder, alice: User, harvest: Harvest, simulator: Any
) -> None:
    pages = Recorder(harvest)
    pages.force_login(alice)
    for key in (CANARIES["openai"], FAULT_KEYS["401"], FAULT_KEYS["errorevent"]):
        body = {"provider": "openai", "api_key": key, "label": key[-6:]}
        credential = post(api, KEYS, body).json()["id"]
        asked = {"provider": "openai", "credential_id": credential}
        post(
            api,
            "/api/v1/benchmarks/runs",
            {"contenders": [asked], "runs": 1, "warmup": 0, "max_cost_usd": "1"},
        )
    for run in BenchmarkRun.objects.all():
        for part in (
            "",
            "progress",
            "calls/",
            "compare/",
            "report.html",
            "results.json",
            "calls.csv",
        ):
            pages.get(f"/benchmarks/{run.pk}/{part}")
        api.get(f"/api/v1/benchmarks/runs/{run.pk}/samples")
    everything_stored(harvest)

    assert BenchmarkRun.objects.count() == 3
    assert BenchmarkSample.objects.exclude(status="ok").count() == 6
    assert harvest.leaks([CANARIES["openai"], *FAULT_KEYS.values()]) == []


def test_the_harness_finds_a_leak() -> None:
    key = CANARIES["openai"]
    for leaked in (key, base64.b64encode(key.encode()).decode(), quote(key, safe=""), key[:12]):
        harvest = Harvest()
        harvest.add("page", f"before {leaked} after")

        assert harvest.leaks([key])
