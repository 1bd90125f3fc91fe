"""What people type, checked before it goes anywhere: API keys and base URLs."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

from providers import guard, registry
from providers.errors import BaseURLRefused, KeyRefused

_PORTS = {"http": 80, "https": 443}
_KEY = re.compile(r"[\x21-\x7e]{8,512}")


def check_key(provider: str, key: str | None) -> str:
    """The key without surrounding white space.

    Raises `KeyRefused`, which never quotes the key. The alphabet is what may stand in an HTTP
    header: SDKs put a key with a line break or an umlaut into the message of their exception.
    An empty key is refused as the SDKs would take the operator's from the environment instead.
    """
    row = registry.get(provider)
    key = (key or "").strip()
    if flaw := _flaw(key, row.admin_key_prefixes):
        raise KeyRefused(row.label, detail=flaw)
    return key


def _flaw(key: str, admin_prefixes: tuple[str, ...]) -> str:
    if not key:
        return "the key is empty"
    if admin_prefixes and key.startswith(admin_prefixes):
        return "this is an admin key, which can do far more than needed: use a normal API key"
    if not 8 <= len(key) <= 512:
        return "a key has 8 to 512 characters"
    if not _KEY.fullmatch(key):
        return "a key has no spaces, line breaks or special letters"
    return ""


@lru_cache(1024)
def check_base_url(provider: str, url: str | None) -> str:
    """The URL to send `provider`'s calls to, without a slash at the end.

    Without `url` this is the provider's own. Raises `BaseURLRefused`, which never quotes the URL.
    """
    row = registry.get(provider)
    given = (url or row.base_url or "").strip()
    if not given:
        raise BaseURLRefused(row.label, detail="this provider needs a base URL")
    try:
        parts = urlsplit(given)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise BaseURLRefused(row.label, detail="this is not a URL") from None
    if flaw := _url_flaw(given, parts, host):
        raise BaseURLRefused(row.label, detail=flaw)
    return _normal(parts, host, port)


def check_own_base_url(provider: str, url: str) -> str:
    """As `check_base_url`, for a URL that a person gives: its host must not be private, as far as
    that can be told from its name. What the name resolves to is asked at each connection, by
    `providers.guard`, as it may change."""
    checked = check_base_url(provider, url)
    parts = urlsplit(checked)
    port = parts.port or _PORTS[parts.scheme]
    if flaw := guard.current().flaw(parts.scheme, parts.hostname or "", port):
        raise BaseURLRefused(registry.get(provider).label, detail=flaw)
    return checked


def webhook_flaw(url: str) -> str:
    """What speaks against sending something to a URL that a person gives, or nothing. It may have
    a query. What its name resolves to is asked at each connection."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "this is not a URL"
    if flaw := _url_flaw(url.partition("?")[0] + ("#" if "#" in url else ""), parts, host):
        return flaw
    if not url.isascii() or not url.isprintable():
        return "it holds characters that a URL may not hold"
    return guard.current().flaw(parts.scheme, host, port or _PORTS[parts.scheme])


def _url_flaw(url: str, parts: SplitResult, host: str) -> str:
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return "it holds characters that a URL may not hold"
    if parts.scheme not in ("http", "https"):
        return "it must begin with https:// or http://"
    if not host:
        return "it has no host"
    if not guard.is_host(host):
        return "its host must be a name, or an address written in full, without a dot at the end"
    if parts.username is not None or parts.password is not None:
        return "it must not hold a user name or password"
    if "?" in url or "#" in url:
        return "it must not hold a query or a fragment"
    return ""


def _normal(parts: SplitResult, host: str, port: int | None) -> str:
    """Scheme and host in lower case, no default port, no slash at the end."""
    netloc = f"[{host}]" if ":" in host else host
    if port is not None and port != _PORTS[parts.scheme]:
        netloc = f"{netloc}:{port}"
    return f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}"
