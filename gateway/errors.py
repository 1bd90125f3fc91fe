"""What the gateway itself refuses; the docstring is the sentence that the client reads.

    GatewayError
    ├── TokenMissing     no access token in any header
    ├── TokenRefused     unknown, expired or revoked
    ├── ScopeMissing     the token is not for the gateway
    ├── KeyInAddress     `?key=…`: addresses end up in logs
    ├── UnknownAddress
    ├── UnknownModel     asked for by name, and not in the list
    ├── BodyTooLarge
    ├── BadOption        a header of ours says something else than it may
    ├── SeveralCredentials
    ├── PinnedElsewhere  the header names another credential than the token is pinned to
    ├── BodyTooSlow
    ├── BadBody          not JSON, or it names no model
    ├── Untranslatable   a field that the model's own provider has no word for
    ├── WrongAddress     the model belongs to another dialect
    └── WrongCredential  the access token is pinned to a credential of another dialect

Selection, admission, the vault and the providers raise errors of their own, with the same
`status` and `code`; `gateway.dialects` puts all of them into the words of the client's SDK.
"""

from __future__ import annotations


class GatewayError(Exception):
    """The gateway can't do this."""

    status = 400
    code = "gateway_error"

    def __init__(self, **facts: str) -> None:
        super().__init__(" ".join((type(self).__doc__ or "").split()).format(**facts))


class TokenMissing(GatewayError):
    """Send a BYOM access token (byom_…) where this SDK takes its API key. A provider's own key
    is not accepted here: store it in BYOM and make an access token."""

    status = 401
    code = "not_authenticated"


class TokenRefused(GatewayError):
    """This access token is not valid: it is unknown, expired or revoked. Make a new one and use
    it as the API key."""

    status = 401
    code = "authentication_failed"


class ScopeMissing(GatewayError):
    """This access token is not allowed to use the gateway. Make one with the scope gateway."""

    status = 403
    code = "scope_missing"


class KeyInAddress(GatewayError):
    """Send the access token in a header, not as ?key= in the address: addresses end up in logs.
    Make a new token, as this one may have been logged already."""

    code = "key_in_address"


class UnknownAddress(GatewayError):
    """The gateway does not serve this address. It serves POST /v1/chat/completions, /v1/responses,
    /v1/embeddings, /v1/messages, /v1/messages/count_tokens, /v1/models/MODEL:generateContent,
    :streamGenerateContent, :countTokens, :embedContent and :batchEmbedContents, and GET
    /v1/models and /v1/models/MODEL."""

    status = 404
    code = "not_found"


class UnknownModel(GatewayError):
    """There is no model {model} among those that your keys reach. GET /v1/models lists them."""

    status = 404
    code = "model_not_found"


class BodyTooLarge(GatewayError):
    """The request body is larger than {limit} MB. Send less."""

    status = 413
    code = "body_too_large"


class BadOption(GatewayError):
    """The header {name} can't be understood: {flaw}."""

    code = "bad_option"


class SeveralCredentials(GatewayError):
    """Several of your credentials have the label {label}. Name the one you mean by its id."""

    code = "several_credentials"


class PinnedElsewhere(GatewayError):
    """This access token is pinned to another credential than the one that x-byom-credential names.
    Leave the header out, or use another token."""

    status = 403
    code = "pinned_elsewhere"


class BodyTooSlow(GatewayError):
    """The request body did not come in time. Send it at once, or check the network."""

    status = 408
    code = "request_timeout"


class BadBody(GatewayError):
    """The request can't be read: {flaw}."""

    code = "invalid_request"


class Untranslatable(GatewayError):
    """The field {field} can't be translated for a model of another provider. Leave it out, or
    call the model at its own provider's address."""

    code = "untranslatable"


class WrongAddress(GatewayError):
    """The model {model} belongs to {provider}, which is not spoken at this address. Call it at
    {address}, with {provider}'s own SDK."""

    code = "wrong_address"


class WrongCredential(GatewayError):
    """This access token is pinned to a credential for {provider}, which is not spoken at this
    address. Use {address}, or another token."""

    code = "wrong_address"


class ClientGone(Exception):
    """The client has closed the connection: nobody is there to be told."""


class DatabaseAway(GatewayError):
    """The database of this BYOM server can't be reached just now. Try again in a moment; if it
    stays so, tell the operator."""

    status = 503
    code = "database_away"
