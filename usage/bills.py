"""Reading what providers say that was spent, by day (UTC) and model, in USD.

OpenAI: https://platform.openai.com/docs/api-reference/usage/costs (`line_item` is the model, a
comma and what of it; null if the costs were not grouped).
Anthropic: https://docs.anthropic.com/en/api/admin-api/usage-cost/get-cost-report (amounts are
decimal strings in cents; `model` is null if the costs were not grouped).
CSV: columns date, model, cost_usd.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

Bill = dict[tuple[date, str], Decimal]
Entry = tuple[date, str, Decimal]

_DATED = re.compile(r"[-@](?:20\d{2}-\d{2}-\d{2}|20\d{6})$")


class UnreadableBill(ValueError):
    """This can't be read as costs of {provider}: {why}."""

    def __init__(self, provider: str, why: str) -> None:
        super().__init__((type(self).__doc__ or "").format(provider=provider, why=why))


def read_bill(provider: str, text: str) -> Bill:
    """A file. Raises UnreadableBill."""
    if bill := _added_up(provider, lambda: _entries(provider, text)):
        return bill
    raise UnreadableBill(provider, "it holds no costs")


def read_pages(provider: str, pages: list[Any]) -> Bill:
    """What the provider's API answered; nothing may have been spent. Raises UnreadableBill."""
    return _added_up(provider, lambda: _json_entries(provider, pages))


def _added_up(provider: str, entries: Callable[[], Iterator[Entry]]) -> Bill:
    bill: Bill = defaultdict(Decimal)
    try:
        for day, model, cost in entries():
            bill[day, plain_model(model)] += cost
    except UnreadableBill:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, InvalidOperation) as error:
        raise UnreadableBill(provider, f"{type(error).__name__} {error}") from None
    return dict(bill)


def plain_model(name: str) -> str:
    """Without the date of a snapshot: gpt-4o-2024-08-06 is billed as gpt-4o."""
    return _DATED.sub("", name.strip().lower())


def _entries(provider: str, text: str) -> Iterator[Entry]:
    if not text.lstrip().startswith(("{", "[")):
        return _csv_entries(text)
    if provider not in JSON_READERS:
        raise UnreadableBill(provider, "JSON is read for openai and anthropic only, CSV for all")
    body = json.loads(text, parse_float=Decimal)
    return _json_entries(provider, body if isinstance(body, list) else [body])


def _json_entries(provider: str, pages: list[Any]) -> Iterator[Entry]:
    buckets = [bucket for page in pages for bucket in page.get("data", [page])]
    read = JSON_READERS[provider]
    return (entry for bucket in buckets for entry in read(bucket))


def _openai(bucket: Mapping[str, Any]) -> Iterator[Entry]:
    day = datetime.fromtimestamp(int(bucket["start_time"]), UTC).date()
    for result in bucket["results"]:
        _check_currency("openai", result["amount"]["currency"])
        model = (result.get("line_item") or "").partition(",")[0]
        yield day, model, Decimal(result["amount"]["value"])


def _anthropic(bucket: Mapping[str, Any]) -> Iterator[Entry]:
    day = datetime.fromisoformat(bucket["starting_at"]).astimezone(UTC).date()
    for result in bucket["results"]:
        _check_currency("anthropic", result["currency"])
        yield day, result.get("model") or "", Decimal(result["amount"]) / 100


def _check_currency(provider: str, currency: str) -> None:
    if currency.lower() != "usd":
        raise UnreadableBill(provider, f"amounts are in {currency}, not in USD")


def _csv_entries(text: str) -> Iterator[Entry]:
    for row in csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))):
        day = date.fromisoformat(row["date"].strip())
        yield day, row.get("model") or "", Decimal(row["cost_usd"].strip())


JSON_READERS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[Entry]]] = {
    "openai": _openai,
    "anthropic": _anthropic,
}
