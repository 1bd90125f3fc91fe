"""What can go wrong with a provider call, as one small tree.

    ProviderError
    ├── KeyRefused            the key can't be used at all (empty, newline …): never sent
    ├── BaseURLRefused        the base URL given with the key can't be used: never called
    ├── DestinationRefused    its host is none that this server connects to: never called
    ├── AuthenticationFailed  the provider does not accept the key
    ├── PermissionDenied      the key is good, but not for this
    ├── QuotaSpent            no credit left, or a spending limit reached at the provider
    ├── ModelNotFound
    ├── InvalidRequest        the provider does not accept what was asked
    │   ├── ContextTooLong
    │   └── Unsupported       the provider lacks the capability: said before the call
    ├── ContentRefused        blocked by the provider's content policy
    ├── RateLimited           retryable, often with `retry_after`
    ├── Overloaded            retryable: the provider's own trouble (5xx, 529)
    ├── CallTimeout           retryable
    ├── ConnectionFailed      retryable: no answer at all
    ├── StreamBroken          the answer began and did not end
    └── BadAnswer             the provider answered with something that can't be read

Each carries a `status` (what our own HTTP API answers with), `code` (stable, for programs),
`retryable`, `retry_after` (seconds or None), the provider's `request_id`, and a sentence
for a person: what happened and what to do. The sentence never holds a key, nor a URL.
Always raised `from None`: the SDKs' own exceptions may hold the key in their chain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


class ProviderError(Exception):
    """{provider} could not do this."""

    status = 502
    code = "provider_error"
    retryable = False

    def __init__(
        self,
        provider: str,
        *,
        detail: str = "",
        retry_after: float | None = None,
        request_id: str = "",
        upstream_status: int | None = None,
    ) -> None:
        self.provider = provider
        self.detail = detail
        self.retry_after = retry_after
        self.request_id = request_id
        self.upstream_status = upstream_status
        sentence = " ".join((type(self).__doc__ or "").split())
        sentence = sentence.format(provider=provider, seconds=math.ceil(retry_after or 0))
        super().__init__(f"{sentence} ({provider}: {detail})" if detail else sentence)


class KeyRefused(ProviderError):
    """This API key can't be used. Copy a key again from {provider} and send that."""

    status = 400
    code = "key_refused"


class BaseURLRefused(ProviderError):
    """This base URL can't be used for {provider}. Give one that begins with https, names the
    server and, where its documentation says so, ends with a path such as /v1."""

    status = 400
    code = "base_url_refused"


class DestinationRefused(ProviderError):
    """{provider} was not called: this server connects only to hosts that are found on the public
    internet, by https. Check the base URL of this key, or ask the operator of this server to
    list the host in BYOM_BASE_URL_ALLOW."""

    status = 400
    code = "destination_refused"


class AuthenticationFailed(ProviderError):
    """{provider} does not accept this API key. Check that it was copied whole and has not
    been revoked, or replace it with a new one."""

    status = 401
    code = "authentication_failed"


class PermissionDenied(ProviderError):
    """{provider} accepts the API key but does not allow it to do this. Check the key's
    permissions and the project or workspace it belongs to."""

    status = 403
    code = "permission_denied"


class QuotaSpent(ProviderError):
    """The account behind this API key has no credit left at {provider} or has reached its
    spending limit. Add credit or raise the limit there, or use another key."""

    status = 402
    code = "quota_spent"


class ModelNotFound(ProviderError):
    """{provider} does not know this model, or the key has no access to it. Check the
    model's name."""

    status = 404
    code = "model_not_found"
    near: tuple[str, ...] = ()

    def suggest(self, names: Sequence[str]) -> None:
        """Adds names that this key reaches and that look like the one asked for."""
        self.near = tuple(names)
        self.args = (f"{self} Near names: {', '.join(names)}.",)


class InvalidRequest(ProviderError):
    """{provider} did not accept the request. Check its parameters."""

    status = 400
    code = "invalid_request"


class ContextTooLong(InvalidRequest):
    """The conversation is longer than the model's context window at {provider}. Start a new
    session, shorten the text, or choose a model with a larger window."""

    code = "context_too_long"


class Unsupported(InvalidRequest):
    """{provider} lacks a capability that this request needs. Leave it out or choose another
    provider."""

    code = "unsupported"


class ContentRefused(ProviderError):
    """{provider} refused the content under its usage policy. Rephrase the request."""

    status = 422
    code = "content_refused"


class RateLimited(ProviderError):
    """{provider} is receiving too many requests on this API key. Wait a moment and try
    again, or use another key."""

    status = 429
    code = "rate_limited"
    retryable = True


class Overloaded(ProviderError):
    """{provider} is overloaded or has trouble of its own. Try again in a moment, or use
    another provider."""

    status = 503
    code = "overloaded"
    retryable = True


class CallTimeout(ProviderError):
    """{provider} did not answer in time. Try again, or ask for a shorter answer."""

    status = 504
    code = "timeout"
    retryable = True


class ConnectionFailed(ProviderError):
    """{provider} could not be reached. Check the network, and the base URL if this key has
    one of its own, then try again."""

    status = 503
    code = "connection_failed"
    retryable = True


class StreamBroken(ProviderError):
    """The connection to {provider} broke before the answer was complete. What has arrived
    is kept; try again."""

    code = "stream_broken"


class BadAnswer(ProviderError):
    """{provider} answered with something that could not be read. Try again; if it happens
    with an own base URL, check that the server speaks this provider's API."""

    code = "bad_answer"
