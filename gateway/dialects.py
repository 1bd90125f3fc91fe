"""What differs between the dialects: addresses, headers, bodies and errors.

A dialect is a frozen row; `gateway.routes` finds it by the address that was called. How answers
are read is in `gateway.readers`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from providers import registry
from providers.vocabulary import JSON

Headers = Mapping[str, str]
TOKEN_PREFIX = "byom_"
_REQUEST_HEADERS = frozenset({"content-type", "accept", "user-agent"})
_EPOCH = "1970-01-01T00:00:00Z"  # what Anthropic says where a release date is not known


@dataclass(frozen=True, slots=True)
class Dialect:
    """One dialect. `provider` is the one it is named after, whose models are meant when a model's
    name tells nothing. `address` is for sentences."""

    provider: str
    address: str
    key_header: str
    error_body: Callable[[int, str, str, float | None], JSON]
    model_entry: Callable[[str, str], JSON]
    model_list: Callable[[list[JSON]], JSON]
    key_prefix: str = ""
    error_event: bytes = b""
    request_headers: frozenset[str] = _REQUEST_HEADERS

    @property
    def providers(self) -> tuple[str, ...]:
        """All those of the registry that speak it."""
        names = registry.names()
        return tuple(name for name in names if registry.get(name).dialect == self.provider)

    def error_frame(self, body: bytes) -> bytes:
        """An error as the last event of a stream that had begun. What was sent before may have
        stopped between two lines of an event: the blank line ends that one."""
        return b"\n\n" + self.error_event + b"data: " + body + b"\n\n"


def _openai_error(status: int, code: str, message: str, retry_after: float | None) -> JSON:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    kind = "rate_limit_error" if status == 429 else kind
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


_ANTHROPIC_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def _anthropic_error(status: int, code: str, message: str, retry_after: float | None) -> JSON:
    usual = "api_error" if status >= 500 else "invalid_request_error"
    kind = _ANTHROPIC_TYPES.get(status, usual)
    return {"type": "error", "error": {"type": kind, "message": message}}


_GOOGLE_STATUSES = {
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def _google_error(status: int, code: str, message: str, retry_after: float | None) -> JSON:
    rpc = "type.googleapis.com/google.rpc."
    usual = "INTERNAL" if status >= 500 else "INVALID_ARGUMENT"
    details: list[JSON] = [
        {"@type": f"{rpc}ErrorInfo", "reason": code.upper(), "domain": "byom.gateway"}
    ]
    if retry_after is not None:
        details.append({"@type": f"{rpc}RetryInfo", "retryDelay": f"{math.ceil(retry_after)}s"})
    name = _GOOGLE_STATUSES.get(status, usual)
    return {"error": {"code": status, "message": message, "status": name, "details": details}}


def _openai_model(provider: str, name: str) -> JSON:
    return {"id": name, "object": "model", "created": 0, "owned_by": provider}


def _openai_models(entries: list[JSON]) -> JSON:
    return {"object": "list", "data": entries}


def _anthropic_model(provider: str, name: str) -> JSON:
    return {"type": "model", "id": name, "display_name": name, "created_at": _EPOCH}


def _anthropic_models(entries: list[JSON]) -> JSON:
    first, last = (entries[0]["id"], entries[-1]["id"]) if entries else (None, None)
    return {"data": entries, "has_more": False, "first_id": first, "last_id": last}


def _google_model(provider: str, name: str) -> JSON:
    return {"name": f"models/{name}", "displayName": name}


def _google_models(entries: list[JSON]) -> JSON:
    return {"models": entries}


OPENAI = Dialect(
    provider="openai",
    address="POST /v1/chat/completions",
    key_header="authorization",
    key_prefix="Bearer ",
    error_body=_openai_error,
    model_entry=_openai_model,
    model_list=_openai_models,
    request_headers=_REQUEST_HEADERS | {"openai-beta", "idempotency-key"},
)
ANTHROPIC = Dialect(
    provider="anthropic",
    address="POST /v1/messages",
    key_header="x-api-key",
    error_body=_anthropic_error,
    model_entry=_anthropic_model,
    model_list=_anthropic_models,
    error_event=b"event: error\n",
    request_headers=_REQUEST_HEADERS | {"anthropic-version", "anthropic-beta", "idempotency-key"},
)
GOOGLE = Dialect(
    provider="google",
    address="POST /v1/models/MODEL:generateContent",
    key_header="x-goog-api-key",
    error_body=_google_error,
    model_entry=_google_model,
    model_list=_google_models,
    request_headers=_REQUEST_HEADERS | {"x-goog-api-client"},
)
DIALECTS = (OPENAI, ANTHROPIC, GOOGLE)


def dialect_of(provider: str) -> Dialect:
    spoken = registry.get(provider).dialect
    return next(dialect for dialect in DIALECTS if dialect.provider == spoken)


def access_token(headers: Headers) -> str:
    """The access token, from wherever an SDK puts its API key; empty if there is none."""
    _, _, bearer = headers.get("authorization", "").partition(" ")
    for token in (bearer.strip(), headers.get("x-api-key", ""), headers.get("x-goog-api-key", "")):
        if token.startswith(TOKEN_PREFIX):
            return token
    return ""


_QUERY = {("alt", "sse"), ("alt", "json"), ("beta", "true")}


def passing_query(query: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Of the query, what goes on. Gemini's `fields`, say, could leave the usage out."""
    return [pair for pair in query if pair in _QUERY]


def error_bytes(
    dialect: Dialect, *, status: int, code: str, message: str, retry_after: float | None
) -> bytes:
    return json.dumps(dialect.error_body(status, code, message, retry_after)).encode()
