"""The three official SDKs behind one face, pointed at the gateway as their users would."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import anthropic
import openai
from google import genai
from google.genai import errors, types

T = TypeVar("T")
QUESTION = "What is the capital of France?"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the SDK calls, and what it takes for its API key."""

    url: str
    token: str


class OpenAI:
    provider, model, foreign = "openai", "gpt-4o-mini", "claude-haiku-4-5"
    Error = openai.APIStatusError

    def client(self, at: Place) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(api_key=at.token, base_url=f"{at.url}/v1", max_retries=0)

    async def complete(self, at: Place, model: str = "", **headers: str) -> str:
        async with self.client(at) as client:
            answer = await client.chat.completions.create(
                model=model or self.model,
                messages=[{"role": "user", "content": QUESTION}],
                extra_headers=headers,
            )
        return answer.choices[0].message.content or ""

    async def stream(self, at: Place, **headers: str) -> str:
        text = ""
        async with self.client(at) as client:
            chunks = await client.chat.completions.create(
                model=self.model,
                messages=[{"role": "user", "content": QUESTION}],
                stream=True,
                extra_headers=headers,
            )
            async for chunk in chunks:
                assert chunk.usage is None, "nobody has asked for usage"
                text += "".join(choice.delta.content or "" for choice in chunk.choices)
        return text


class Anthropic:
    provider, model, foreign = "anthropic", "claude-haiku-4-5", "gemini-2.5-flash"
    Error = anthropic.APIStatusError

    def client(self, at: Place) -> anthropic.AsyncAnthropic:
        return anthropic.AsyncAnthropic(api_key=at.token, base_url=at.url, max_retries=0)

    async def complete(self, at: Place, model: str = "", **headers: str) -> str:
        async with self.client(at) as client:
            answer = await client.messages.create(
                model=model or self.model,
                max_tokens=100,
                messages=[{"role": "user", "content": QUESTION}],
                extra_headers=headers,
            )
        return "".join(block.text for block in answer.content if block.type == "text")

    async def stream(self, at: Place, **headers: str) -> str:
        async with (
            self.client(at) as client,
            client.messages.stream(
                model=self.model,
                max_tokens=100,
                messages=[{"role": "user", "content": QUESTION}],
                extra_headers=headers,
            ) as stream,
        ):
            return await stream.get_final_text()


class Google:
    provider, model, foreign = "google", "gemini-2.5-flash", "gpt-4o-mini"
    Error = errors.APIError

    def client(self, at: Place) -> genai.Client:
        return genai.Client(
            vertexai=False,
            api_key=at.token,
            http_options=types.HttpOptions(base_url=at.url, timeout=20_000),
        )

    async def complete(self, at: Place, model: str = "", **headers: str) -> str:
        with self.client(at) as client:
            async with client.aio as aio:
                answer = await aio.models.generate_content(
                    model=model or self.model, contents=QUESTION, config=_with(headers)
                )
        return answer.text or ""

    async def stream(self, at: Place, **headers: str) -> str:
        text = ""
        with self.client(at) as client:
            async with client.aio as aio:
                chunks = await aio.models.generate_content_stream(
                    model=self.model, contents=QUESTION, config=_with(headers)
                )
                async for chunk in chunks:
                    text += chunk.text or ""
        return text


def _with(headers: dict[str, str]) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(http_options=types.HttpOptions(headers=headers))


SDK = OpenAI | Anthropic | Google
SDKS: tuple[SDK, ...] = (OpenAI(), Anthropic(), Google())


def status_of(error: Any) -> int:
    return int(getattr(error, "status_code", None) or error.code)


def run(work: Coroutine[Any, Any, T]) -> T:
    """A loop for each call: the ORM stays in the test's own thread."""
    return asyncio.run(work)
