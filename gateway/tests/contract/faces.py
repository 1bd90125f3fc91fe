"""The three official SDKs behind one face: each thing done as its users do it, with its helpers."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
from anthropic import beta_async_tool
from google.genai import errors, types
from pydantic import BaseModel

from gateway.tests.sdks import QUESTION, Anthropic, Google, OpenAI, Place
from gateway.tests.test_gateway import QUICK

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WEATHER = "What is the weather in Paris?"
IN_A_SCHEMA = "The capital of France, please."
LOOK = "What is in this image?"


class City(BaseModel):
    city: str


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, its usage as the SDK's own objects have it, and why it ended."""

    text: str
    input_tokens: int
    output_tokens: int
    finish: str


class OpenAIFace:
    provider, model, finishes = "openai", OpenAI.model, ("stop", "tool_calls")
    Error: Any = openai.APIStatusError
    classes: dict[int, Any] = {  # noqa: RUF012
        400: openai.BadRequestError, 401: openai.AuthenticationError,
        403: openai.PermissionDeniedError, 404: openai.NotFoundError,
        408: openai.APIStatusError, 413: openai.APIStatusError,  # it has none of their own
        429: openai.RateLimitError, 500: openai.InternalServerError,
    }  # fmt: skip

    def _ask(self, model: str, text: str, **more: Any) -> dict[str, Any]:
        headers = {**QUICK, **more.pop("headers", {})}
        said = more.pop("messages", [{"role": "user", "content": text}])
        return {"model": model, "messages": said, "extra_headers": headers, **more}

    async def complete(self, at: Place, model: str, text: str = QUESTION, **more: Any) -> Said:
        async with OpenAI().client(at) as client:
            answer = await client.chat.completions.create(**self._ask(model, text, **more))
        return _openai_said(answer)

    async def stream(self, at: Place, model: str, **more: Any) -> Said:
        ask = self._ask(
            model, QUESTION, stream=True, stream_options={"include_usage": True}, **more
        )
        text, finish, usage = "", "", None
        async with OpenAI().client(at) as client:
            async for chunk in await client.chat.completions.create(**ask):
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    finish = choice.finish_reason or finish
        assert usage is not None
        return Said(text, usage.prompt_tokens, usage.completion_tokens, finish)

    async def stream_helper(self, at: Place, model: str) -> Said:
        ask = self._ask(model, QUESTION, stream_options={"include_usage": True})
        async with (
            OpenAI().client(at) as client,
            client.chat.completions.stream(**ask) as stream,
        ):
            text = "".join([e.delta async for e in stream if e.type == "content.delta"])
            said = _openai_said(await stream.get_final_completion())
        assert said.text == text
        return said

    async def instructed(self, at: Place, model: str, system: str, text: str) -> str:
        said = [{"role": "system", "content": system}, {"role": "user", "content": text}]
        return (await self.complete(at, model, messages=said)).text

    async def schema_helper(self, at: Place, model: str) -> City | None:
        async with OpenAI().client(at) as client:
            answer = await client.chat.completions.parse(
                response_format=City, **self._ask(model, IN_A_SCHEMA)
            )
        return answer.choices[0].message.parsed

    async def tool_helper(self, at: Place, model: str) -> str:
        """The city that the tool was called with, once its result has been answered."""

        class weather(BaseModel):  # noqa: N801 - the tool's name
            """The weather in a city."""

            city: str

        tools = [openai.pydantic_function_tool(weather)]
        said: list[Any] = [{"role": "user", "content": WEATHER}]
        async with OpenAI().client(at) as client:
            ask = self._ask(model, "", messages=said, tools=tools)
            message = (await client.chat.completions.parse(**ask)).choices[0].message
            (call,) = message.tool_calls or []
            said += [message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
            last = await client.chat.completions.create(
                **self._ask(model, "", messages=said, tools=tools)
            )
        assert last.choices[0].message.content
        arguments: Any = call.function.parsed_arguments
        return str(arguments.city)

    async def streamed_tool(self, at: Place, model: str) -> str:
        schema = City.model_json_schema()
        tool = {"type": "function", "function": {"name": "weather", "parameters": schema}}
        async with (
            OpenAI().client(at) as client,
            client.chat.completions.stream(**self._ask(model, WEATHER, tools=[tool])) as stream,
        ):
            message = (await stream.get_final_completion()).choices[0].message
        (call,) = message.tool_calls or []
        return str(json.loads(call.function.arguments)["city"])

    async def image(self, at: Place, model: str) -> str:
        url = f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"
        content = [{"type": "text", "text": LOOK}, {"type": "image_url", "image_url": {"url": url}}]
        return (
            await self.complete(at, model, messages=[{"role": "user", "content": content}])
        ).text

    def retry_after(self, error: Any) -> float:
        return float(error.response.headers["retry-after"])


def _openai_said(answer: Any) -> Said:
    usage = answer.usage
    choice = answer.choices[0]
    text = choice.message.content or ""
    return Said(text, usage.prompt_tokens, usage.completion_tokens, choice.finish_reason)


class AnthropicFace:
    provider, model, finishes = "anthropic", Anthropic.model, ("end_turn", "tool_use")
    Error: Any = anthropic.APIStatusError
    classes: dict[int, Any] = {  # noqa: RUF012
        400: anthropic.BadRequestError, 401: anthropic.AuthenticationError,
        403: anthropic.PermissionDeniedError, 404: anthropic.NotFoundError,
        408: anthropic.RequestTimeoutError, 413: anthropic.RequestTooLargeError,
        429: anthropic.RateLimitError, 500: anthropic.InternalServerError,
    }  # fmt: skip

    def _ask(self, model: str, text: str, **more: Any) -> dict[str, Any]:
        headers = {**QUICK, **more.pop("headers", {})}
        said = more.pop("messages", [{"role": "user", "content": text}])
        common = {"model": model, "max_tokens": 200, "messages": said, "extra_headers": headers}
        return {**common, **more}

    async def complete(self, at: Place, model: str, text: str = QUESTION, **more: Any) -> Said:
        async with Anthropic().client(at) as client:
            return _anthropic_said(await client.messages.create(**self._ask(model, text, **more)))

    async def stream(self, at: Place, model: str, **more: Any) -> Said:
        text, finish, counted = "", "", [0, 0]
        async with Anthropic().client(at) as client:
            ask = self._ask(model, QUESTION, stream=True, **more)
            async for event in await client.messages.create(**ask):
                if event.type == "message_start":
                    counted[0] = event.message.usage.input_tokens
                elif event.type == "content_block_delta":
                    text += event.delta.text
                elif event.type == "message_delta":
                    finish, counted[1] = event.delta.stop_reason, event.usage.output_tokens
                    counted[0] = event.usage.input_tokens or counted[0]
        return Said(text, counted[0], counted[1], finish)

    async def stream_helper(self, at: Place, model: str) -> Said:
        async with (
            Anthropic().client(at) as client,
            client.messages.stream(**self._ask(model, QUESTION)) as stream,
        ):
            text = "".join([piece async for piece in stream.text_stream])
            said = _anthropic_said(await stream.get_final_message())
        assert said.text == text
        return said

    async def instructed(self, at: Place, model: str, system: str, text: str) -> str:
        return (await self.complete(at, model, text, system=system)).text

    async def schema_helper(self, at: Place, model: str) -> City | None:
        async with Anthropic().client(at) as client:
            answer = await client.messages.parse(
                output_format=City, **self._ask(model, IN_A_SCHEMA)
            )
        return answer.parsed_output

    async def tool_helper(self, at: Place, model: str) -> str:
        """Without a thread: only Anthropic itself holds a conversation for the SDK."""
        cities = []

        @beta_async_tool
        async def weather(city: str) -> str:
            """The weather in a city."""
            cities.append(city)
            return "sunny"

        async with Anthropic().client(at) as client:
            runner = client.beta.messages.tool_runner(
                tools=[weather], thread=False, **self._ask(model, WEATHER)
            )
            last = await runner.until_done()
        assert any(block.type == "text" for block in last.content)
        (city,) = cities
        return city

    async def streamed_tool(self, at: Place, model: str) -> str:
        tool: Any = {"name": "weather", "input_schema": City.model_json_schema()}
        async with (
            Anthropic().client(at) as client,
            client.messages.stream(**self._ask(model, WEATHER, tools=[tool])) as stream,
        ):
            message = await stream.get_final_message()
        (call,) = (block for block in message.content if block.type == "tool_use")
        return str(call.input["city"])

    async def image(self, at: Place, model: str) -> str:
        data = base64.b64encode(PIXEL).decode()
        source = {"type": "base64", "media_type": "image/png", "data": data}
        content = [{"type": "image", "source": source}, {"type": "text", "text": LOOK}]
        return (
            await self.complete(at, model, messages=[{"role": "user", "content": content}])
        ).text

    def retry_after(self, error: Any) -> float:
        return float(error.response.headers["retry-after"])


def _anthropic_said(answer: Any) -> Said:
    text = "".join(block.text for block in answer.content if block.type == "text")
    return Said(text, answer.usage.input_tokens, answer.usage.output_tokens, answer.stop_reason)


class GoogleFace:
    provider, model, finishes = "google", Google.model, ("STOP", "STOP")
    Error: Any = errors.APIError
    classes: dict[int, Any] = {  # noqa: RUF012
        status: errors.ClientError if status < 500 else errors.ServerError
        for status in (400, 401, 403, 404, 408, 413, 429, 500)
    }

    async def _generate(
        self, at: Place, model: str, contents: Any, *, headers: Any = None, **config: Any
    ) -> Any:
        with Google().client(at) as client:
            async with client.aio as aio:
                return await aio.models.generate_content(
                    model=model, contents=contents, config=_config(headers, **config)
                )

    async def complete(
        self, at: Place, model: str, text: str = QUESTION, *, headers: Any = None
    ) -> Said:
        return _google_said([await self._generate(at, model, text, headers=headers)])

    async def stream(self, at: Place, model: str, *, headers: Any = None) -> Said:
        with Google().client(at) as client:
            async with client.aio as aio:
                chunks = await aio.models.generate_content_stream(
                    model=model, contents=QUESTION, config=_config(headers)
                )
                return _google_said([chunk async for chunk in chunks])

    async def stream_helper(self, at: Place, model: str) -> Said:
        """The SDK's chats, which keep the conversation by themselves."""
        with Google().client(at) as client:
            async with client.aio as aio:
                chat = aio.chats.create(model=model, config=_config(None))
                stream = await chat.send_message_stream(QUESTION)
                said = _google_said([chunk async for chunk in stream])
                assert [said.role for said in chat.get_history()][:2] == ["user", "model"]
        return said

    async def instructed(self, at: Place, model: str, system: str, text: str) -> str:
        answer = await self._generate(at, model, text, system_instruction=system)
        return str(answer.text)

    async def schema_helper(self, at: Place, model: str) -> City | None:
        asked = {"response_mime_type": "application/json", "response_schema": City}
        parsed: City = (await self._generate(at, model, IN_A_SCHEMA, **asked)).parsed
        return parsed

    async def tool_helper(self, at: Place, model: str) -> str:
        """Python functions that the SDK calls by itself."""
        cities = []

        def weather(city: str) -> str:
            """The weather in a city."""
            cities.append(city)
            return "sunny"

        assert (await self._generate(at, model, WEATHER, tools=[weather])).text
        (city,) = cities
        return city

    async def streamed_tool(self, at: Place, model: str) -> str:
        function = types.FunctionDeclaration(
            name="weather", parameters_json_schema=City.model_json_schema()
        )
        off = types.AutomaticFunctionCallingConfig(disable=True)
        tools = [types.Tool(function_declarations=[function])]
        with Google().client(at) as client:
            async with client.aio as aio:
                chunks = await aio.models.generate_content_stream(
                    model=model, contents=WEATHER,
                    config=_config(None, tools=tools, automatic_function_calling=off),
                )  # fmt: skip
                calls = [call async for chunk in chunks for call in chunk.function_calls or []]
        (call,) = calls
        return str((call.args or {})["city"])

    async def image(self, at: Place, model: str) -> str:
        parts = [types.Part.from_bytes(data=PIXEL, mime_type="image/png"), LOOK]
        return str((await self._generate(at, model, parts)).text)

    def retry_after(self, error: Any) -> float:
        details = error.details["error"]["details"]
        delay = next(each["retryDelay"] for each in details if "retryDelay" in each)
        return float(delay.removesuffix("s"))


def _config(headers: Any, **config: Any) -> types.GenerateContentConfig:
    options = types.HttpOptions(headers={**QUICK, **(headers or {})})
    return types.GenerateContentConfig(http_options=options, **config)


def _google_said(chunks: list[Any]) -> Said:
    text = "".join(chunk.text or "" for chunk in chunks)
    usage = chunks[-1].usage_metadata
    finish = chunks[-1].candidates[0].finish_reason.value
    return Said(text, usage.prompt_token_count, usage.candidates_token_count, finish)


Face = OpenAIFace | AnthropicFace | GoogleFace
FACES: tuple[Face, ...] = (OpenAIFace(), AnthropicFace(), GoogleFace())
