"""What the gateway remembers of tokens and keys, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from time import sleep
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from benchmarks.simulator.server import SimulatorThread
from credentials.models import AccessToken, LLMCredential
from credentials.tests.factories import CredentialFactory
from gateway.errors import TokenRefused
from gateway.routes import route
from gateway.selection import authenticate, choose, known_guest
from usage.memory import looks

CHAT = route("POST", "/v1/chat/completions")
MODEL = "gpt-4o-mini"
SOON = 0.3  # seconds

pytestmark = pytest.mark.django_db


@pytest.fixture
def token(alice: User, simulator: SimulatorThread) -> str:
    CredentialFactory.create(owner=alice)
    return AccessToken.issue(user=alice, name="test")[1]


@pytest.fixture
def half_a_second_later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def later() -> None:
        monkeypatch.setattr(looks, "at", looks.at - 0.6)

    return later


def test_who_is_known_is_not_read_again_while_nothing_changes(
    token: str,
    half_a_second_later: Callable[[], None],
    django_assert_num_queries: Callable[..., Any],
) -> None:
    guest = authenticate(token)
    chosen = choose(guest, CHAT, MODEL)
    half_a_second_later()
    with django_assert_num_queries(1):  # whether anything has changed
        assert known_guest(token) is None  # the first who asks is sent to look
        assert known_guest(token) is guest
        assert authenticate(token) is guest
        assert choose(guest, CHAT, MODEL) is chosen


def test_a_token_that_was_revoked_without_a_signal_is_refused(
    token: str, half_a_second_later: Callable[[], None]
) -> None:
    authenticate(token)
    AccessToken.objects.update(revoked_at=timezone.now())
    half_a_second_later()
    with pytest.raises(TokenRefused):
        authenticate(token)


def test_a_key_that_was_changed_without_a_signal_is_read_anew(
    token: str, half_a_second_later: Callable[[], None]
) -> None:
    guest = authenticate(token)
    before = choose(guest, CHAT, MODEL)
    LLMCredential.objects.update(quarantined_at=timezone.now())
    half_a_second_later()
    assert choose(guest, CHAT, MODEL).selection.credential is None  # the system's key takes over
    LLMCredential.objects.update(quarantined_at=None)
    half_a_second_later()
    assert choose(guest, CHAT, MODEL) is not before


def test_a_token_is_not_known_beyond_its_end(token: str) -> None:
    AccessToken.objects.update(expires_at=timezone.now() + timedelta(seconds=SOON))
    authenticate(token)
    sleep(SOON)
    assert known_guest(token) is None
    with pytest.raises(TokenRefused):
        authenticate(token)


def test_a_key_is_not_known_beyond_its_end(token: str) -> None:
    LLMCredential.objects.update(expires_at=timezone.now() + timedelta(seconds=SOON))
    guest = authenticate(token)
    assert choose(guest, CHAT, MODEL).selection.credential
    sleep(SOON)
    assert choose(guest, CHAT, MODEL).selection.credential is None
