"""What can go wrong with credentials and access tokens. All are ValueErrors.

    CredentialError
    ├── CredentialNotFound   absent, or somebody else's: the two can't be told apart
    ├── CredentialInactive   deleted or switched off
    ├── CredentialExpired
    ├── CredentialQuarantined  its provider refused it; a successful test lifts that
    ├── AlreadyExists        a second active key of one provider under one label
    ├── KeyNeeded            another base URL needs the key again
    ├── BaseURLsClosed       the operator does not let people name hosts
    ├── SimulatorOff         a simulator key where no simulator runs
    ├── NewKeyFailed         a rotation's new key was refused, the old one stays
    ├── CannotTest           the provider could not be asked about a key
    ├── ScopeNeeded          the access token may not be used for this
    ├── UnknownScope
    ├── ExpiryPassed         a new token that would be dead already
    └── BeyondMaker          a token that makes one with more power than its own

`status` is what the API answers with, `code` is for programs, the docstring is the sentence.
"""

from __future__ import annotations


class CredentialError(ValueError):
    """This credential can't be used."""

    status = 400
    code = "credential_error"

    def __init__(self, **facts: str) -> None:
        super().__init__(" ".join((type(self).__doc__ or "").split()).format(**facts))


class CredentialNotFound(CredentialError):
    """There is no such credential among yours."""

    status = 404
    code = "not_found"


class CredentialInactive(CredentialError):
    """The credential {label} has been deleted or switched off. Choose another one."""

    status = 409
    code = "credential_inactive"


class CredentialExpired(CredentialError):
    """The credential {label} has expired. Replace its key or move its expiry date."""

    status = 409
    code = "credential_expired"


class CredentialQuarantined(CredentialError):
    """The credential {label} is in quarantine: {reason} Test it again, or replace its key."""

    status = 409
    code = "credential_quarantined"


class AlreadyExists(CredentialError):
    """An active {provider} credential {which} already exists. Give this one another label, or
    replace the key of the one that is there."""

    code = "already_exists"


class KeyNeeded(CredentialError):
    """A key is pinned to its host: to change the base URL, send the API key with it."""

    code = "key_needed"


class BaseURLsClosed(CredentialError):
    """Own base URLs are switched off on this server. Ask its operator to set
    BYOM_CUSTOM_BASE_URLS=on, or use a provider that needs none."""

    code = "base_urls_closed"


class SimulatorOff(CredentialError):
    """This is a key of the provider simulator, which is not running here. Set BYOM_SIMULATOR=on,
    or use a real key."""

    status = 409
    code = "simulator_off"


class NewKeyFailed(CredentialError):
    """The new key was not saved and the old one stays in use: {reason}"""

    code = "new_key_failed"


class CannotTest(CredentialError):
    """The key could not be tested, so nothing is known about it: {reason}"""

    status = 503
    code = "cannot_test"


class ScopeNeeded(CredentialError):
    """This access token lacks the scope {scope}. Use one that has it, or sign in."""

    status = 403
    code = "scope_needed"


class UnknownScope(CredentialError):
    """Unknown scope: {names}. An access token has one or several of: {known}."""

    code = "unknown_scope"


class ExpiryPassed(CredentialError):
    """The expiry date is in the past. Name a later one, or none."""

    code = "expiry_passed"


class BeyondMaker(CredentialError):
    """An access token can't make one that {excess}. Sign in to make it."""

    status = 403
    code = "beyond_maker"
