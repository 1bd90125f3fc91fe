"""Asking providers what they have billed, with an administrator's key that is used for this once.

OpenAI: https://platform.openai.com/docs/api-reference/usage/costs (180 days a page).
Anthropic: https://docs.anthropic.com/en/api/admin-api/usage-cost/get-cost-report (31 days a page).
Google has no such API.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import httpx2

from providers import registry
from providers.translation import clean

MOST_PAGES = 200
TIMEOUT = httpx2.Timeout(60, connect=10)
_KEY = re.compile(r"[\x21-\x7e]{8,512}")
Params = dict[str, str | int]


class NoBill(Exception):
    """{provider} did not tell its costs: {why}."""

    def __init__(self, provider: str, why: str) -> None:
        label = registry.label(provider)
        super().__init__((type(self).__doc__ or "").format(provider=label, why=why))


@dataclass(frozen=True, slots=True)
class CostAPI:
    """Where a provider tells its costs by day and model, and how it is asked."""

    url: str
    path: str
    headers: Callable[[str], dict[str, str]]
    params: Callable[[date, date], Params]
    key_hint: str


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def _openai_params(start: date, end: date) -> Params:
    return {
        "start_time": int(_midnight(start).timestamp()),
        "end_time": int(_midnight(end).timestamp()),
        "bucket_width": "1d",
        "group_by": "line_item",
        "limit": 180,
    }


def _anthropic_params(start: date, end: date) -> Params:
    return {
        "starting_at": f"{start}T00:00:00Z",
        "ending_at": f"{end}T00:00:00Z",
        "bucket_width": "1d",
        "group_by[]": "description",
        "limit": 31,
    }


COST_APIS = {
    "openai": CostAPI(
        url="https://api.openai.com",
        path="/v1/organization/costs",
        headers=lambda key: {"authorization": f"Bearer {key}"},
        params=_openai_params,
        key_hint="sk-admin-…",
    ),
    "anthropic": CostAPI(
        url="https://api.anthropic.com",
        path="/v1/organizations/cost_report",
        headers=lambda key: {"x-api-key": key, "anthropic-version": "2023-06-01"},
        params=_anthropic_params,
        key_hint="sk-ant-admin…",
    ),
}


def fetch_costs(provider: str, key: str, start: date, end: date, *, url: str = "") -> list[Any]:
    """The pages of the costs of whole days (UTC), without `end`; `usage.bills` reads them. `url`
    is another server that speaks for the provider. Raises NoBill, which does not show the key."""
    if not _KEY.fullmatch(key):
        raise NoBill(provider, "this is no key: it has to be one line of printable characters")
    api = COST_APIS[provider]
    with httpx2.Client(
        base_url=url or api.url, headers=api.headers(key), timeout=TIMEOUT, trust_env=False
    ) as http:
        return list(_pages(provider, http, key, api.params(start, end)))


def _pages(provider: str, http: httpx2.Client, key: str, params: Params) -> Iterator[Any]:
    for _ in range(MOST_PAGES):
        page = _page(provider, http, key, params)
        yield page
        if not page.get("has_more"):
            return
        params = {**params, "page": str(page.get("next_page"))}
    raise NoBill(provider, f"there are more than {MOST_PAGES} pages of them")


def _page(provider: str, http: httpx2.Client, key: str, params: Params) -> dict[str, Any]:
    api = COST_APIS[provider]
    try:
        response = http.get(api.path, params=params)
    except httpx2.HTTPError as error:
        why = f"it can't be reached ({type(error).__name__})"
    else:
        if response.status_code == 200:
            return _body(provider, response)
        why = _refusal(api, response, key)
    raise NoBill(provider, why)  # not within the `except`: its request would hang on it, with a key


def _refusal(api: CostAPI, response: httpx2.Response, key: str) -> str:
    if response.status_code in (401, 403):
        return f"it refuses this key, and takes an administrator's only ({api.key_hint})"
    if response.status_code == 429:
        wait = response.headers.get("retry-after", "a while")
        return f"it is asked too often; try again in {clean(wait, key)} (seconds)"
    return f"it answered {response.status_code}, {clean(response.text, key) or 'no more than that'}"


def _body(provider: str, response: httpx2.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("data"), list):
        raise NoBill(provider, "its answer is not in the form that it describes")
    return body
