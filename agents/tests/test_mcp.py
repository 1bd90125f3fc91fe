"""Tools of a person's own server: a real MCP server, over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from agents.errors import ToolServerFailed
from agents.mcp_client import called, remote_tools
from agents.models import AgentSession, Message, ToolServer
from agents.tests.test_turns import SESSIONS, say, start
from agents.tests.tool_server import Door, tool_server
from agents.tools import ToolError

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
SERVERS = "/api/v1/agent/tool-servers"


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with tool_server() as found:
        yield found


@pytest.fixture
def server(alice: User, door: Door, allow: Callable[..., None]) -> ToolServer:
    allow("127.0.0.1")
    return ToolServer.objects.create(owner=alice, name="home", url=door.url)


def test_a_server_tells_its_tools(api: APIClient, server: ToolServer) -> None:
    response = api.get(f"{SERVERS}/{server.pk}/tools")

    assert response.status_code == 200, response.content
    tool = response.json()[0]
    assert (tool["name"], tool["description"]) == ("home_weather", "Tells the weather of a city.")
    assert tool["schema"]["required"] == ["city"]


def test_the_model_uses_a_tool_of_the_server(
    api: APIClient, server: ToolServer, simulator: Any
) -> None:
    session = start(api, tools=["mcp:home"])
    answer = say(api, session, "Use home_weather: what is the weather in Paris?")

    assert answer.status_code == 201, answer.content
    (result,) = Message.objects.get(role="tool").parts
    assert (result["name"], result["is_error"]) == ("home_weather", False)
    assert result["content"].startswith("Sunny in ")


def test_a_tools_own_failure_goes_to_the_model(server: ToolServer) -> None:
    async def ask() -> str:
        tool, _ = await remote_tools(server)
        return await tool.run({"city": "Nowhere"})

    with pytest.raises(ToolError, match="Error executing tool weather"):
        async_to_sync(ask)()


def test_the_guard_stands_before_every_connection(
    server: ToolServer, allow: Callable[..., None]
) -> None:
    allow()

    with pytest.raises(ToolServerFailed):
        async_to_sync(remote_tools)(server)


def test_a_server_that_is_none_fails_the_turn_with_a_reason(
    api: APIClient, server: ToolServer, simulator: Any
) -> None:
    ToolServer.objects.filter(pk=server.pk).update(url=simulator.url)
    answer = say(api, start(api, tools=["mcp:home"]))

    assert (answer.status_code, answer.json()["code"]) == (502, "tool_server_failed")
    assert AgentSession.objects.get().status == "failed"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "x", "url": "http://10.0.0.1/mcp"}, "tool_server_refused"),
        ({"name": "x", "url": "https://169.254.169.254/"}, "tool_server_refused"),
        ({"name": "x", "url": "https://a:b@example.com/"}, "tool_server_refused"),
        ({"name": "Home Sweet", "url": "https://example.com/mcp"}, "invalid"),
        ({"name": "home", "url": "https://example.com/mcp"}, "already_exists"),
        ({"name": "x"}, "invalid"),
    ],
)
def test_a_server_that_can_not_be_used_is_not_stored(
    api: APIClient, server: ToolServer, allow: Callable[..., None], body: Any, code: str
) -> None:
    allow()
    response = api.post(SERVERS, body, format="json")

    assert (response.status_code, response.json()["code"]) == (400, code)
    assert ToolServer.objects.count() == 1


def test_servers_are_off_where_people_may_name_no_hosts(
    api: APIClient, server: ToolServer, settings: Any
) -> None:
    settings.CUSTOM_BASE_URLS = False

    body = {"name": "x", "url": "https://example.com/mcp"}
    assert api.post(SERVERS, body, format="json").json()["code"] == "base_urls_closed"
    assert api.post(SESSIONS, {"tools": ["mcp:home"]}, format="json").status_code == 400
    assert api.get(f"{SERVERS}/{server.pk}/tools").status_code == 400


def test_a_server_is_added_listed_and_deleted(api: APIClient) -> None:
    made = api.post(SERVERS, {"name": "x", "url": "https://Example.com/mcp"}, format="json")
    assert made.status_code == 201
    assert made.json()["url"] == "https://example.com/mcp"
    assert [row["name"] for row in api.get(SERVERS).json()["results"]] == ["x"]
    assert api.delete(f"{SERVERS}/{made.json()['id']}").status_code == 204
    assert api.get(SERVERS).json()["results"] == []
    again = api.post(SERVERS, {"name": "x", "url": "https://example.com/mcp"}, format="json")
    assert again.status_code == 201


def test_names_fit_what_all_providers_take() -> None:
    assert called("home", "get.weather/now") == "home_get_weather_now"
    assert len(called("home", "x" * 100)) == 64
