"""People's own choice of whose keys may pay: the API and the page."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from agents.models import SelectionPolicy

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
API = "/api/v1/users/me/policy"


def test_without_a_choice_the_server_s_policy_holds(api: APIClient) -> None:
    assert api.get(API).json() == {
        "policy": "",
        "system_key_forbidden": False,
        "may_pay": ["system", "user"],
    }


def test_a_choice_is_kept(api: APIClient, alice: User) -> None:
    answer = api.put(API, {"policy": "own_only"}, format="json")

    assert answer.json()["may_pay"] == ["user"]
    assert SelectionPolicy.objects.get(user=alice).policy == "own_only"


def test_nobody_lifts_what_staff_forbade(api: APIClient, alice: User) -> None:
    SelectionPolicy.objects.create(user=alice, system_key_forbidden=True)
    answer = api.put(API, {"policy": "own_then_system"}, format="json").json()

    assert (answer["may_pay"], answer["system_key_forbidden"]) == (["user"], True)


def test_an_unknown_policy_is_refused_with_a_sentence(api: APIClient) -> None:
    answer = api.put(API, {"policy": "somebody_else"}, format="json")

    assert answer.status_code == 400
    assert "policy" in answer.json()["fields"]


def test_the_page_saves_a_choice(client: Client, alice: User) -> None:
    client.force_login(alice)
    answer = client.post("/chat/policy/", {"policy": "own_only"}, follow=True)

    assert "Saved" in answer.content.decode()
    assert SelectionPolicy.objects.get(user=alice).policy == "own_only"


def test_the_page_says_when_nobody_may_pay(client: Client, alice: User) -> None:
    SelectionPolicy.objects.create(user=alice, policy="system_only", system_key_forbidden=True)
    client.force_login(alice)

    assert "no key may pay" in client.get("/chat/policy/").content.decode()
