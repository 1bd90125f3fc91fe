"""`python -m gateway.speed.upstream PORT`: a provider that costs next to nothing.

The simulator works for its answers, half a millisecond each, and would be what is measured. This
one says the same words every time: a whole answer of OpenAI's chat, or a stream of twenty pieces,
a write each, as a provider's would be. It knows no keys.

Two headers ask for other streams: `x-sim-seconds: 30` for one that lasts so long, with a piece each
second that says when it was sent; `x-sim-megabytes: 64` for one of that size, as fast as it is
taken. `GET /written` tells how many bytes of the latter have been taken, by all together.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
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
PIECE_SECONDS = 1.0
_LARGE = _event({"content": "x" * 16_000})
_ASKED_FOR = re.compile(rb"\r\nx-sim-(seconds|megabytes): *(\d+)", re.IGNORECASE)
_written = 0


class Canned(asyncio.Protocol):
    """One connection. Requests come one after another and have a Content-Length, as those of any
    HTTP client of ours."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        self._received = b""
        self._may_write = asyncio.Event()
        self._may_write.set()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._may_write.set()

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
            asyncio.ensure_future(self._answer_in_pieces(_ASKED_FOR.search(head)))
        elif head.startswith(b"GET /written "):
            told = str(_written).encode()
            head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(told)
            self._transport.write(head + told)
        else:
            self._transport.write(WHOLE)

    async def _answer_in_pieces(self, asked_for: re.Match[bytes] | None) -> None:
        if asked_for is None:
            for piece in STREAM:
                self._transport.write(piece)
                await asyncio.sleep(0)
        elif asked_for[1].lower() == b"seconds":
            await self._answer_slowly(int(asked_for[2]))
        else:
            await self._answer_at_length(int(asked_for[2]) * 2**20)

    async def _answer_slowly(self, seconds: int) -> None:
        self._transport.write(STREAM[0])
        for _ in range(round(seconds / PIECE_SECONDS)):
            await asyncio.sleep(PIECE_SECONDS)
            if self._transport.is_closing():
                return
            self._transport.write(_event({"content": f"at {time.monotonic():.6f} "}))
        self._transport.write(STREAM[-1])

    async def _answer_at_length(self, size: int) -> None:
        global _written
        self._transport.write(STREAM[0])
        left = size
        while left > 0 and not self._transport.is_closing():
            await self._may_write.wait()
            self._transport.write(_LARGE)
            left -= len(_LARGE)
            _written += len(_LARGE)
            await asyncio.sleep(0)
        self._transport.write(STREAM[-1])


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main() -> None:
    uvloop.run(_serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
