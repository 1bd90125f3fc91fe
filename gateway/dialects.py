"""What differs between the dialects: addresses, headers, bodies and errors.

A dialect is a frozen row; `route` finds it by the address that was called. How answers are read
is in `gateway.taps`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import BadBody, UnknownAddress
from gateway.taps import Reader, read_anthropic, read_google, read_openai
from providers.vocabulary import JSON

Headers = Mapping[str, str]
TOKEN_PREFIX = "byom_"


@dataclass(frozen=True, slots=True)
class Dialect:
    """One dialect. `provider` is the one whose models are meant when a model's name tells
    nothing; `providers` are all those that speak it. `address` is for sentences."""

    provider: str
    providers: tuple[str, ...]
    address: str
    key_header: Callable[[str], tuple[str, str]]
    error_body: Callable[[int, str, str, float | None], JSON]
    read: Reader
    error_event: bytes = b""
    request_headers: frozenset[str] = frozenset()

    def error_frame(self, body: bytes) -> bytes:
        """An error as the last event of a stream that had begun. What was sent before may have
        stopped between two lines of an event: the blank line ends that one."""
        return b"\n\n" + self.error_event + b"data: " + body + b"\n\n"


@dataclass(frozen=True, slots=True)
class Route:
    """An address of ours: its dialect, where it leads below the provider's base URL, and what
    the address itself says of the request (Gemini's names the model)."""

    dialect: Dialect
    path: str
    model: str = ""
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as far as the gateway has to understand it. `body` are the client's bytes;
    `hides_usage` says that usage was asked for by us and not by the client."""

    model: str
    stream: bool
    body: bytes
    parsed: JSON
    hides_usage: bool = False


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


OPENAI = Dialect(
    provider="openai",
    providers=("openai", "openai_compatible"),
    address="POST /v1/chat/completions",
    key_header=lambda key: ("authorization", f"Bearer {key}"),
    error_body=_openai_error,
    read=read_openai,
    request_headers=frozenset({"openai-beta", "idempotency-key"}),
)
ANTHROPIC = Dialect(
    provider="anthropic",
    providers=("anthropic",),
    address="POST /v1/messages",
    key_header=lambda key: ("x-api-key", key),
    error_body=_anthropic_error,
    read=read_anthropic,
    error_event=b"event: error\n",
    request_headers=frozenset({"anthropic-version", "anthropic-beta", "idempotency-key"}),
)
GOOGLE = Dialect(
    provider="google",
    providers=("google",),
    address="POST /v1/models/MODEL:generateContent",
    key_header=lambda key: ("x-goog-api-key", key),
    error_body=_google_error,
    read=read_google,
    request_headers=frozenset({"x-goog-api-client"}),
)
DIALECTS = (OPENAI, ANTHROPIC, GOOGLE)

_MODEL = re.compile(r"[\x21-\x7e]{1,128}")
# google-genai 3 calls /v1 unless told otherwise, older ones /v1beta.
_GOOGLE_PATH = re.compile(
    r"/v1(?:beta)?/models/(?P<model>[\w.-]{1,128}):(?P<action>generateContent|streamGenerateContent)",
    re.ASCII,
)


def dialect_of(provider: str) -> Dialect:
    return next(dialect for dialect in DIALECTS if provider in dialect.providers)


def spoken(path: str, headers: Headers) -> Dialect:
    """The dialect to answer in, whatever the address."""
    if path.startswith("/v1/chat/"):
        return OPENAI
    if path.startswith("/v1/messages"):
        return ANTHROPIC
    if path.startswith("/v1beta/") or _GOOGLE_PATH.fullmatch(path):
        return GOOGLE
    if "x-goog-api-key" in headers or "x-goog-api-client" in headers:
        return GOOGLE
    return ANTHROPIC if "anthropic-version" in headers else OPENAI


def route(method: str, path: str) -> Route:
    """Where a request leads. Raises UnknownAddress."""
    if method == "POST":
        if path == "/v1/chat/completions":
            return Route(OPENAI, "/chat/completions")
        if path == "/v1/messages":
            return Route(ANTHROPIC, path)
        if match := _GOOGLE_PATH.fullmatch(path):
            return Route(GOOGLE, path, match["model"], match["action"].startswith("stream"))
    raise UnknownAddress


def access_token(headers: Headers) -> str:
    """The access token, from wherever an SDK puts its API key; empty if there is none."""
    _, _, bearer = headers.get("authorization", "").partition(" ")
    places = (bearer.strip(), headers.get("x-api-key", ""), headers.get("x-goog-api-key", ""))
    return next((token for token in places if token.startswith(TOKEN_PREFIX)), "")


def read_request(where: Route, body: bytes) -> Asked:
    """Raises BadBody, for what no provider could answer either."""
    try:
        parsed = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise BadBody(flaw="its body is not JSON") from None
    if not isinstance(parsed, dict):
        raise BadBody(flaw="its body is not a JSON object")
    model = where.model or parsed.get("model")
    # The name goes into headers and into the ledger.
    if not isinstance(model, str) or not _MODEL.fullmatch(model):
        raise BadBody(flaw="it names no model")
    stream = where.stream if where.model else parsed.get("stream") is True
    return Asked(model=model, stream=stream, body=body, parsed=parsed)


def asking_for_usage(asked: Asked) -> Asked:
    """A stream of OpenAI's dialect reports usage only if told to.

    Where the client sent no `stream_options`, they are put before its own bytes, which stay as
    they were. Options that can't be understood are left to the provider to refuse.
    """
    options = asked.parsed.get("stream_options")
    if not asked.stream or not isinstance(options, dict | None):
        return asked
    if options and options.get("include_usage"):
        return asked
    if "stream_options" in asked.parsed:
        wanted = {**(options or {}), "include_usage": True}
        body = json.dumps({**asked.parsed, "stream_options": wanted}).encode()
    else:
        before, brace, after = asked.body.partition(b"{")
        body = before + brace + b'"stream_options":{"include_usage":true},' + after
    return Asked(asked.model, asked.stream, body, asked.parsed, hides_usage=True)


_QUERY = {("alt", "sse"), ("alt", "json"), ("beta", "true")}


def passing_query(query: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Of the query, what goes on. Gemini's `fields`, say, could leave the usage out."""
    return [pair for pair in query if pair in _QUERY]


def error_bytes(
    dialect: Dialect, *, status: int, code: str, message: str, retry_after: float | None
) -> bytes:
    return json.dumps(dialect.error_body(status, code, message, retry_after)).encode()


def prompt_characters(body: bytes) -> int:
    """How much text a request holds, for the estimate where no usage was reported."""
    characters = 0
    todo: list[Any] = [json.loads(body)]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            texts = [value.get(name) for name in ("text", "content", "system")]
            characters += sum(len(text) for text in texts if isinstance(text, str))
            todo += [inner for inner in value.values() if isinstance(inner, dict | list)]
    return characters
