"""What can go wrong with a session or a turn.

SessionError(ValueError)
├── TurnRunning        another turn of this session is not finished yet
├── SessionEnded       the session was terminated, its reason says why
├── ToolNotFound       no tool, and no tool server of the owner's, has this name
├── ToolsNotSupported  the provider can't call tools
├── ToolServerRefused  its URL can't be used
├── ToolServerExists   the owner has one of this name
├── TokenRefused       it can't be a bearer token
├── TokenNeeded        another URL needs the token again
├── ToolServersClosed  the operator does not let people name hosts
├── ToolServerFailed   it did not answer as an MCP server should
└── ToolServerDenied   it does not accept the token, or wants one
"""

from __future__ import annotations


class SessionError(ValueError):
    """This session can't do that."""

    status = 409
    code = "session_error"

    def __init__(self, **facts: str) -> None:
        super().__init__(" ".join((type(self).__doc__ or "").split()).format(**facts))


class TurnRunning(SessionError):
    """This session is still answering. Wait until it is done, then try again."""

    code = "turn_running"


class SessionEnded(SessionError):
    """This session has ended: {reason} Start a new one."""

    code = "session_ended"


class ToolNotFound(SessionError):
    """There is no tool {name}. Built in are {known}; a tool server of your own is named as
    mcp:NAME."""

    status = 400
    code = "tool_not_found"


class ToolsNotSupported(SessionError):
    """{provider} can't call tools. Leave them out, or choose another provider."""

    status = 400
    code = "unsupported"


class ToolServerRefused(SessionError):
    """This URL can't be used for a tool server: {detail}."""

    status = 400
    code = "tool_server_refused"


class ToolServerExists(SessionError):
    """You have a tool server named {name} already. Choose another name, or delete that one."""

    status = 400
    code = "already_exists"


class TokenRefused(SessionError):
    """This token can't be used: {detail}."""

    status = 400
    code = "token_refused"


class TokenNeeded(SessionError):
    """A token is pinned to its server: to change the URL, send the token with it (an empty one if
    the new server wants none)."""

    status = 400
    code = "token_needed"


class ToolServersClosed(SessionError):
    """Tool servers and fetching addresses are switched off on this server. The operator can allow
    them (BYOM_CUSTOM_BASE_URLS)."""

    status = 400
    code = "base_urls_closed"


class ToolServerFailed(SessionError):
    """The tool server {name} did not answer as an MCP server should. Check its URL and that it
    runs, or take it out of the session's tools."""

    status = 502
    code = "tool_server_failed"


class ToolServerDenied(ToolServerFailed):
    """The tool server {name} does not accept its token, or wants one. Give it a new one, or take
    the server out of the session's tools."""

    code = "tool_server_denied"
