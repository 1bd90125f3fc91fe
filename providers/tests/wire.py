"""A stand-in for a provider at the one seam there is: the HTTP client handed to an adapter.

For what the simulator can't be made to say. It remembers what was sent.
"""

from __future__ import annotations

import json
from typing import Any

import httpx2

from providers import registry
from providers.adapter import Adapter
from providers.vocabulary import JSON, ChatRequest, Message

KEY = "sk-proj-0123456789abcdefghijKEY"
Reply = httpx2.Response | Exception


class Wire:
    """Gives its answers in order, the last one for ever, and keeps the requests."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = replies
        self.requests: list[httpx2.Request] = []
        self.http = httpx2.AsyncClient(transport=httpx2.MockTransport(self._answer))

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        reply = self.replies[min(len(self.requests), len(self.replies)) - 1]
        if isinstance(reply, Exception):
            raise reply
        return reply

    def client(self, provider: str, key: str = KEY, **options: Any) -> Adapter:
        path = "/v1" if registry.get(provider).dialect == "openai" else ""
        options.setdefault("base_url", f"http://provider.test{path}")
        return registry.make_client(provider, api_key=key, http=self.http, **options)

    @property
    def sent(self) -> JSON:
        """The body of the last request."""
        body: JSON = json.loads(self.requests[-1].content)
        return body


def sse(*events: JSON | str, named: bool = False) -> httpx2.Response:
    """A stream of events; `named` as Anthropic does it, with the type as the event's name."""
    lines = []
    for event in events:
        data = event if isinstance(event, str) else json.dumps(event)
        name = f"event: {event['type']}\n" if named and isinstance(event, dict) else ""
        lines.append(f"{name}data: {data}\n\n")
    return httpx2.Response(
        200, content="".join(lines), headers={"content-type": "text/event-stream"}
    )


def ask(model: str = "some-model", text: str = "Hello", **fields: Any) -> ChatRequest:
    return ChatRequest(model=model, messages=(Message.user(text),), **fields)
