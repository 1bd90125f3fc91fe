"""Clients of the proofs with real servers: they call until the server is gone, and tell which
answers they have received whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

import httpx2

TOKENS = 400
QUESTION: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "max_tokens": TOKENS,
    "messages": [{"role": "user", "content": "Hello"}],
}
# Answers take all that they may, so that a budget has no room for one call more than planned.
PACE = {"x-sim-tokens": str(TOKENS), "x-sim-chunk": "40"}
Tell = Callable[[str], None]  # takes the call id of an answer that was received whole


async def gateway_whole(http: httpx2.AsyncClient, tell: Tell) -> None:
    while True:
        answer = await http.post("/v1/chat/completions", json=QUESTION, headers=PACE)
        answer.raise_for_status()
        tell(answer.headers["x-byom-call-id"])


async def gateway_streamed(http: httpx2.AsyncClient, tell: Tell) -> None:
    body = {**QUESTION, "stream": True}
    while True:
        async with http.stream("POST", "/v1/chat/completions", json=body, headers=PACE) as answer:
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                if line == "data: [DONE]":
                    tell(answer.headers["x-byom-call-id"])


async def agent_whole(http: httpx2.AsyncClient, tell: Tell) -> None:
    address = await _session(http)
    while True:
        answer = await http.post(address, json={"content": "Hello"})
        answer.raise_for_status()
        tell(answer.json()["receipt"]["call_id"])


async def agent_streamed(http: httpx2.AsyncClient, tell: Tell) -> None:
    address = await _session(http)
    body = {"content": "Hello", "stream": True}
    while True:
        async with http.stream("POST", address, json=body) as answer:
            answer.raise_for_status()
            event = ""
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                event = value if name == "event" else event
                if name == "data" and event == "done":
                    tell(json.loads(value)["receipt"]["call_id"])


async def _session(http: httpx2.AsyncClient) -> str:
    made = await http.post("/api/v1/agent/sessions", json={"goal": "test", "model": "gpt-4o-mini"})
    made.raise_for_status()
    return f"/api/v1/agent/sessions/{made.json()['id']}/messages"


KINDS: dict[str, Callable[[httpx2.AsyncClient, Tell], Coroutine[Any, Any, None]]] = {
    "gateway, whole": gateway_whole,
    "gateway, streamed": gateway_streamed,
    "agent, whole": agent_whole,
    "agent, streamed": agent_streamed,
}
