"""One measured call: plain values, the same whether just measured or read from the database."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from benchmarks.plan import Step


@dataclass(frozen=True, slots=True)
class Truth:
    """When the first and the last token left the simulator, counted from the request."""

    ttft_ms: float
    latency_ms: float

    def itl_ms(self, tokens: int) -> float:
        return (self.latency_ms - self.ttft_ms) / max(tokens - 1, 1)


@dataclass(frozen=True, slots=True)
class Error:
    """Measured minus true, in milliseconds."""

    ttft_ms: float
    itl_ms: float | None
    last_token_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """Tokens and cost as they are in the ledger. `cost_usd` is None where no price is known."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    usage_source: str = ""
    cost_usd: Decimal | None = None
    unit_prices: Mapping[str, str] = field(default_factory=dict)
    price_source: str = ""
    paid_by: str = ""

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Milliseconds from when the request left, or, with a planned rate of calls, from when it
    was to leave. None where there was nothing of the kind. docs/benchmarking.md defines them.

    `prepare_ms`, `connect_ms` (None: the connection was there already) and `wait_ms` (how late
    it left) came before. `error` is a sentence for a person. `passed` is None without checks.
    `counted_tokens` are those of the text by our own count, None where that can't tell.
    """

    step: Step
    started_at: datetime
    record_id: uuid.UUID
    status: str
    latency_ms: float
    ttft_ms: float | None = None
    first_event_ms: float | None = None
    first_visible_ms: float | None = None
    last_token_ms: float | None = None
    prepare_ms: float = 0.0
    connect_ms: float | None = None
    wait_ms: float | None = None
    bill: Bill = Bill()
    model_served: str = ""
    is_simulated: bool = False
    text: str = ""
    finish_reason: str = ""
    error_code: str = ""
    error: str = ""
    counted_tokens: int | None = None
    passed: bool | None = None
    failed_checks: tuple[str, ...] = ()
    truth: Truth | None = None

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def time_s(self) -> float:
        return self.latency_ms / 1000

    @property
    def visible_tokens(self) -> int:
        """Output tokens that came as text; reasoning that nobody saw is none."""
        hidden = self.bill.reasoning_tokens if self.first_visible_ms == self.ttft_ms else 0
        return self.bill.output_tokens - hidden

    @property
    def itl_ms(self) -> float | None:
        """Inter-token latency: (last token - first token) / (tokens - 1)."""
        if self.ttft_ms is None or self.last_token_ms is None or self.visible_tokens < 2:
            return None
        return (self.last_token_ms - self.ttft_ms) / (self.visible_tokens - 1)

    @property
    def tokens_per_s(self) -> float | None:
        """Output tokens by the whole time that the answer took."""
        tokens = self.bill.output_tokens
        return tokens / self.time_s if self.ok and tokens and self.latency_ms > 0 else None

    @property
    def harness_error(self) -> Error | None:
        """Where the truth is known."""
        truth = self.truth
        if truth is None or self.ttft_ms is None or self.last_token_ms is None:
            return None
        true_itl = truth.itl_ms(self.visible_tokens)
        return Error(
            ttft_ms=self.ttft_ms - truth.ttft_ms,
            itl_ms=None if self.itl_ms is None else self.itl_ms - true_itl,
            last_token_ms=self.last_token_ms - truth.latency_ms,
        )
