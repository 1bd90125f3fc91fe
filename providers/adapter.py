"""What all adapters share: checks before a call, deadlines, and errors of our own only.

An adapter overrides `_complete`, `_open` and `_models` with its SDK's calls, reads the JSON of
answers, and names the SDK's exception classes in `sdk_errors`. The rest is here, so that no adapter
can forget it.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar, Protocol, TypeVar

import anyio
import httpx2

from providers import errors
from providers.capabilities import lacking
from providers.dial import Refused
from providers.http import UnreadableAnswer, outbound, timeouts
from providers.keys import check_base_url, check_key
from providers.registry import Provider
from providers.sse import ErrorEvent, read_events
from providers.translation import clean, read_failure
from providers.vocabulary import JSON, ChatRequest, ChatResult, Delta

T = TypeVar("T")
NEAR_SECONDS = 3.0  # for the list of models behind "near names"
Exceptions = tuple[type[Exception], ...]

_HEADER = re.compile(r"[!#$%&'*+.^_`|~\w-]+:[\x20-\x7e]*", re.ASCII)
# Whose key goes out, and where, is decided when the client is made.
_OURS = frozenset(
    {"authorization", "x-api-key", "x-goog-api-key", "host", "cookie", "content-length"}
    | {"proxy-authorization", "transfer-encoding", "connection", "accept-encoding"}
)


@dataclass(frozen=True, slots=True)
class SDKErrors:
    """An SDK's exception classes. Their timeouts are connection errors too: ask in this order."""

    timeout: Exceptions = ()
    connection: Exceptions = ()
    status: Exceptions = ()


class Assembly(Protocol):
    """An answer that arrives in pieces."""

    @property
    def ended(self) -> bool:
        """True once the provider has marked the end of the answer."""
        ...

    def add(self, event: JSON) -> Iterator[Delta]:
        """Takes one event of the stream in and says what is new, if anything."""
        ...

    def result(self) -> ChatResult:
        """The whole answer. Raises ValueError and its like where there is none."""
        ...


Opened = tuple[httpx2.Response, Assembly]


class Adapter(ABC):
    """A `ProviderClient`."""

    sdk_errors: ClassVar[SDKErrors]

    def __init__(
        self,
        provider: Provider,
        *,
        api_key: str,
        base_url: str | None,
        http: httpx2.AsyncClient,
        timeout: float,
        trusted: bool,
    ) -> None:
        self.provider = provider
        self._key = check_key(provider.name, api_key)
        self._base_url = check_base_url(provider.name, base_url)
        self._http = outbound(http, trusted=trusted or not base_url)
        self._seconds = timeout
        self._timeout = timeouts(timeout)

    async def complete(self, request: ChatRequest) -> ChatResult:
        self._check(request)
        try:
            return await self._guarded(self._complete(request))
        except errors.ModelNotFound as error:
            failure = error
        await self._suggest(failure, request.model)
        raise failure

    async def models(self) -> list[str]:
        return sorted(await self._guarded(self._models()))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta | ChatResult, None]:
        self._check(request)
        begun = False
        failure: Exception | None = None
        try:
            async with (
                self._open(request) as (response, answer),
                aclosing(read_events(response)) as events,
            ):
                async for event in events:
                    begun = True
                    for delta in answer.add(event):
                        yield delta
            if answer.ended or not begun:
                yield answer.result()
            else:
                failure = errors.StreamBroken(self.label, detail="it stopped in the middle")
        except Exception as error:
            failure = self._translated(error, begun)
        if isinstance(failure, errors.ModelNotFound):
            await self._suggest(failure, request.model)
        if failure:
            raise failure

    @abstractmethod
    async def _complete(self, request: ChatRequest) -> ChatResult: ...

    @abstractmethod
    async def _models(self) -> list[str]: ...

    @abstractmethod
    def _open(self, request: ChatRequest) -> AbstractAsyncContextManager[Opened]:
        """Starts a stream and reads nothing of it; leaving it closes the connection, at once,
        wherever the stream is."""

    async def _guarded(self, call: Awaitable[T]) -> T:
        """The call's result within the deadline, or one of our own errors.

        Raised outside of the `except`, so that not even `__context__` leads to an SDK's
        exception, which may hold the key. Cancellation passes untouched.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await call
        except Exception as error:
            failure = self._translated(error, begun=False)
        raise failure

    async def _suggest(self, failure: errors.ModelNotFound, model: str) -> None:
        """Names near `model` from the provider's own list, which costs nothing to ask for. What
        goes wrong with that is no news: the call has failed already."""
        with suppress(Exception):
            async with asyncio.timeout(NEAR_SECONDS):
                known = await self._models()
            if near := get_close_matches(model.removeprefix("models/"), known, n=3):
                failure.suggest([clean(name, self._key) for name in near])

    @property
    def label(self) -> str:
        return self.provider.label

    def _check(self, request: ChatRequest) -> None:
        """Raises `Unsupported` or `InvalidRequest` for what would fail, or harm, if sent."""
        if lack := lacking(request, self.provider.capabilities):
            raise errors.Unsupported(self.label, detail=f"{lack} is not supported")
        for name, value in request.headers.items():
            if name.lower() in _OURS or not _HEADER.fullmatch(f"{name}:{value}"):
                raise errors.InvalidRequest(self.label, detail="a header that can't be sent along")

    def _translated(self, error: Exception, begun: bool) -> Exception:
        """Our own error for whatever an SDK, HTTP or the reading of an answer has raised.

        What is nobody's answer, which is to say our own mistake, is returned as it is.
        """
        if isinstance(error.__cause__, _BELOW):
            error = error.__cause__  # the SDKs' connection errors say less
        if isinstance(error, Refused):
            return errors.DestinationRefused(self.label)
        if isinstance(error, UnreadableAnswer):
            return errors.BadAnswer(self.label, detail=clean(str(error)))
        if isinstance(error, (TimeoutError, httpx2.TimeoutException, *self.sdk_errors.timeout)):
            return errors.CallTimeout(self.label)
        if isinstance(error, (*_CONNECTION, *self.sdk_errors.connection)):
            kind = errors.StreamBroken if begun else errors.ConnectionFailed
            return kind(self.label, detail=clean(str(error), self._key))
        if isinstance(error, ErrorEvent):
            told = read_failure(error.body, error.status, error.headers)
            return told.error(self.label, self._key)
        if isinstance(error, self.sdk_errors.status):
            return self._refusal(error)
        if isinstance(error, _UNREADABLE):
            return errors.BadAnswer(self.label, detail=f"{type(error).__name__} while reading it")
        return error

    def _refusal(self, error: Exception) -> errors.ProviderError:
        """For an error that the provider has put into words."""
        response = getattr(error, "response", None)
        body = getattr(error, "body", None) or getattr(error, "details", None)
        headers = getattr(response, "headers", None)
        status = getattr(response, "status_code", None)
        return read_failure(body, status, headers).error(self.label, self._key)


_CONNECTION: Exceptions = (httpx2.TransportError, ssl.SSLError, anyio.EndOfStream)
_BELOW: Exceptions = (httpx2.HTTPError, *_CONNECTION)

# What reading an answer of another shape than documented leads to: the SDKs check few shapes.
_UNREADABLE: Exceptions = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    RecursionError,
    httpx2.DecodingError,
)
