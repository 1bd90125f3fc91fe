"""From what a provider's failure says to our own error: one table for all dialects.

Words that name a cause decide first, as statuses are blunt: OpenAI's 429 may mean "no credit
left", Gemini reports a bad key as 400, an error inside a stream has status 200. Then the
status, then the broad words of stream errors.

Sources: the error pages of platform.openai.com, platform.claude.com and ai.google.dev, and
the SDKs' own exception modules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from providers import errors
from providers.redaction import redact

_LONGEST_DETAIL = 300

Kind = type[errors.ProviderError]

# Gemini calls both "too fast" and "no more today" RESOURCE_EXHAUSTED, with the same message;
# only the quota's id tells them apart. Waiting seconds does not help with the second.
_DAILY_QUOTA = "daily quota"

_CAUSES: dict[str, Kind] = {
    _DAILY_QUOTA: errors.QuotaSpent,
    "insufficient_quota": errors.QuotaSpent,
    "billing_hard_limit_reached": errors.QuotaSpent,
    "billing_not_active": errors.QuotaSpent,
    "billing_error": errors.QuotaSpent,
    "context_length_exceeded": errors.ContextTooLong,
    "content_filter": errors.ContentRefused,
    "content_policy_violation": errors.ContentRefused,
    "invalid_prompt": errors.ContentRefused,
    "invalid_api_key": errors.AuthenticationFailed,
    "api_key_invalid": errors.AuthenticationFailed,
    "api_key_expired": errors.AuthenticationFailed,
    "model_not_found": errors.ModelNotFound,
}

# Only for what providers give no word for.
_SENTENCES: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"credit balance is too low", re.I), errors.QuotaSpent),
    (
        re.compile(
            r"prompt is too long|maximum context length|exceeds? the (model's )?context"
            r"|input token count .{0,40}exceeds",
            re.I,
        ),
        errors.ContextTooLong,
    ),
    (re.compile(r"API key not valid|API key expired", re.I), errors.AuthenticationFailed),
)

_STATUSES: dict[int, Kind] = {
    401: errors.AuthenticationFailed,
    402: errors.QuotaSpent,
    403: errors.PermissionDenied,
    404: errors.ModelNotFound,
    408: errors.CallTimeout,
    429: errors.RateLimited,
    504: errors.CallTimeout,
}

_BROAD: dict[str, Kind] = {
    "authentication_error": errors.AuthenticationFailed,
    "unauthenticated": errors.AuthenticationFailed,
    "permission_error": errors.PermissionDenied,
    "permission_denied": errors.PermissionDenied,
    "not_found_error": errors.ModelNotFound,
    "not_found": errors.ModelNotFound,
    "rate_limit_error": errors.RateLimited,
    "rate_limit_exceeded": errors.RateLimited,
    "resource_exhausted": errors.RateLimited,
    "timeout_error": errors.CallTimeout,
    "deadline_exceeded": errors.CallTimeout,
    "invalid_request_error": errors.InvalidRequest,
    "invalid_argument": errors.InvalidRequest,
    "failed_precondition": errors.InvalidRequest,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """What the provider said. `words` are all its machine-readable names, in lower case."""

    status: int | None = None
    words: tuple[str, ...] = ()
    message: str = ""
    request_id: str = ""
    retry_after: float | None = None

    def error(self, provider: str, *secrets: str) -> errors.ProviderError:
        """The error to raise, its detail free of `secrets`."""
        return self._kind()(
            provider,
            detail=clean(self.message, *secrets),
            retry_after=self.retry_after,
            request_id=self.request_id,
            upstream_status=self.status,
        )

    def _kind(self) -> Kind:
        if cause := next((_CAUSES[word] for word in self.words if word in _CAUSES), None):
            return cause
        if self.status is None or self.status < 500:
            for pattern, kind in _SENTENCES:
                if pattern.search(self.message):
                    return kind
        return self._kind_by_status()

    def _kind_by_status(self) -> Kind:
        if self.status is None or self.status < 300:
            broad = (_BROAD[word] for word in self.words if word in _BROAD)
            return next(broad, errors.Overloaded)
        if self.status < 400:
            return errors.BadAnswer  # a redirect, which is never followed
        default = errors.InvalidRequest if self.status < 500 else errors.Overloaded
        return _STATUSES.get(self.status, default)


def read_failure(
    body: object, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Failure:
    """Reads an error answer of any of the dialects; a body of no known shape is no trouble."""
    headers = headers or {}
    if isinstance(body, list) and body:
        body = body[0]
    error = body.get("error", body) if isinstance(body, dict) else body
    fields: dict[str, Any] = error if isinstance(error, dict) else {"message": _plain(error)}
    details = [d for d in _list(fields.get("details")) if isinstance(d, dict)]
    return Failure(
        status=status,
        words=tuple(_words(fields, details)),
        message=str(fields.get("message") or fields.get("detail") or ""),
        request_id=headers.get("x-request-id") or headers.get("request-id") or "",
        retry_after=_first(_wait_in_headers(headers), _wait_in_details(details)),
    )


def clean(message: str, *secrets: str) -> str:
    """One line, short, without keys and URLs: fit to be shown and logged."""
    without_urls = re.sub(r"\w+://\S+", "…", redact(message, *secrets))
    line = " ".join(without_urls.split())
    return line if len(line) <= _LONGEST_DETAIL else line[: _LONGEST_DETAIL - 1] + "…"


def _words(fields: dict[str, Any], details: list[dict[str, Any]]) -> Iterator[str]:
    values = [fields.get(name) for name in ("code", "type", "status")]
    values += [detail.get("reason") for detail in details]
    yield from (value.lower() for value in values if isinstance(value, str))
    if any("PerDay" in str(detail.get("violations")) for detail in details):
        yield _DAILY_QUOTA


def _plain(body: object) -> str:
    """A web page in place of an error (a wrong base URL, a proxy on the way) tells nobody much."""
    text = str(body or "").strip()
    return "" if text.startswith("<") else text


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _wait_in_headers(headers: Mapping[str, str]) -> float | None:
    """Seconds, from `retry-after-ms` or `retry-after` (seconds or an HTTP date)."""
    if (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "")
    if (seconds := _number(value)) is not None:
        return seconds
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    return None


def _wait_in_details(details: list[dict[str, Any]]) -> float | None:
    """Seconds, from Gemini's `google.rpc.RetryInfo`, whose delay looks like "34.07s"."""
    waits = (_number(str(detail.get("retryDelay", "")).removesuffix("s")) for detail in details)
    return next((wait for wait in waits if wait is not None), None)


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _number(text: str) -> float | None:
    """A plain decimal; `float` would also take "inf" and wait for ever."""
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", text.strip()) else None
