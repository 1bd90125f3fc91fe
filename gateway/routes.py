"""The addresses: which dialect is spoken at each, what a call there does, and where it leads."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import quote

from gateway.dialects import ANTHROPIC, GOOGLE, OPENAI, Dialect, Headers
from gateway.errors import UnknownAddress
from gateway.readers import (
    Reader,
    read_anthropic,
    read_count,
    read_google,
    read_google_embedding,
    read_openai,
    read_responses,
)


@dataclass(frozen=True, slots=True)
class Operation:
    """What a call does; `name` is for traces. `reports_if_told` says that its streams report usage
    only if asked to; `is_free`, that no provider takes money for it; `translates`, that models of
    other dialects can be asked too. Of the body's fields, `refuses` names those that would leave
    us without the usage, each with the reason."""

    read: Reader
    name: str = "chat"
    reports_if_told: bool = False
    is_free: bool = False
    translates: bool = False
    refuses: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """An address of ours: its dialect, where it leads below the provider's base URL, and what
    the address itself says of the request (Gemini's names the model)."""

    dialect: Dialect
    path: str
    does: Operation
    model: str = ""
    stream: bool = False

    def naming(self, model: str) -> Route:
        """The same with another model, where the address names it."""
        if not self.model or self.model == model:
            return self
        before, _, action = self.path.rpartition(":")
        version = before.removesuffix(f"/models/{self.model}")
        path = f"{version}/models/{quote(model, safe='')}:{action}"
        return replace(self, model=model, path=path)


CHAT = Operation(read_openai, reports_if_told=True, translates=True)
RESPONSES = Operation(
    read_responses,
    refuses=(("background", "what runs in the background can't be counted; leave it out"),),
)

_POSTS = {
    "/v1/chat/completions": Route(OPENAI, "/chat/completions", CHAT),
    "/v1/responses": Route(OPENAI, "/responses", RESPONSES),
    "/v1/embeddings": Route(OPENAI, "/embeddings", Operation(read_openai, "embeddings")),
    "/v1/messages": Route(ANTHROPIC, "/v1/messages", Operation(read_anthropic, translates=True)),
    "/v1/messages/count_tokens": Route(
        ANTHROPIC, "/v1/messages/count_tokens", Operation(read_count, "count_tokens", is_free=True)
    ),
}
_GOOGLE_ACTIONS = {
    "generateContent": Operation(read_google, translates=True),
    "streamGenerateContent": Operation(read_google, translates=True),
    "countTokens": Operation(read_count, "count_tokens", is_free=True),
    "embedContent": Operation(read_google_embedding, "embeddings"),
    "batchEmbedContents": Operation(read_google_embedding, "embeddings"),
}
# google-genai 3 calls /v1 unless told otherwise, older ones /v1beta.
_GOOGLE_PATH = re.compile(
    r"/(?P<version>v1(?:beta)?)/models/(?:google/)?(?P<model>[\w.-]{1,128}|(?:openai|anthropic|openai_compatible)/[\w./-]{1,100}):(?P<action>"
    + "|".join(_GOOGLE_ACTIONS)
    + ")",
    re.ASCII,
)
# A model's name may have slashes: `openai/gpt-4o-mini`, or a file's path on a server of one's own.
_MODELS_PATH = re.compile(r"/v1(?:beta)?/models(?:/(?P<model>[\x21-\x7e]{1,128}))?", re.ASCII)


def spoken(path: str, headers: Headers) -> Dialect:
    """The dialect to answer in, whatever the address."""
    if path.startswith(("/v1/chat/", "/v1/responses", "/v1/embeddings")):
        return OPENAI
    if path.startswith("/v1/messages"):
        return ANTHROPIC
    if path.startswith("/v1beta/") or _GOOGLE_PATH.fullmatch(path):
        return GOOGLE
    if "x-goog-api-key" in headers or "x-goog-api-client" in headers:
        return GOOGLE
    return ANTHROPIC if "anthropic-version" in headers else OPENAI


def model_asked_for(path: str) -> str:
    """The model that a GET wants to see, empty for the list of them all. Raises UnknownAddress."""
    match = _MODELS_PATH.fullmatch(path)
    if match is None:
        raise UnknownAddress
    return match["model"] or ""


def route(method: str, path: str) -> Route:
    """Where a request leads. Raises UnknownAddress."""
    if method == "POST":
        if known := _POSTS.get(path):
            return known
        if match := _GOOGLE_PATH.fullmatch(path):
            return _google(match)
    raise UnknownAddress


def _google(match: re.Match[str]) -> Route:
    model, action = match["model"], match["action"]
    path = f"/{match['version']}/models/{model}:{action}"
    stream = action.startswith("stream")
    return Route(GOOGLE, path, _GOOGLE_ACTIONS[action], model, stream)
