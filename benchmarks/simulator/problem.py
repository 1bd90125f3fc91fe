"""What can go wrong, in neutral words. Each dialect writes it as its provider would."""

from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "missing_key",
    "bad_key",
    "forbidden",
    "rate_limit",
    "quota",
    "server",
    "overloaded",
    "context",
    "no_model",
    "no_path",
    "no_method",
    "bad_request",
    "not_json",
    "too_large",
]


class Problem(Exception):
    """A refusal, to be answered in the dialect of the request."""

    def __init__(self, kind: Kind, message: str = "", **facts: Any) -> None:
        super().__init__(message or kind)
        self.kind, self.message, self.facts = kind, message, facts


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole response: a JSON body and headers beside the usual ones."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
