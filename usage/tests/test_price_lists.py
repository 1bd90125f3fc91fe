"""Fetched prices: over real HTTP from a small server, read back by what prices calls."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal as D
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from byom.tests.live_server import serve
from credentials.audit import AuditEvent
from providers import registry
from providers.vocabulary import Usage
from usage import price_lists
from usage.accounts import Account, Caller, Payer
from usage.ledger import OpenCall
from usage.models import PriceList, Status, Surface, UsageRecord, UsageSource
from usage.prices import by_list, price_of
from usage.windows import context_window

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
M = Usage(input_tokens=1_000_000)


@pytest.fixture(autouse=True)
def _as_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_lists._InUse, "prices", None)
    monkeypatch.setattr(price_lists._InUse, "was_read", False)


def model(name: str, price: Any = 1, **fields: Any) -> dict[str, Any]:
    prices = {"input_mtok": price, "output_mtok": 2}
    return {"id": name, "match": {"equals": name}, "prices": prices, **fields}


def listed(mini: Any = 0.5, fillers: int = 1500, **changes: Any) -> list[dict[str, Any]]:
    """A list as the package publishes it: our default models, new ones, and many others."""
    rows = [registry.get(name) for name in registry.names()]
    made = [
        {
            "id": row.pricing_id,
            "name": row.label,
            "api_pattern": "x",
            "models": [model(row.default_model)],
        }
        for row in rows
        if row.pricing_id
    ]
    made[0]["models"] = [
        model("gpt-4o-mini", mini),
        model("gpt-of-the-future-9", 7, context_window=5_000_000),
    ]
    many = [model(f"m{n}") for n in range(fillers)]
    return [*made, {"id": "others", "name": "O", "api_pattern": "y", "models": many}]


def written(at: Path, content: Any) -> str:
    file = at / "prices.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(file)


def update(*options: str) -> str:
    out = StringIO()
    call_command("update_prices", *options, stdout=out)
    return out.getvalue()


def price(name: str = "gpt-4o-mini") -> Any:
    return price_of(provider="openai", models=[name], usage=M, at=timezone.now())


def called(user: User, name: str) -> UsageRecord:
    payer = Payer(provider="openai", model=name, paid_by="user", is_simulated=False)
    call = OpenCall(Account(Caller(surface=Surface.API, user_id=user.pk), payer))
    return call.settle(status=Status.OK, usage=M, usage_source=UsageSource.REPORTED)


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    body = json.dumps(listed()).encode()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for phase in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{phase}.complete"})
            return
        status = 200 if scope["path"] == "/prices.json" else 503
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    with serve(app) as url:
        yield url


def test_fetched_prices_are_in_use_and_rows_keep_where_they_are_from(
    shop: str, alice: User
) -> None:
    assert price().cost == D("0.15") and price("gpt-of-the-future-9").cost is None
    told = update("--url", f"{shop}/prices.json?secret=1")
    price_lists.refresh()

    row = PriceList.objects.get()
    assert row.origin == "http://127.0.0.1/prices.json"
    assert "secret" not in told
    assert price().cost == D("0.5") and price("gpt-of-the-future-9").cost == D(7)
    assert context_window("openai", "gpt-of-the-future-9") == 5_000_000
    source = f"genai-prices of {row.fetched_at:%Y-%m-%d %H:%M} UTC"
    record = called(alice, "gpt-4o-mini")
    assert (record.price_source, record.unit_prices["input_mtok"]) == (source, "0.5")
    assert source in told
    event = AuditEvent.objects.get()
    assert (event.action, event.object_type) == ("prices", "ledger")
    assert event.detail == f"{source}, from {row.origin}"


def test_another_process_takes_over_what_was_fetched(tmp_path: Path) -> None:
    assert price().cost == D("0.15")
    update("--file", written(tmp_path, listed()))
    assert price().cost == D("0.15")  # until its timer comes round

    price_lists.refresh()
    assert price().cost == D("0.5")
    update("--file", written(tmp_path, listed(mini=0.25)))
    price_lists.refresh()
    assert (price().cost, PriceList.objects.count()) == (D("0.25"), 1)


def test_a_new_process_reads_them_at_its_first_question(tmp_path: Path) -> None:
    update("--file", written(tmp_path, listed()))
    price_lists._InUse.was_read = False

    assert price().cost == D("0.5")


def test_check_tells_what_changes_for_the_models_in_the_ledger_and_stores_nothing(
    tmp_path: Path, alice: User
) -> None:
    called(alice, "gpt-4o-mini")
    called(alice, "gpt-of-the-future-9")
    call_command("rebuild_rollups", stdout=StringIO())
    told = update("--check", "--file", written(tmp_path, listed()))

    assert "openai gpt-of-the-future-9: no price -> input 7, output 2" in told
    assert "openai gpt-4o-mini: input 0.15, output 0.6, cache_read 0.075 -> input 0.5" in told
    assert "In use now" not in told and not PriceList.objects.exists()


@pytest.mark.parametrize("data", [b"", b"no zlib", zlib.compress(b"[1]")])
def test_a_damaged_list_keeps_no_call_from_its_row(
    alice: User, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    PriceList.objects.create(origin="x", package=price_lists.PACKAGE, known_models=1, data=data)
    record = called(alice, "gpt-4o-mini")

    assert record.price_source == f"genai-prices {price_lists.PACKAGE}"
    assert record.cost_usd == D("0.15") and "can't be read" in caplog.text


def test_the_bundled_prices_come_back(tmp_path: Path) -> None:
    update("--file", written(tmp_path, listed()))
    assert f"In use now: genai-prices {price_lists.PACKAGE}." in update("--bundled")
    price_lists.refresh()

    assert price().cost == D("0.15")
    assert price().source == f"genai-prices {price_lists.PACKAGE}"


def test_a_newer_package_goes_before_a_list_that_was_fetched_earlier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update("--file", written(tmp_path, listed()))
    monkeypatch.setattr(price_lists, "PACKAGE", "999.0")
    price_lists.refresh()

    assert price().cost == D("0.15")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "not in the package's form"),
        ("<html>sign in</html>", "not in the package's form"),
        ("{}", "no list of providers"),
        ("[]", "they know 0 models"),
        ("[1]", "not in the package's form"),
        ("[" * 100_000, "not in the package's form"),
        (listed(fillers=10), "they know 1[0-9] models"),
        (listed(mini=0), "gpt-4o-mini of OpenAI has no price"),
        (listed(mini="cheap"), "not in the package's form"),
        (listed()[1:], "gpt-4o-mini of OpenAI has no price"),
    ],
    ids=["empty", "html", "object", "nothing", "number", "deep", "few", "free", "word", "cut off"],
)
def test_bad_prices_are_refused_and_nothing_changes(tmp_path: Path, content: Any, why: str) -> None:
    with pytest.raises(CommandError, match=why) as refused:
        update("--file", written(tmp_path, content))

    assert f"Prices stay as they are (genai-prices {price_lists.PACKAGE})" in str(refused.value)
    price_lists.refresh()
    assert price().cost == D("0.15") and not PriceList.objects.exists()


@pytest.mark.parametrize("path", ["{shop}/gone", "http://127.0.0.1:9/prices.json", "nonsense://x"])
def test_without_a_network_the_prices_stay(shop: str, path: str) -> None:
    with pytest.raises(CommandError, match="Prices stay as they are"):
        update("--url", path.format(shop=shop))


def test_what_never_ends_is_cut_off(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_lists, "MOST_BYTES", 1_000)

    with pytest.raises(CommandError, match="larger than 1,000 bytes"):
        update("--url", f"{shop}/prices.json")


OPUS = {
    "id": "claude-opus-4-6",
    "match": {"or": [{"starts_with": "claude-opus-4-6"}, {"starts_with": "claude-opus-4.6"}]},
    "prices": [
        {
            "prices": {
                "input_mtok": {"base": 5, "tiers": [{"start": 200_000, "price": 10}]},
                "output_mtok": {"base": 25, "tiers": [{"start": 200_000, "price": 37.5}]},
                "web_searches_kcount": 10,
            }
        },
        {
            "constraint": {"start_date": "2026-03-13"},
            "prices": {"input_mtok": 5, "output_mtok": 25},
        },
    ],
    "price_variants": [
        {"when": {"speed": "fast"}, "prices": {"input_mtok": 10, "output_mtok": 50}}
    ],
}  # fmt: skip
EXTRACTOR = {
    "api_flavor": "default",
    "root": "usage",
    "model_path": "model",
    "mappings": [{"path": ["cache_creation", "a"], "dest": "input_tokens", "required": False}],
}


@pytest.mark.parametrize(
    ("month", "tier", "expected"),
    [
        (1, "", "3.0375"),  # 300,000 at $10 and 1,000 at $37.50 a million
        (4, "", "1.525"),  # 300,000 at $5 and 1,000 at $25
        (4, "fast", "3.05"),  # 300,000 at $10 and 1,000 at $50
    ],
)
def test_long_dated_and_faster_prices_of_a_fetched_list_hold(
    month: int, tier: str, expected: str
) -> None:
    maker = {"id": "anthropic", "name": "Anthropic", "api_pattern": "x", "extractors": [EXTRACTOR]}
    text = json.dumps([{**maker, "models": [OPUS]}]).encode()
    prices = price_lists.Prices(price_lists.parse(text), "a list")
    usage = Usage(input_tokens=300_000, output_tokens=1_000, service_tier=tier)
    at = datetime(2026, month, 1, tzinfo=UTC)

    assert by_list(prices, "anthropic", ["claude-opus-4.6-x"], usage, at).cost == D(expected)
