"""Every page renders, shows what it should, and obeys the content security policy."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.test import Client, RequestFactory

from agents.models import AgentSession, Message, Role, SessionStatus
from byom import errors
from credentials.models import LLMCredential
from credentials.tests.factories import CredentialFactory, UserFactory
from usage.models import PaidBy, Status, Surface, UsageRecord, UsageSource
from usage.templatetags.usage_format import duration, usd

pytestmark = pytest.mark.django_db

KEY = "sk-ant-api03-" + "s3cret" * 10 + "AbC9"
PUBLIC = ("/", "/accounts/login/", "/accounts/signup/", "/accounts/password/reset/")
OWN = ("/keys/", "/keys/add/", "/chat/", "/chat/new/", "/usage/")
ACCOUNT = (
    "/accounts/email/",
    "/accounts/password/change/",
    "/accounts/2fa/",
    "/accounts/reauthenticate/",
    "/accounts/logout/",
)


@pytest.fixture
def user() -> User:
    made = UserFactory.create(username="ada", password="pw")
    EmailAddress.objects.create(user=made, email=made.email, verified=True, primary=True)
    return made


@pytest.fixture
def visitor(client: Client) -> Client:
    return client


@pytest.fixture
def member(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


@pytest.fixture
def key(user: User) -> LLMCredential:
    return CredentialFactory.create(
        owner=user, provider="anthropic", key=KEY, label="work", is_default=True
    )


def a_call(user: User, **fields: Any) -> UsageRecord:
    values: dict[str, Any] = {
        "surface": Surface.AGENT,
        "provider": "anthropic",
        "model": "claude-haiku-4-5",
        "input_tokens": 1200,
        "output_tokens": 34,
        "usage_source": UsageSource.REPORTED,
        "cost_usd": Decimal("0.000028350"),
        "latency_ms": 412.4,
        "ttft_ms": 103.2,
        "status": Status.OK,
        "paid_by": PaidBy.USER,
    }
    return UsageRecord.objects.create(user=user, **values | fields)


def a_chat(user: User, **fields: Any) -> AgentSession:
    session = AgentSession.objects.create(owner=user, title="France", **fields)
    Message.append(session, Role.USER, "What is <b>the</b> capital?")
    Message.append(session, Role.ASSISTANT, "Paris", record=a_call(user))
    return session


def text_of(response: Any) -> str:
    return " ".join(response.content.decode().split())


def assert_obeys_policy(response: Any) -> None:
    """Nothing on the page needs what the policy forbids."""
    policy = response.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy + ";" and "unsafe" not in policy
    html = response.content.decode()
    tags = re.findall(r"<[a-zA-Z][^>]*>", html)
    assert not [tag for tag in tags if re.search(r"\s(style|on[a-z]+)\s*=", tag)]
    assert not [tag for tag in tags if tag.startswith("<style")]
    scripts = [tag for tag in tags if tag.startswith("<script")]
    assert not [tag for tag in scripts if "src=" not in tag and "application/json" not in tag]
    assert not re.findall(r'(?:src|<link[^>]*href)="(?:https?:)?//', html)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_visitor_sees_the_public_pages(visitor: Client, address: str) -> None:
    response = visitor.get(address)
    assert response.status_code == 200
    assert_obeys_policy(response)


@pytest.mark.parametrize("address", [*OWN, *ACCOUNT[:-1]])
def test_a_visitor_is_sent_to_the_sign_in_page(visitor: Client, address: str) -> None:
    response = visitor.get(address)
    assert response.status_code == 302
    assert response.headers["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("address", ["/", *OWN, *ACCOUNT])
def test_a_new_member_sees_every_page(member: Client, address: str) -> None:
    response = member.get(address)
    assert response.status_code == 200
    assert "<h1" in response.content.decode()
    assert_obeys_policy(response)


@pytest.mark.parametrize("address", ["/", *OWN])
def test_a_busy_member_sees_every_page(
    member: Client, user: User, key: LLMCredential, address: str
) -> None:
    a_chat(user, credential=key)
    response = member.get(address)
    assert response.status_code == 200
    assert_obeys_policy(response)


@pytest.mark.parametrize(
    ("address", "what_to_do"),
    [
        ("/keys/", "Add your first key"),
        ("/chat/", "Start a chat"),
        ("/usage/", "No calls yet"),
        ("/", "Getting started"),
    ],
)
def test_an_empty_page_says_what_to_do(member: Client, address: str, what_to_do: str) -> None:
    assert what_to_do in text_of(member.get(address))


@pytest.mark.parametrize("address", ["/", "/keys/", "/chat/new/"])
def test_keys_are_masked(member: Client, key: LLMCredential, address: str) -> None:
    page = text_of(member.get(address))
    assert "********AbC9" in page
    assert "s3cret" not in page


def test_a_refused_key_is_not_rendered_back(member: Client) -> None:
    response = member.post("/keys/add/", {"provider": "anthropic", "api_key": "s3cret key"})
    assert response.status_code == 422
    page = text_of(response)
    assert "s3cret" not in page
    assert 'aria-invalid="true"' in page and 'class="errorlist"' in page
    assert_obeys_policy(response)


def test_keys_show_their_state(member: Client, key: LLMCredential) -> None:
    LLMCredential.objects.filter(pk=key.pk).update(is_simulated=True, last_error="Rejected (401)")
    page = text_of(member.get("/keys/"))
    for word in ("default", "simulated", "Rejected (401)", "Anthropic"):
        assert word in page


def test_keys_of_others_are_not_listed(member: Client) -> None:
    CredentialFactory.create(key=KEY)
    assert "AbC9" not in text_of(member.get("/keys/"))


def test_the_simulator_is_explained_only_where_it_runs(member: Client, settings: Any) -> None:
    assert "sk-sim-ok" not in text_of(member.get("/keys/add/"))
    settings.SIMULATOR_URL = "http://127.0.0.1:9/simulator"
    assert "sk-sim-ok-1234567890" in text_of(member.get("/keys/add/"))


def test_a_chat_shows_its_messages_and_receipts(member: Client, user: User) -> None:
    response = member.get(f"/chat/{a_chat(user).pk}/")
    assert_obeys_policy(response)
    page = text_of(response)
    for part in (
        "What is &lt;b&gt;the&lt;/b&gt; capital?",
        "Paris",
        "1,200 in, 34 out",
        "$0.0000284",
        "412 ms, first token 103 ms",
        "Own key",
    ):
        assert part in page


def test_a_failed_chat_says_why(member: Client, user: User) -> None:
    session = a_chat(user, status=SessionStatus.FAILED, reason="OpenAI asks to slow down.")
    assert "OpenAI asks to slow down." in text_of(member.get(f"/chat/{session.pk}/"))


def test_an_ended_chat_takes_no_message(member: Client, user: User) -> None:
    session = a_chat(user, status=SessionStatus.TERMINATED, reason="Its key was deleted.")
    page = text_of(member.get(f"/chat/{session.pk}/"))
    assert "Its key was deleted." in page and "Start a new chat" in page
    assert "<textarea" not in page


def test_chats_of_others_do_not_exist(member: Client) -> None:
    assert member.get(f"/chat/{a_chat(UserFactory.create()).pk}/").status_code == 404


def test_usage_shows_totals_and_calls(member: Client, user: User) -> None:
    a_call(user)
    a_call(user, provider="openai_compatible", model="llama", cost_usd=None, is_simulated=True)
    a_call(user, status=Status.ERROR, error_code="rate_limited", paid_by=PaidBy.SYSTEM)
    summary, calls = (text_of(member.get(address)) for address in ("/usage/", "/usage/records/"))
    for part in ("$0.0000567", "1 failed", "without 1 call that has no price", "1 simulated"):
        assert part in summary
    for part in (
        "no price",
        "Failed: rate_limited",
        "System key",
        "simulated",
        "OpenAI-compatible server",
        "412 ms",
        "103 ms",
    ):
        assert part in calls


def test_an_unknown_address_is_a_page(member: Client) -> None:
    response = member.get("/nowhere/")
    assert response.status_code == 404
    assert "Check the address" in text_of(response)
    assert_obeys_policy(response)


def test_activating_an_authenticator_app_obeys_the_policy(member: Client) -> None:
    member.post("/accounts/reauthenticate/", {"password": "pw"})
    response = member.get("/accounts/2fa/totp/activate/")
    assert 'class="qr" src="data:image/svg+xml' in text_of(response)
    assert_obeys_policy(response)


def test_too_many_attempts_to_sign_in_get_a_page(visitor: Client, settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"login": "1/h/ip"}
    attempts = [visitor.post("/accounts/login/", {"login": "x", "password": "y"}) for _ in "12"]
    assert [attempt.status_code for attempt in attempts] == [200, 429]
    assert "Wait a few minutes" in text_of(attempts[1])
    assert_obeys_policy(attempts[1])


def test_error_pages_need_no_user_and_no_session(rf: RequestFactory) -> None:
    request = rf.get("/")
    pages: list[HttpResponse] = [
        errors.server_error(request),
        errors.permission_denied(request, PermissionDenied()),
        errors.bad_request(request, ValueError()),
    ]
    assert [page.status_code for page in pages] == [500, 403, 400]
    assert all("Go to the start page" in text_of(page) for page in pages)


def test_staff_find_the_admin(member: Client, user: User) -> None:
    assert "/admin/" not in text_of(member.get("/"))
    user.is_staff = user.is_superuser = True
    user.save()
    assert "/admin/" in text_of(member.get("/"))
    response = member.get("/admin/")
    assert response.status_code == 200
    assert_obeys_policy(response)


@pytest.mark.parametrize("address", ["/keys/", "/chat/", "/usage/"])
def test_the_navigation_marks_the_current_page(member: Client, address: str) -> None:
    assert f'<a href="{address}" aria-current="page">' in text_of(member.get(address))


@pytest.mark.parametrize(
    ("cost", "shown"),
    [
        (None, "no price"),
        ("0", "$0"),
        ("0.000028000", "$0.000028"),
        ("0.000028350", "$0.0000284"),
        ("0.5", "$0.50"),
        ("0.999999", "$1.00"),
        ("1234.565", "$1,234.57"),
    ],
)
def test_money_is_short_but_never_rounded_to_nothing(cost: str | None, shown: str) -> None:
    assert usd(None if cost is None else Decimal(cost)) == shown


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [(None, "–"), (0.4, "0 ms"), (412.46, "413 ms"), (999.6, "1.0 s"), (1250.0, "1.3 s")],
)
def test_durations_are_in_the_unit_people_think_in(milliseconds: float, shown: str) -> None:
    assert duration(milliseconds) == shown
