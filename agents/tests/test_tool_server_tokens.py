"""The bearer tokens of tool servers: sealed, never shown, sent to their own server only."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any, cast

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from rest_framework.test import APIClient

from agents.errors import TokenNeeded, TokenRefused
from agents.mcp_client import RemoteTool, _Link, remote_tools
from agents.models import Message, ToolServer
from agents.tests.test_turns import say, start
from agents.tests.tool_server import Door, tool_server
from agents.tool_servers import add_tool_server, change_tool_server, delete_tool_server
from agents.tools import ToolError
from credentials.audit import AuditEvent
from credentials.tests.factories import CredentialFactory, UserFactory
from credentials.vault import Tampered

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
SERVERS = "/api/v1/agent/tool-servers"
TOKEN = "tools-Zq7Xw9Kp+3Vb/Tr5-7890"
URL = "https://tools.invalid/mcp"


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with tool_server(TOKEN) as found:
        yield found


@pytest.fixture
def server(alice: User, door: Door, allow: Callable[..., None]) -> ToolServer:
    """One that answers only to who brings the token."""
    allow("127.0.0.1")
    door.brought.clear()
    return add_tool_server(owner=alice, name="home", url=door.url, token=TOKEN)


def stored(server: ToolServer) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT token FROM agents_toolserver")
        return str(cursor.fetchone()[0])


def run(tool: RemoteTool, **arguments: Any) -> str:
    return async_to_sync(tool.run)(arguments)


def test_every_request_brings_the_token(server: ToolServer, door: Door) -> None:
    tool, _ = async_to_sync(remote_tools)(server)

    assert run(tool, city="Paris") == "Sunny in Paris."
    assert set(door.brought) == {f"Bearer {TOKEN}"} and len(door.brought) >= 4


def test_a_server_without_a_token_is_sent_none(alice: User, allow: Callable[..., None]) -> None:
    allow("127.0.0.1")
    with tool_server() as open_door:
        async_to_sync(remote_tools)(add_tool_server(owner=alice, name="o", url=open_door.url))

    assert set(open_door.brought) == {""}


@pytest.mark.parametrize("token", ["", "another-token"])
def test_a_token_that_is_not_accepted_is_said(
    api: APIClient, server: ToolServer, token: str
) -> None:
    change_tool_server(server=server, token=token)
    answer = api.get(f"{SERVERS}/{server.pk}/tools")

    assert (answer.status_code, answer.json()["code"]) == (502, "tool_server_denied")


def test_what_a_server_repeats_of_its_token_is_not_passed_on(
    api: APIClient, server: ToolServer, simulator: Any
) -> None:
    assert TOKEN not in api.get(f"{SERVERS}/{server.pk}/tools").content.decode()
    answer = say(api, start(api, tools=["mcp:home"]), "Use home_tell: what opens it?")

    assert answer.status_code == 201, answer.content
    (result,) = Message.objects.get(role="tool").parts
    assert result["content"] == "It is Bearer [redacted]."


def test_a_schema_that_repeats_the_token_is_cleaned_too() -> None:
    link = _Link(cast(Any, None), TOKEN)
    schema = {"enum": [TOKEN, 7], f"x-{TOKEN}": {"description": f"Say {TOKEN}."}}

    assert link.clean_all(schema) == {
        "enum": ["[redacted]", 7], "x-[redacted]": {"description": "Say [redacted]."},
    }  # fmt: skip


def test_the_row_holds_ciphertext_that_opens_nowhere_else(server: ToolServer) -> None:
    other = add_tool_server(owner=UserFactory.create(), name="home", url=URL, token="x" * 20)
    token = ToolServer.objects.get(pk=server.pk).token.token

    assert stored(server).startswith("byom1:") and TOKEN not in stored(server)
    field: Any = ToolServer._meta.get_field("token")
    other.token = field.as_secret(token, other)
    with pytest.raises(Tampered):
        other.reveal_token()


def test_only_the_last_four_are_ever_shown(api: APIClient) -> None:
    made = api.post(SERVERS, {"name": "home", "url": URL, "token": TOKEN}, format="json")
    address = f"{SERVERS}/{made.json()['id']}"
    answers = [made, api.get(SERVERS), api.get(address), api.patch(address, {"token": TOKEN})]

    assert made.json()["token_masked"] == "********7890"
    assert all(TOKEN[:8] not in answer.content.decode() for answer in answers)


def test_another_url_needs_the_token_again(api: APIClient, alice: User) -> None:
    server = add_tool_server(owner=alice, name="home", url=URL, token=TOKEN)
    address = f"{SERVERS}/{server.pk}"
    elsewhere = "https://elsewhere.invalid/mcp"

    refused = api.patch(address, {"url": elsewhere}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (400, "token_needed")
    server.refresh_from_db()
    assert (server.url, server.reveal_token()) == (URL, TOKEN)

    both = api.patch(address, {"url": elsewhere, "token": "another-token-1"}, format="json")
    assert (both.json()["url"], both.json()["token_masked"]) == (elsewhere, "********en-1")
    gone = api.patch(address, {"url": URL, "token": ""}, format="json")
    assert (gone.json()["url"], gone.json()["token_masked"]) == (URL, "")
    assert api.patch(address, {"url": elsewhere}, format="json").status_code == 200


def test_the_same_url_in_other_letters_is_no_change(alice: User) -> None:
    server = add_tool_server(owner=alice, name="home", url=URL, token=TOKEN)
    change_tool_server(server=server, url="https://Tools.invalid:443/mcp/")

    with pytest.raises(TokenNeeded):
        change_tool_server(server=server, url="https://tools.invalid:8443/mcp")


@pytest.mark.parametrize(
    "token", ["short", "Bearer abcdefgh", "töken-töken", "x" * 4097, "a\nb" * 9]
)
def test_what_can_be_no_token_is_refused_and_not_repeated(alice: User, token: str) -> None:
    with pytest.raises(TokenRefused) as raised:
        add_tool_server(owner=alice, name="home", url=URL, token=token)

    assert token not in str(raised.value)
    assert not ToolServer.objects.exists()


def test_a_deleted_server_keeps_its_row_and_loses_its_token(server: ToolServer, door: Door) -> None:
    tool, _ = async_to_sync(remote_tools)(server)
    delete_tool_server(server=server)
    asked = len(door.brought)

    with pytest.raises(ToolError, match="has been deleted"):
        run(tool, city="Paris")
    assert len(door.brought) == asked
    row = ToolServer.objects.get(pk=server.pk)
    assert (row.is_active, bool(row.token), row.last4) == (False, False, "7890")
    assert "byom1:" not in stored(server)


def test_a_token_given_anew_counts_from_the_next_call_on(server: ToolServer, door: Door) -> None:
    tool, _ = async_to_sync(remote_tools)(server)
    change_tool_server(server=server, token="another-token")

    with pytest.raises(ToolError, match="does not accept its token"):
        run(tool, city="Paris")
    assert door.brought[-1] == "Bearer another-token"


def test_changes_and_questions_are_limited_and_deletion_is_not(
    api: APIClient, client: Client, alice: User, settings: Any, simulator: Any
) -> None:
    server = add_tool_server(owner=alice, name="home", url=URL, token=TOKEN)
    settings.CREDENTIAL_LIMITS = {**settings.CREDENTIAL_LIMITS, "changes of tool servers": 1}
    settings.CREDENTIAL_LIMITS["questions to tool servers"] = 1
    address = f"{SERVERS}/{server.pk}"
    client.force_login(alice)

    assert api.patch(address, {"token": TOKEN}, format="json").status_code == 200
    assert api.patch(address, {"token": TOKEN}, format="json").status_code == 429
    page = client.post("/chat/tool-servers/", {"name": "two", "url": URL})
    assert page.status_code == 422 and "1 changes of tool servers" in page.content.decode()
    assert api.get(f"{address}/tools").json()["code"] == "tool_server_failed"
    assert api.get(f"{address}/tools").json()["code"] == "too_many_requests"
    looked = client.get(f"/chat/tool-servers/{server.pk}/").content.decode()
    assert "1 questions to tool servers" in looked
    assert api.delete(address).status_code == 204


def test_rotation_seals_tokens_anew_with_the_keys(server: ToolServer, settings: Any) -> None:
    CredentialFactory.create()
    new = f"k2:{base64.b64encode(b'2' * 32).decode()}"
    settings.ENCRYPTION_KEYS = f"{new},{settings.ENCRYPTION_KEYS}"
    out = StringIO()
    call_command("rotate_keys", stdout=out)
    settings.ENCRYPTION_KEYS = new

    assert "2 keys were sealed under k2." in out.getvalue()
    assert stored(server).startswith("byom1:k2:")
    row = ToolServer.objects.get(pk=server.pk)
    assert (row.key_kid, row.last4, row.reveal_token()) == ("k2", "7890", TOKEN)
    assert AuditEvent.objects.filter(action="reseal", object_type="tool_server").count() == 1
    call_command("rotate_keys", "--check", stdout=out)


def test_the_trail_tells_what_was_done_and_no_token(alice: User) -> None:
    server = add_tool_server(owner=alice, name="home", url=URL, token=TOKEN)
    change_tool_server(server=server, token=TOKEN + "2")
    change_tool_server(server=server, url=URL)
    delete_tool_server(server=server)

    events = AuditEvent.objects.of_owner(alice).order_by("position")
    assert [(event.action, event.detail, event.last4) for event in events] == [
        ("server_create", "home", "7890"),
        ("server_change", "home: token", "8902"),
        ("server_delete", "home", "8902"),
    ]


def test_staff_can_delete_a_server_and_neither_change_nor_read_it(
    client: Client, alice: User
) -> None:
    server = add_tool_server(owner=alice, name="home", url=URL, token=TOKEN)
    client.force_login(UserFactory.create(is_staff=True, is_superuser=True))
    address = f"/admin/agents/toolserver/{server.pk}/change/"
    page = client.get(address).content.decode()
    client.post(address, {"url": "https://elsewhere.invalid/mcp"})

    assert "********7890" in page and TOKEN not in page and "byom1:" not in page
    server.refresh_from_db()
    assert server.url == URL
    chosen = {"action": "delete_servers", "_selected_action": [str(server.pk)]}
    client.post("/admin/agents/toolserver/", chosen)
    server.refresh_from_db()
    assert (server.is_active, bool(server.token)) == (False, False)
