"""`python -m gateway.speed.upstream PORT`: a provider that costs next to nothing.

The simulator works for its answers, half a millisecond each, and would be what is measured. This
one says the same words every time: a whole answer of OpenAI's chat, or a stream of twenty pieces,
a write each, as a provider's would be. It knows no keys.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

import uvloop

from gateway.speed.load import STREAM_CHUNKS

_HEAD = b"HTTP/1.1 200 OK\r\nx-request-id: req_bench\r\ncontent-type: "
_ID = {"id": "chatcmpl-bench", "created": 1_750_000_000, "model": "gpt-4o-mini-2024-07-18"}
_USAGE = {"prompt_tokens": 14, "completion_tokens": STREAM_CHUNKS, "total_tokens": 34}


def _whole() -> bytes:
    message = {"role": "assistant", "content": "Paris is the capital of France. " * 3}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"object": "chat.completion", **_ID, "choices": [choice], "usage": _USAGE}
    raw = json.dumps(body).encode()
    return _HEAD + b"application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(raw), raw)


def _chunk(payload: bytes) -> bytes:
    event = b"data: " + payload + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _chunk(
        json.dumps({"object": "chat.completion.chunk", **_ID, "choices": [choice]}).encode()
    )


def _stream() -> list[bytes]:
    head = _HEAD + b"text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    words = [_event({"content": f"word{n % 10} "}) for n in range(STREAM_CHUNKS)]
    usage = {"object": "chat.completion.chunk", **_ID, "choices": [], "usage": _USAGE}
    end = [_event({}, "stop"), _chunk(json.dumps(usage).encode())]
    return [head + words[0], *words[1:], b"".join(end) + _chunk(b"[DONE]") + b"0\r\n\r\n"]


WHOLE, STREAM = _whole(), _stream()


class Canned(asyncio.Protocol):
    """One connection. Requests come one after another and have a Content-Length, as those of any
    HTTP client of ours."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank:
            return
        _, _, rest = head.lower().partition(b"content-length:")
        if len(body) < int(rest.split(b"\r\n", 1)[0] or 0):
            return
        self._received = b""
        if b'"stream": true' in body or b'"stream":true' in body:
            asyncio.ensure_future(self._answer_in_pieces())
        else:
            self._transport.write(WHOLE)

    async def _answer_in_pieces(self) -> None:
        for piece in STREAM:
            self._transport.write(piece)
            await asyncio.sleep(0)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    uvloop.run(_serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
