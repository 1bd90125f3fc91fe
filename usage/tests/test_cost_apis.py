"""The providers' cost APIs, against a stand-in that answers as their references say."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any
from urllib.parse import parse_qs

import pytest
from django.core.management import CommandError, call_command

from byom.tests.live_server import serve
from usage import cost_apis
from usage.cost_apis import NoBill, fetch_costs
from usage.models import Reconciliation
from usage.tests.test_reconciliation import booked

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
KEY = "sk-admin-Canary7712345Zz"
FIRST, END = date(2026, 3, 1), date(2026, 3, 4)


def start_of(day: int) -> int:
    return int(datetime(2026, 3, day, tzinfo=UTC).timestamp())


def openai_day(day: int, *costs: tuple[str, str]) -> dict[str, Any]:
    results = [
        {
            "object": "organization.costs.result",
            "amount": {"value": float(value), "currency": "usd"},
            "line_item": item,
            "project_id": None,
        }
        for item, value in costs
    ]
    return {"object": "bucket", "start_time": start_of(day), "results": results}


def anthropic_day(day: int, *costs: tuple[str | None, str]) -> dict[str, Any]:
    results = [
        {"currency": "USD", "amount": cents, "model": model, "description": "tokens"}
        for model, cents in costs
    ]
    return {"starting_at": f"2026-03-{day:02}T00:00:00Z", "results": results}


class StandIn:
    """Each provider's pages, and what was asked for them."""

    url = ""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], dict[str, list[str]]]] = []
        self.answer: tuple[int, bytes] | None = None
        self.pages = {
            "/v1/organization/costs": [
                [openai_day(1, ("gpt-4o-2024-08-06, input", "0.06"), ("gpt-4o, output", "0.14"))],
                [openai_day(2), openai_day(3, ("o3, input", "1.5"))],
            ],
            "/v1/organizations/cost_report": [
                [anthropic_day(1, ("claude-sonnet-4-20250514", "123.45"), (None, "10"))],
                [anthropic_day(2), anthropic_day(3)],
            ],
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for phase in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{phase}.complete"})
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        query = parse_qs(scope["query_string"].decode())
        self.asked.append((scope["path"], headers, query))
        status, body = self.answer or self._page(scope["path"], query)
        head = [(b"content-type", b"application/json"), (b"retry-after", b"30")]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": body})

    def _page(self, path: str, query: dict[str, list[str]]) -> tuple[int, bytes]:
        pages = self.pages[path]
        number = int(query.get("page", ["page_0"])[0].removeprefix("page_"))
        more = number + 1 < len(pages)
        following = f"page_{number + 1}" if more else None
        page = {"data": pages[number], "has_more": more, "next_page": following}
        return 200, json.dumps(page).encode()


@pytest.fixture
def api() -> Iterator[StandIn]:
    app = StandIn()
    with serve(app) as url:
        app.url = url
        yield app


def reconcile(api: StandIn, monkeypatch: pytest.MonkeyPatch, provider: str, key: str = KEY) -> str:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{key}\n"))
    span = ("--since", "2026-03-01", "--until", "2026-03-04")
    call_command(
        "reconcile", "--provider", provider, *span, "--url", api.url, stdout=out, stderr=out
    )
    return out.getvalue()


def test_openai_is_asked_for_every_page_and_compared(
    api: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    booked("0.22", model="gpt-4o")
    told = reconcile(api, monkeypatch, "openai")

    path, headers, query = api.asked[0]
    assert (path, headers["authorization"]) == ("/v1/organization/costs", f"Bearer {KEY}")
    assert query == {
        "start_time": [str(start_of(1))],
        "end_time": [str(start_of(4))],
        "bucket_width": ["1d"],
        "group_by": ["line_item"],
        "limit": ["180"],
    }
    assert [asked[2].get("page") for asked in api.asked] == [None, ["page_1"]]
    run = Reconciliation.objects.get()
    assert (run.first_day, run.last_day) == (FIRST, date(2026, 3, 3))
    assert (run.ours_usd, run.theirs_usd) == (D("0.22"), D("1.70"))
    rows = {(row.day.day, row.model): row.drift for row in run.rows.all()}
    assert rows == {(1, "gpt-4o"): D(10), (3, "o3"): D(-100)}
    assert "+10.00%" in told


def test_anthropic_is_asked_in_its_own_way(api: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    booked("1.2345", provider="anthropic", model="claude-sonnet-4")
    reconcile(api, monkeypatch, "anthropic")

    path, headers, query = api.asked[0]
    assert path == "/v1/organizations/cost_report"
    assert (headers["x-api-key"], headers["anthropic-version"]) == (KEY, "2023-06-01")
    assert query["starting_at"] == ["2026-03-01T00:00:00Z"]
    assert query["ending_at"] == ["2026-03-04T00:00:00Z"]
    assert query["group_by[]"] == ["description"]
    rows = Reconciliation.objects.get().rows
    assert {(row.model, row.theirs_usd) for row in rows.all()} == {
        ("claude-sonnet-4", D("1.2345")),
        ("", D("0.10")),
    }


def test_days_that_the_provider_is_silent_on_are_compared_too(
    api: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.pages["/v1/organization/costs"] = [[openai_day(1), openai_day(2), openai_day(3)]]
    booked("0.22", model="gpt-4o")
    reconcile(api, monkeypatch, "openai")

    run = Reconciliation.objects.get()
    assert (run.ours_usd, run.theirs_usd, run.drift) == (D("0.22"), D(0), None)


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (401, b"{}", "refuses this key, and takes an administrator's only .sk-admin-"),
        (403, b"{}", "refuses this key"),
        (429, b"{}", "try again in 30"),
        (400, b'{"error": "odd start_time"}', "it answered 400, .*odd start_time"),
        (500, KEY.encode(), "it answered 500"),
        (200, b"<html>", "not in the form"),
        (200, b"[]", "not in the form"),
        (200, b'{"data": [{"start_time": "soon"}]}', "can't be read as costs"),
        (302, b"", "it answered 302"),
    ],
)
def test_a_failure_is_told_without_the_key_and_nothing_is_kept(
    api: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: int,
    body: bytes,
    why: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    api.answer = (status, body)
    with pytest.raises(CommandError, match=why) as failure:
        reconcile(api, monkeypatch, "openai")

    chain: BaseException | None = failure.value
    while chain is not None:
        assert KEY not in str(chain) + repr(chain)
        chain = chain.__cause__ or chain.__context__
    assert KEY not in caplog.text
    assert not Reconciliation.objects.exists()


def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(NoBill, match="can't be reached .ConnectError"):
        fetch_costs("openai", KEY, FIRST, END, url="http://127.0.0.1:9")


def test_pages_without_end_are_given_up(api: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_apis, "MOST_PAGES", 3)
    api.answer = (200, b'{"data": [], "has_more": true, "next_page": "page_1"}')
    with pytest.raises(CommandError, match="more than 3 pages"):
        reconcile(api, monkeypatch, "openai")

    assert len(api.asked) == 3


@pytest.mark.parametrize("key", ["", "short", "two words are no key", "sk-admin-Cänary7712345"])
def test_what_is_no_key_is_not_sent(
    api: StandIn, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    with pytest.raises(CommandError, match="this is no key"):
        reconcile(api, monkeypatch, "openai", key)

    assert not api.asked


def test_the_key_is_never_an_argument_and_google_has_no_such_api() -> None:
    with pytest.raises(CommandError, match="unrecognized arguments: --key"):
        call_command("reconcile", "--provider", "openai", "--since", "2026-03-01", "--key", KEY)
    with pytest.raises(CommandError, match="has no API for costs"):
        call_command("reconcile", "--provider", "google", "--since", "2026-03-01")
    with pytest.raises(CommandError, match="no whole day"):
        call_command(
            "reconcile", "--provider", "openai", "--since", "2026-03-01", "--until", "2026-03-01"
        )
