"""What can go wrong with a session or a turn.

SessionError(ValueError)
├── TurnRunning      another turn of this session is not finished yet
└── SessionEnded     the session was terminated, its reason says why
"""

from __future__ import annotations


class SessionError(ValueError):
    """This session can't do that."""

    status = 409
    code = "session_error"

    def __init__(self, **facts: str) -> None:
        super().__init__(" ".join((type(self).__doc__ or "").split()).format(**facts))


class TurnRunning(SessionError):
    """This session is still answering. Wait until it is done, then send the next message."""

    code = "turn_running"


class SessionEnded(SessionError):
    """This session has ended: {reason} Start a new one."""

    code = "session_ended"
