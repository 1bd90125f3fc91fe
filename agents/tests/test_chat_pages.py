"""The chat pages: finding conversations, choosing a key by its price, reading what was said."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agents.advice import advice_for
from agents.clients import SelectionError
from agents.errors import ToolServerFailed
from agents.markdown import to_html
from agents.models import (
    AgentSession,
    Message,
    Policy,
    Role,
    SelectionPolicy,
    SessionStatus,
)
from credentials.lifecycle import quarantine
from credentials.tests.factories import CredentialFactory
from credentials.vault import Unreadable
from providers.errors import ProviderError
from usage.admission import NotAdmitted
from usage.models import PriceOverride, UsageRecord

pytestmark = [pytest.mark.django_db, pytest.mark.integration]


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
    assert ">no price<" in page


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


def models_offered(page: Any) -> dict[str, dict[str, str]]:
    return {each["model"]: each for each in page.context["picker"]["data"]}


def test_every_known_model_of_the_keys_providers_is_offered_with_its_price(
    member: Client, alice: User, settings: Any
) -> None:
    settings.SIMULATOR_URL = ""
    CredentialFactory.create(owner=alice, key="sk-proj-1234567890")
    PriceOverride.objects.create(
        provider="openai", model="gpt-of-ours", input_mtok=Decimal(2), output_mtok=Decimal(4)
    )
    found = models_offered(member.get("/chat/new/"))

    assert {each["provider"] for each in found.values()} == {"openai"}
    assert len(found) > 30 and "text-embedding-3-small" not in found
    assert found["gpt-4o"]["prices"] == "$2.50 in, $10.00 out"
    assert found["gpt-4o"]["turn"] == "about $0.0065 a turn"
    assert found["gpt-of-ours"]["prices"] == "$2.00 in, $4.00 out"


def test_a_model_without_a_price_says_so(member: Client, alice: User, simulator: Any) -> None:
    CredentialFactory.create(owner=alice, provider="openai_compatible", model_name="llama")

    found = models_offered(member.get("/chat/new/"))["llama"]
    assert (found["prices"], found["turn"]) == ("no price", "")


def test_a_provider_is_asked_what_a_key_reaches_and_each_model_has_its_price(
    member: Client, alice: User, simulator: Any
) -> None:
    key = CredentialFactory.create(owner=alice, provider="openai_compatible", model_name="llama")
    answers = [member.post("/chat/models/", {"offer": f"key:{key.pk}"}) for _ in range(2)]

    found = {each["model"]: each["prices"] for each in answers[0].json()["models"]}
    assert found["gpt-4o-mini"] == "no price" and not [name for name in found if "embed" in name]
    assert answers[1].json() == answers[0].json()
    record = UsageRecord.objects.get()  # asked once
    assert (record.status, record.credential_id, record.cost_usd) == ("ok", key.pk, Decimal(0))


def test_a_provider_that_can_not_be_asked_is_said(
    member: Client, alice: User, bob: User, simulator: Any
) -> None:
    key = CredentialFactory.create(owner=alice, key="sk-sim-403-1234567890")
    refused = member.post("/chat/models/", {"offer": f"key:{key.pk}"})
    foreign = CredentialFactory.create(owner=bob)

    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert UsageRecord.objects.get().error_code == "permission_denied"
    assert member.post("/chat/models/", {"offer": f"key:{foreign.pk}"}).status_code == 400
    assert member.post("/chat/models/").status_code == 400


def test_keys_that_can_not_be_used_now_are_named(member: Client, alice: User) -> None:
    key = CredentialFactory.create(owner=alice, label="Spent")
    quarantine(key.pk, "No credit.")

    page = text_of(member.get("/chat/new/"))
    assert f'<a href="/keys/{key.pk}/">Spent</a> (quarantined)' in page
    assert f'value="key:{key.pk}"' not in page


def test_automatic_says_what_it_would_take_now(member: Client, alice: User, simulator: Any) -> None:
    assert "now gpt-4o-mini · Paid for by the operator" in text_of(member.get("/chat/new/"))
    CredentialFactory.create(owner=alice, provider="anthropic", label="Mine", is_default=True)

    assert "now claude-haiku-4-5 · Mine (********7890)" in text_of(member.get("/chat/new/"))


def test_models_of_the_system_s_keys_are_offered_only_where_the_policy_allows(
    member: Client, alice: User, simulator: Any
) -> None:
    CredentialFactory.create(owner=alice, provider="anthropic")
    assert "gpt-4o" in models_offered(member.get("/chat/new/"))
    SelectionPolicy.objects.create(user=alice, system_key_forbidden=True)

    assert {name.partition("-")[0] for name in models_offered(member.get("/chat/new/"))} == {
        "claude"
    }


def test_a_chat_starts_with_the_chosen_model(member: Client, alice: User, simulator: Any) -> None:
    key = CredentialFactory.create(owner=alice)
    member.post("/chat/new/", {"offer": f"key:{key.pk}", "model": "gpt-5"})
    member.post("/chat/new/", {"offer": "", "model": "claude-haiku-4-5"})

    found = AgentSession.objects.order_by("created_at")
    assert [(row.credential, row.model) for row in found] == [
        (key, "gpt-5"), (None, "claude-haiku-4-5"),
    ]  # fmt: skip


def test_a_model_of_another_provider_is_refused_on_the_page(
    member: Client, alice: User, simulator: Any
) -> None:
    key = CredentialFactory.create(owner=alice)
    refused = member.post("/chat/new/", {"offer": f"key:{key.pk}", "model": "claude-haiku-4-5"})

    assert refused.status_code == 422
    assert "belongs to Anthropic" in text_of(refused)
    assert not AgentSession.objects.exists()


def test_a_chat_goes_on_with_another_model_and_notes_it(
    member: Client, alice: User, simulator: Any
) -> None:
    first = CredentialFactory.create(owner=alice, label="first")
    second = CredentialFactory.create(owner=alice, provider="anthropic", label="second")
    member.post("/chat/new/", {"offer": f"key:{first.pk}", "model": "gpt-5"})
    session = AgentSession.objects.get()
    address = f"/chat/{session.pk}/change/"
    assert f'value="key:{first.pk}"' in text_of(member.get(address)).split(" checked")[0][-200:]
    moved = member.post(address, {"offer": f"key:{second.pk}", "model": ""})

    assert moved.headers["Location"] == f"/chat/{session.pk}/"
    session.refresh_from_db()
    assert (session.credential, session.model, session.provider) == (second, "", "anthropic")
    note = session.messages.get(role=Role.NOTE).text
    assert "first" in note and "gpt-5" in note and "second" in note


def test_a_chat_on_a_key_that_is_out_of_use_keeps_it_and_gets_a_title(
    member: Client, alice: User, simulator: Any
) -> None:
    CredentialFactory.create(owner=alice, is_default=True)
    key = CredentialFactory.create(owner=alice)
    session = AgentSession.objects.create(owner=alice, credential=key, provider="openai")
    quarantine(key.pk, "No credit.")
    member.post(f"/chat/{session.pk}/change/", {"title": "Otters", "model": ""})
    refused = member.post(f"/chat/{session.pk}/change/", {"title": "Otters", "model": "gpt-5"})

    session.refresh_from_db()
    assert (session.title, session.credential, session.model) == ("Otters", key, "")
    assert refused.status_code == 422 and "in quarantine" in text_of(refused)


def test_a_title_leaves_the_rest_of_a_chat_alone(member: Client, alice: User) -> None:
    session = AgentSession.objects.create(
        owner=alice, provider="google", policy=Policy.OWN_THEN_SYSTEM, params={"top_p": 0.5}
    )
    member.post(f"/chat/{session.pk}/change/", {"title": "Otters", "offer": "", "model": ""})

    session.refresh_from_db()
    assert (session.title, session.provider, session.policy, session.params) == (
        "Otters", "google", Policy.OWN_THEN_SYSTEM, {"top_p": 0.5},
    )  # fmt: skip
    assert not session.messages.exists()


def test_tools_of_a_chat_change_also_where_one_is_gone(
    member: Client, alice: User, simulator: Any
) -> None:
    session = AgentSession.objects.create(owner=alice, tools=["mcp:gone", "calculator"])
    page = text_of(member.get(f"/chat/{session.pk}/change/"))
    assert 'value="calculator" id="id_tools_0" checked' in page and "mcp:gone" not in page
    member.post(f"/chat/{session.pk}/change/", {"offer": "", "tools": ["calculator"]})

    session.refresh_from_db()
    assert session.tools == ["calculator"]


def codes(*roots: type[Any]) -> set[str]:
    found = {root.code for root in roots}
    return found.union(*(codes(*root.__subclasses__()) for root in roots if root.__subclasses__()))


def test_whatever_ends_a_turn_has_a_card_of_its_own(alice: User) -> None:
    session = AgentSession.objects.create(owner=alice)
    ends = codes(ProviderError, SelectionError, NotAdmitted, Unreadable, ToolServerFailed)
    ends -= {"provider_error", "selection_error", "not_admitted"}  # the roots are never raised

    assert len(ends) > 25
    assert ends - advice_for(session).keys() == set()


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("length", "The answer was cut off"),
        ("refused", "The provider refused the content"),
        ("max_steps", "Ask it to go on"),
        ("stop", ""),
    ],
)
def test_how_an_answer_ended_is_there_when_the_page_is_loaded_again(
    member: Client, alice: User, reason: str, shown: str
) -> None:
    session = AgentSession.objects.create(owner=alice)
    Message.append(session, Role.USER, "Tell me all.")
    Message.append(session, Role.ASSISTANT, "First,", finish_reason=reason)
    Message.append(session, Role.USER, "Thanks.")
    Message.append(session, Role.ASSISTANT, "Welcome.", finish_reason="stop")
    page = text_of(member.get(f"/chat/{session.pk}/")).partition("</ol>")[0]

    if shown:
        assert page.index("First,") < page.index(shown) < page.index("Thanks.")
    else:
        assert "notice error" not in page


def test_a_chat_can_come_back_from_the_systems_key(
    member: Client, alice: User, simulator: Any
) -> None:
    key = CredentialFactory.create(owner=alice)
    session = AgentSession.objects.create(owner=alice)
    for offer, policy in (("system:google", Policy.SYSTEM_ONLY), (f"key:{key.pk}", "")):
        member.post(f"/chat/{session.pk}/change/", {"offer": offer})
        session.refresh_from_db()
        assert session.policy == policy


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


def test_a_turn_of_several_calls_is_summed_up_below_its_last_one(
    member: Client, alice: User, simulator: Any
) -> None:
    session = AgentSession.objects.create(owner=alice, tools=["calculator"])
    for question in ("Use calculator: what is 6*7?", "What is the capital of France?"):
        member.post(f"/chat/{session.pk}/messages/", {"content": question})
    page = member.get(f"/chat/{session.pk}/")
    costs = [row.cost_usd or Decimal(0) for row in UsageRecord.objects.order_by("created_at")]

    (summed,) = [shown.total for shown in page.context["entries"] if shown.total]
    assert (summed.calls, summed.cost_usd) == (2, sum(costs[:2]))
    assert [bool(shown.total) for shown in page.context["entries"]] == [
        False, False, False, True, False, False,
    ]  # fmt: skip
    assert text_of(page).count("Whole turn:") == 2  # and the mould


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
