from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from credentials.tests.factories import UserFactory
from usage.bills import UnreadableBill, read_bill
from usage.models import Reconciliation, UsageRecord
from usage.reconciliation import reconcile

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
DAY = date(2026, 3, 1)
START = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())


def openai_costs(*items: tuple[str | None, float]) -> str:
    results = [
        {"amount": {"value": value, "currency": "usd"}, "line_item": name} for name, value in items
    ]
    bucket = {"object": "bucket", "start_time": START, "end_time": START + 86400}
    return json.dumps({"object": "page", "data": [{**bucket, "results": results}]})


def booked(cost: str | None, **fields: Any) -> UsageRecord:
    facts: dict[str, Any] = {
        "surface": "api", "provider": "openai", "model": "gpt-4o", "usage_source": "reported",
        "latency_ms": 1.0, "status": "ok", "paid_by": "system", "cost_usd": cost,
    }  # fmt: skip
    with patch("django.utils.timezone.now", return_value=datetime(2026, 3, 1, 12, tzinfo=UTC)):
        return UsageRecord.objects.create(**{**facts, **fields})


def test_openais_costs_are_added_up_by_day_and_model() -> None:
    text = openai_costs(("gpt-4o-2024-08-06, input", 0.06), ("gpt-4o, output", 0.14))

    assert read_bill("openai", text) == {(DAY, "gpt-4o"): Decimal("0.20")}


def test_anthropics_amounts_are_cents() -> None:
    result = {"currency": "USD", "amount": "123.45", "model": "claude-sonnet-4-20250514"}
    text = json.dumps({"data": [{"starting_at": "2026-03-01T00:00:00Z", "results": [result]}]})

    assert read_bill("anthropic", text) == {(DAY, "claude-sonnet-4"): Decimal("1.2345")}


def test_a_csv_file_serves_any_provider() -> None:
    text = "date,model,cost_usd\n2026-03-01,gemini-2.5-pro,1.5\n2026-03-01,gemini-2.5-pro,0.25\n"

    assert read_bill("google", text) == {(DAY, "gemini-2.5-pro"): Decimal("1.75")}


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1]", '{"data": []}', "{", "date,model\n2026-03-01,x\n", "a,b\n1,2\n",
     "date,model,cost_usd\n2026-03-01,x,much\n"],
)  # fmt: skip
def test_what_is_no_bill_is_refused(text: str) -> None:
    with pytest.raises(UnreadableBill):
        read_bill("openai", text)


def test_other_currencies_are_refused() -> None:
    with pytest.raises(UnreadableBill, match="eur"):
        read_bill("openai", openai_costs(("gpt-4o", 1.0)).replace("usd", "eur"))


def test_drift_is_told_by_day_and_model() -> None:
    booked("0.11")
    booked("0.11", model_served="gpt-4o-2024-08-06")
    booked("0.50", model="o3")
    booked("9", is_simulated=True)
    booked("9", provider="anthropic")
    booked(None)

    bill = {(DAY, "gpt-4o"): Decimal("0.20"), (DAY, "gpt-5"): Decimal("1")}
    run = reconcile(provider="openai", bill=bill, source="costs.json")

    found = {row.model: (row.ours_usd, row.theirs_usd, row.drift) for row in run.rows.all()}
    assert found == {
        "gpt-4o": (Decimal("0.22"), Decimal("0.20"), Decimal(10)),
        "gpt-5": (0, 1, -100),
        "o3": (Decimal("0.5"), 0, None),
    }
    assert (run.ours_usd, run.theirs_usd, run.drift) == (
        Decimal("0.72"),
        Decimal("1.2"),
        Decimal(-40),
    )


def test_figures_without_models_are_compared_by_day() -> None:
    booked("0.25")
    booked("0.25", model="o3")
    bill = read_bill("openai", openai_costs((None, 0.5)))

    [row] = reconcile(provider="openai", bill=bill, source="x").rows.all()
    assert (row.model, row.ours_usd, row.drift) == ("", Decimal("0.5"), Decimal(0))


def test_calls_can_be_narrowed_to_who_paid() -> None:
    booked("1")
    booked("2", paid_by="user")
    bill = {(DAY, ""): Decimal(1)}

    assert reconcile(provider="openai", bill=bill, source="x", paid_by="system").drift == 0


def test_the_command_prints_and_keeps_what_it_found(tmp_path: Path, capsys: Any) -> None:
    booked("0.22")
    path = tmp_path / "costs.json"
    path.write_text(openai_costs(("gpt-4o, input", 0.2)))
    call_command("reconcile", provider="openai", file=path)

    told = capsys.readouterr().out
    assert "gpt-4o" in told
    assert "+10.00%" in told
    assert Reconciliation.objects.get().source == "costs.json"


def test_the_command_says_what_it_can_not_read(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="can't be read"):
        call_command("reconcile", provider="openai", file=tmp_path / "none.json")


def test_staff_see_the_last_results(client: Client) -> None:
    booked("0.22")
    bill = {(DAY, "gpt-4o"): Decimal("0.20")}
    reconcile(provider="openai", bill=bill, source="march.json")
    client.force_login(UserFactory.create(is_staff=True))

    page = client.get("/usage/reconciliation/").content.decode()
    assert "march.json" in page
    assert "10.00%" in page


def test_people_do_not_see_them(client: Client, alice: User) -> None:
    client.force_login(alice)

    assert client.get("/usage/reconciliation/").status_code == 404
