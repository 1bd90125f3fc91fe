from __future__ import annotations

import pytest

from providers import registry
from providers.errors import BaseURLRefused, KeyRefused
from providers.keys import check_base_url, check_key
from providers.registry import UnknownProvider


def test_a_key_loses_the_white_space_around_it() -> None:
    assert check_key("openai", "  sk-proj-0123456789\n") == "sk-proj-0123456789"


@pytest.mark.parametrize(
    "key",
    [
        None,
        "",
        "   ",
        "short",
        "x" * 513,
        "with space",
        "sk-line\nbreak",
        "sk-tab\tbed",
        "sk-ümlaut1",
    ],
)
@pytest.mark.parametrize("provider", registry.names())
def test_what_cannot_be_a_key_is_refused_without_being_quoted(
    provider: str, key: str | None
) -> None:
    with pytest.raises(KeyRefused) as caught:
        check_key(provider, key)
    assert caught.value.detail
    assert not (key or "").strip() or (key or "").strip() not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize(
    ("provider", "key"),
    [("openai", "sk-admin-0123456789"), ("anthropic", "sk-ant-admin01-0123456789")],
)
def test_admin_keys_are_refused(provider: str, key: str) -> None:
    with pytest.raises(KeyRefused, match="admin key"):
        check_key(provider, key)


@pytest.mark.parametrize(
    "key", ["AIza" + "x" * 35, "AQ.Ab8RN6xxxxxxxxxxxxxxx", "anything-goes", "gsk_0123456789abcdef"]
)
def test_the_format_of_a_key_is_no_reason_to_refuse_it(key: str) -> None:
    assert [check_key(provider, key) for provider in registry.names()] == [key] * len(
        registry.names()
    )


def test_a_key_for_nobody_is_refused() -> None:
    with pytest.raises(UnknownProvider, match="openai, anthropic, google"):
        check_key("acme", "sk-0123456789")


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("https://api.example.com/v1/", "https://api.example.com/v1"),
        (" HTTPS://API.Example.COM:443/v1 ", "https://api.example.com/v1"),
        ("http://localhost:11434/v1", "http://localhost:11434/v1"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_a_base_url_is_normalised(given: str, normal: str) -> None:
    assert check_base_url("openai_compatible", given) == normal


@pytest.mark.parametrize(
    "url",
    [
        "",
        "   ",
        "api.example.com/v1",
        "ftp://example.com",
        "file:///etc/passwd",
        "https://",
        "https:///v1",
        "https://user:secret@example.com/v1",
        "https://user@example.com",
        "https://example.com/v1?key=1",
        "https://example.com/v1?",
        "https://example.com/#x",
        "https://example.com:99999",
        "https://exa mple.com",
        "https://example.com\\@evil.test",
        "https://example.com/\nHost: evil.test",
        "https://münchen.example",
        "https://[::1",
    ],
)
def test_what_is_no_plain_base_url_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(BaseURLRefused) as caught:
        check_base_url("openai_compatible", url)
    assert caught.value.detail
    assert not url.strip() or url not in str(caught.value)


def test_without_a_base_url_a_provider_has_its_own() -> None:
    assert check_base_url("openai", None) == "https://api.openai.com/v1"
    assert check_base_url("anthropic", "") == "https://api.anthropic.com"
