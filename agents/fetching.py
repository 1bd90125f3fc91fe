"""Reading a page of the public internet for a model, through the network guard."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Annotated
from urllib.parse import urljoin

import httpx2
from django.conf import settings

from agents.tools import ToolError, tool
from providers import guard
from providers.dial import Refused
from providers.http import http_client

MAX_BYTES = 1_000_000  # read of one page
MAX_CHARACTERS = 40_000  # of its text, given to the model
MAX_REDIRECTS = 3
SECONDS = 10.0
_TEXTS = ("text/", "application/json", "application/xml", "application/xhtml+xml")
_UNSEEN = {"script", "style", "noscript", "template", "svg"}


@tool
async def fetch_url(url: Annotated[str, "The full address, beginning with https://"]) -> str:
    """Fetches a page from the internet and gives its text. HTML comes without its tags, long
    pages are cut."""
    if not settings.CUSTOM_BASE_URLS:
        raise ToolError("Fetching addresses is switched off on this server.")
    try:
        async with http_client() as http:
            return await _fetch(http, url)
    except Refused:
        raise ToolError("This server does not connect to that host.") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise ToolError(f"The page could not be fetched ({type(error).__name__}).") from None


async def _fetch(http: httpx2.AsyncClient, url: str) -> str:
    """Each address on the way is checked, and dialled through the guard."""
    for _ in range(MAX_REDIRECTS + 1):
        _check(url)
        async with http.stream("GET", url, timeout=SECONDS) as response:
            if not response.has_redirect_location:
                return await _text_of(response)
            url = urljoin(url, response.headers["location"])
    raise ToolError("The page redirects too often.")


def _check(url: str) -> None:
    parts = httpx2.URL(url)
    if parts.scheme not in ("http", "https") or not parts.host or parts.userinfo:
        raise ToolError("Give a full address, beginning with https://.")
    if not guard.is_host(parts.host):
        raise ToolError("The host must be a name, or an address written in full.")
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    if flaw := guard.current().flaw(parts.scheme, parts.host, port):
        raise ToolError(f"This address can't be fetched: {flaw}.")


async def _text_of(response: httpx2.Response) -> str:
    if response.status_code >= 400:
        raise ToolError(f"The page answered with status {response.status_code}.")
    kind = response.headers.get("content-type", "text/plain").lower()
    if not kind.startswith(_TEXTS):
        raise ToolError("The page is not text.")
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) >= MAX_BYTES:
            break
    encoding = response.charset_encoding or "utf-8"
    try:
        text = body[:MAX_BYTES].decode(encoding, errors="replace")
    except LookupError:
        text = body[:MAX_BYTES].decode(errors="replace")
    return (_plain(text) if "html" in kind else text)[:MAX_CHARACTERS]


class _Reader(HTMLParser):
    """Keeps the text that people would see."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._unseen += tag in _UNSEEN

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in _UNSEEN))

    def handle_data(self, data: str) -> None:
        if not self._unseen and (text := " ".join(data.split())):
            self.words.append(text)


def _plain(html: str) -> str:
    reader = _Reader()
    reader.feed(html)
    return "\n".join(reader.words)
