"""The pages for one's own tool servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agents.models import ToolServer
from agents.tests.tool_server import tool_server
from agents.tool_servers import add_tool_server

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
PAGE = "/chat/tool-servers/"
TOKEN = "tools-Zq7Xw9Kp+3Vb/Tr5-7890"
URL = "https://tools.invalid/mcp"


@pytest.fixture
def member(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


@pytest.fixture
def server(alice: User) -> ToolServer:
    return add_tool_server(owner=alice, name="home", url=URL, token=TOKEN)


def test_a_server_is_added_and_shows_what_it_offers(
    member: Client, allow: Callable[..., None]
) -> None:
    allow("127.0.0.1")
    with tool_server(TOKEN) as door:
        form = {"name": "home", "url": door.url, "token": TOKEN}
        page = member.post(PAGE, form, follow=True).content.decode()

    assert "home_weather" in page and "Tells the weather of a city." in page
    assert "********7890" in page and TOKEN not in page


def test_one_that_does_not_answer_says_so(member: Client, server: ToolServer) -> None:
    page = member.get(f"{PAGE}{server.pk}/")

    assert page.status_code == 200
    assert "did not answer as an MCP server should" in page.content.decode()


@pytest.mark.parametrize(
    ("form", "field", "sentence"),
    [
        ({"name": "home"}, "name", "already"),
        ({"name": "Home"}, "name", "small letters"),
        ({"url": "http://10.0.0.1/"}, "url", "can't be used for a tool server"),
        ({"token": "Bearer abcdefgh"}, "token", "leave out the word Bearer"),
    ],
)
def test_what_is_refused_comes_back_to_its_field(
    member: Client, server: ToolServer, form: dict[str, str], field: str, sentence: str
) -> None:
    refused = member.post(PAGE, {"name": "new", "url": URL, "token": TOKEN, **form})

    assert refused.status_code == 422
    assert sentence in refused.context["form"].errors[field][0]
    assert TOKEN not in refused.content.decode() and "Bearer abcdefgh" not in str(refused.content)
    assert ToolServer.objects.count() == 1


def test_another_url_alone_is_refused_at_the_token(member: Client, server: ToolServer) -> None:
    refused = member.post(f"{PAGE}{server.pk}/", {"url": "https://elsewhere.invalid/mcp"})

    assert "token" in refused.context["form"].errors
    server.refresh_from_db()
    assert server.url == URL


def test_a_token_can_be_taken_away_and_the_server_deleted(
    member: Client, server: ToolServer
) -> None:
    member.post(f"{PAGE}{server.pk}/", {"url": URL, "without_token": "on"})
    server.refresh_from_db()
    assert not server.token
    member.post(f"{PAGE}{server.pk}/delete/")

    assert member.get(f"{PAGE}{server.pk}/").status_code == 404
    assert "home" not in [row.name for row in member.get(PAGE).context["servers"]]


def test_where_people_may_name_no_hosts_the_page_says_so(
    member: Client, server: ToolServer, settings: Any
) -> None:
    settings.CUSTOM_BASE_URLS = False

    assert "switched off" in member.get(PAGE).content.decode()
    assert "switched off" in member.get(f"{PAGE}{server.pk}/").content.decode()
