"""What can go wrong with credentials and access tokens. All are ValueErrors.

    CredentialError
    ├── CredentialNotFound   absent, or somebody else's: the two can't be told apart
    ├── CredentialInactive   deleted or switched off
    ├── CredentialExpired
    ├── AlreadyExists        a second active key of one provider under one label
    ├── KeyNeeded            another base URL needs the key again
    └── BaseURLsClosed       the operator does not let people name hosts

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
