"""What goes out to a provider for a call, and what comes back at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from gateway.arrival import Answer
from gateway.asked import Asked
from gateway.dialects import Dialect
from gateway.routes import Operation
from gateway.upstream import Upstream

_RESPONSE_HEADERS = frozenset(
    {b"content-type", b"request-id", b"x-request-id", b"retry-after", b"retry-after-ms"}
    | {b"x-should-retry", b"openai-processing-ms", b"openai-version", b"server-timing"}
)
RATE_LIMITS = ("x-ratelimit-", "anthropic-ratelimit-")
_RAW_RATE_LIMITS = tuple(name.encode() for name in RATE_LIMITS)
Pairs = list[tuple[str, str]]


@dataclass(slots=True)
class Order:
    """One call as it goes out. `seconds` bound a whole answer, and each silence of a stream."""

    dialect: Dialect
    does: Operation
    asked: Asked
    label: str
    url: str
    query: Pairs
    key: str = field(repr=False)
    seconds: float
    is_simulated: bool
    is_trusted: bool

    async def send(self, upstream: Upstream, headers: Mapping[str, str]) -> Answer:
        """Of the client's headers only those go along that are known to do no harm. Raises as
        `Upstream.post` does."""
        allowed = self.dialect.request_headers
        passing = {}
        for name, value in headers.items():
            is_allowed = name in allowed or (self.is_simulated and name.startswith("x-sim-"))
            if is_allowed and value.isascii() and value.isprintable():
                passing[name] = value
        passing[self.dialect.key_header] = self.dialect.key_prefix + self.key
        return await upstream.post(
            f"{self.url}?{urlencode(self.query)}" if self.query else self.url,
            body=self.asked.body,
            headers=passing,
            seconds=self.seconds,
            trusted=self.is_trusted,
        )


@dataclass(slots=True)
class Whole:
    """An answer that came at once: what was asked for, or the provider's refusal."""

    status: int
    headers: Pairs
    body: bytes


def passing_headers(headers: Mapping[bytes, bytes]) -> Pairs:
    """Of the provider's headers those that clients use; none that sets a cookie or names an
    account."""
    return [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers.items()
        if name in _RESPONSE_HEADERS or name.startswith(_RAW_RATE_LIMITS)
    ]
