"""The chat pages: finding conversations, choosing a key by its price, reading what was said."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agents.markdown import to_html
from agents.models import AgentSession, Message, Policy, Role, SessionStatus
from credentials.tests.factories import CredentialFactory
from usage.models import UsageRecord

pytestmark = pytest.mark.django_db


@pytest.fixture
def member(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


def text_of(response: Any) -> str:
    return " ".join(response.content.decode().split())


def test_chats_are_found_by_what_was_said_in_them(member: Client, alice: User, bob: User) -> None:
    for owner in (alice, bob):
        said = AgentSession.objects.create(owner=owner, title=f"Of {owner}")
        Message.append(said, Role.USER, "Where do otters sleep?")
    AgentSession.objects.create(owner=alice, title="Relays")

    page = text_of(member.get("/chat/", {"q": "OTTERS"}))
    assert "Of alice" in page
    assert "Of bob" not in page and "Relays" not in page


def test_chats_are_found_by_status(member: Client, alice: User) -> None:
    AgentSession.objects.create(owner=alice, title="Good", status=SessionStatus.COMPLETED)
    AgentSession.objects.create(owner=alice, title="Broken", status=SessionStatus.FAILED)

    page = text_of(member.get("/chat/", {"status": "failed"}))
    assert "Broken" in page and ">Good<" not in page


def test_where_nothing_is_found_the_page_says_so(member: Client) -> None:
    assert "Nothing found" in text_of(member.get("/chat/", {"q": "otters"}))


def test_pages_of_chats_keep_the_search(member: Client, alice: User) -> None:
    for number in range(26):
        AgentSession.objects.create(owner=alice, title=f"Otter {number}")

    assert "?q=otter&amp;page=2" in text_of(member.get("/chat/", {"q": "otter"}))
    assert "Newer" in text_of(member.get("/chat/", {"q": "otter", "page": "2"}))


def test_each_key_is_offered_with_its_price(member: Client, alice: User, simulator: Any) -> None:
    CredentialFactory.create(owner=alice, model_name="gpt-4o-mini")
    CredentialFactory.create(owner=alice, provider="openai_compatible", model_name="llama")

    page = text_of(member.get("/chat/new/"))
    assert "My keys" in page and "System default" in page
    assert "$0.15 in, $0.60 out" in page and "about $0.00039" in page
    assert "no price known" in page


def test_a_chat_starts_on_the_chosen_key(member: Client, alice: User, simulator: Any) -> None:
    CredentialFactory.create(owner=alice, is_default=True)
    key = CredentialFactory.create(owner=alice, provider="anthropic")
    member.post("/chat/new/", {"offer": f"key:{key.pk}"})

    assert AgentSession.objects.get().credential == key


def test_a_chat_on_the_system_key_never_takes_an_own_one(
    member: Client, alice: User, simulator: Any
) -> None:
    CredentialFactory.create(owner=alice, is_default=True)
    member.post("/chat/new/", {"offer": "system:google"})

    session = AgentSession.objects.get()
    assert (session.provider, session.policy) == ("google", Policy.SYSTEM_ONLY)


def test_tools_are_ticked(member: Client, simulator: Any) -> None:
    assert "calculator" in text_of(member.get("/chat/new/"))
    member.post("/chat/new/", {"tools": ["calculator", "current_time"]})
    assert AgentSession.objects.get().tools == ["calculator", "current_time"]


def test_an_answer_on_its_way_can_be_stopped(member: Client, alice: User) -> None:
    session = AgentSession.objects.create(owner=alice, status=SessionStatus.RUNNING)
    AgentSession.objects.update(heartbeat_at=session.created_at)

    assert "Stop it" in text_of(member.get(f"/chat/{session.pk}/"))
    member.post(f"/chat/{session.pk}/cancel/")
    assert AgentSession.objects.get().cancel_requested


def test_the_key_of_somebody_else_is_no_choice(member: Client, bob: User) -> None:
    key = CredentialFactory.create(owner=bob)

    assert member.post("/chat/new/", {"offer": f"key:{key.pk}"}).status_code == 422
    assert not AgentSession.objects.exists()


def test_steps_of_tools_are_rows_that_open(member: Client, alice: User) -> None:
    session = AgentSession.objects.create(owner=alice)
    call = {"type": "tool_call", "id": "1", "name": "add", "arguments": {"a": "<b>"}}
    result = {"type": "tool_result", "call_id": "1", "name": "add", "content": "<i>4</i>"}
    Message.append(session, Role.ASSISTANT, "", parts=[call])
    Message.append(session, Role.TOOL, "", parts=[{**result, "is_error": True}])

    page = text_of(member.get(f"/chat/{session.pk}/"))
    assert page.count('<details class="step">') == 3  # and the mould for what comes
    assert "&lt;b&gt;" in page and "&lt;i&gt;4&lt;/i&gt;" in page


def test_a_refused_key_has_a_card_that_leads_to_it(member: Client, alice: User) -> None:
    key = CredentialFactory.create(owner=alice)
    session = AgentSession.objects.create(
        owner=alice, credential=key, status=SessionStatus.FAILED, reason="It is refused."
    )
    UsageRecord.objects.create(
        user=alice, session_id=session.pk, surface="agent", provider="openai", model="gpt-5",
        usage_source="estimated", latency_ms=1.0, status="error", paid_by="user",
        error_code="authentication_failed",
    )  # fmt: skip

    page = text_of(member.get(f"/chat/{session.pk}/"))
    assert "The key was not accepted" in page and "It is refused." in page
    assert f'<a href="/keys/{key.pk}/">Test or replace the key</a>' in page


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "![x](https://tracker.test/pixel.png)",
        '[x](https://a.test "onmouseover=alert(1)")',
        "<a href='x' onclick='alert(1)'>x</a>",
        "<https://a.test/\"onmouseover='alert(1)'>",
        "```<style>\nx\n```",
        "<svg/onload=alert(1)>",
    ],
)
def test_an_answer_brings_no_html_of_its_own(attack: str) -> None:
    html = to_html(attack)
    tags = html.split("<")[1:]

    assert not [tag for tag in tags if tag.startswith(("script", "img", "style", "svg"))]
    assert not [tag for tag in tags if " on" in tag.partition(">")[0]]
    assert 'href="javascript' not in html and 'href="data' not in html


def test_an_answer_is_drawn_as_markdown() -> None:
    html = to_html("# Otters\n\n- **sleep**\n\n```py\n1 < 2\n```")

    assert "<h3>Otters</h3>" in html and "<li><strong>sleep</strong></li>" in html
    assert '<pre tabindex="0"><code>1 &lt; 2\n</code></pre>' in html
