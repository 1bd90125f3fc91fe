"""The forms for one's own tool servers; a token is never rendered back."""

from __future__ import annotations

from typing import Any

from django import forms

from agents.errors import (
    SessionError,
    TokenNeeded,
    TokenRefused,
    ToolServerExists,
    ToolServerRefused,
)
from agents.models import ToolServer
from agents.tool_servers import MAX_TOKEN, SERVER_NAME, add_tool_server, change_tool_server
from credentials.forms import KeyField
from credentials.limits import TooManyRequests, limit

FIELDS: dict[type[Exception], str] = {
    ToolServerExists: "name",
    ToolServerRefused: "url",
    TokenRefused: "token",
    TokenNeeded: "token",
}
PINNED = "It is sealed, sent to this URL only, and never shown again."


def url_field() -> forms.CharField:
    attrs = {"inputmode": "url", "spellcheck": "false", "autocomplete": "off"}
    attrs["placeholder"] = "https://…/mcp"
    return forms.CharField(max_length=500, label="URL", widget=forms.TextInput(attrs=attrs))


def token_field(help_text: str) -> KeyField:
    return KeyField(
        label="Bearer token", required=False, max_length=MAX_TOKEN + 100, help_text=help_text
    )


class ServerForm(forms.Form):
    """A form that asks a service; what that refuses comes back to its field."""

    template_name = "forms/fields.html"
    owner_id: int

    def submit(self) -> ToolServer | None:
        """The row, or None with the reason added to the form."""
        if not self.is_valid():
            return None
        try:
            limit("changes of tool servers", self.owner_id)
            return self.write()
        except (SessionError, TooManyRequests) as error:
            field = FIELDS.get(type(error))
            self.add_error(field if field in self.fields else None, str(error))
            return None

    def write(self) -> ToolServer:
        raise NotImplementedError


class AddServerForm(ServerForm):
    name = forms.RegexField(
        SERVER_NAME,
        max_length=24,
        help_text="Chats call it mcp:NAME. Small letters, digits and hyphens.",
        error_messages={"invalid": "Use small letters, digits and hyphens, a letter first."},
    )
    url = url_field()
    token = token_field(f"If the server asks for one. {PINNED}")

    def __init__(self, *args: Any, owner: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.owner, self.owner_id = owner, owner.pk

    def write(self) -> ToolServer:
        return add_tool_server(owner=self.owner, **self.cleaned_data)


class ChangeServerForm(ServerForm):
    url = url_field()
    token = token_field("")
    without_token = forms.BooleanField(required=False, label="Take the token away")

    def __init__(self, *args: Any, server: ToolServer, **kwargs: Any) -> None:
        super().__init__(*args, **{"initial": {"url": server.url}, **kwargs})
        self.server, self.owner_id = server, server.owner_id
        kept = f"Empty: {server.token_masked} stays. " if server.token else ""
        self.fields["token"].help_text = f"{kept}Another URL needs it again. {PINNED}"
        if not server.token:
            del self.fields["without_token"]

    def write(self) -> ToolServer:
        token = self.cleaned_data["token"] or None
        if self.cleaned_data.get("without_token"):
            token = ""
        return change_tool_server(server=self.server, url=self.cleaned_data["url"], token=token)
