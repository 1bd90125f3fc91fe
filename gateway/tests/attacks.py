"""Requests as Hypothesis thinks them up: every surface, bodies that are nearly right, headers that
are not, and bodies cut and framed in whatever way.
"""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from hypothesis import strategies as st

from gateway.tests.sdks import QUESTION, Place
from gateway.tests.test_any_json import BODIES
from gateway.tests.test_gateway import QUICK

PATIENCE = 10.0
TOKEN = b"<token>"
_SAID = [{"role": "user", "content": QUESTION}]
_PARTS: list[dict[str, Any]] = [{"role": "user", "parts": [{"text": QUESTION}]}]
_GEMINI = "gemini-2.5-flash"
SURFACES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {"model": "gpt-4o-mini", "messages": _SAID}),
    ("/v1/chat/completions", {"model": "claude-haiku-4-5", "messages": _SAID}),
    ("/v1/responses", {"model": "gpt-4o-mini", "input": QUESTION}),
    ("/v1/embeddings", {"model": "text-embedding-3-small", "input": QUESTION}),
    ("/v1/messages", {"model": "claude-haiku-4-5", "max_tokens": 20, "messages": _SAID}),
    ("/v1/messages", {"model": "gpt-4o-mini", "max_tokens": 20, "messages": _SAID}),
    ("/v1/messages/count_tokens", {"model": "claude-haiku-4-5", "messages": _SAID}),
    *(
        (f"/{version}/models/{model}:{action}", {"contents": _PARTS})
        for version in ("v1", "v1beta")
        for model in (_GEMINI, "openai/gpt-4o-mini")
        for action in ("generateContent", "streamGenerateContent?alt=sse", "countTokens")
    ),
    ("/v1beta/models/gemini-embedding-001:embedContent", {"content": {"parts": [{"text": "a"}]}}),
    ("/v1beta/models/gemini-embedding-001:batchEmbedContents", {"requests": []}),
    ("/v1/models", {}),
    ("/v1beta/models/gpt-4o-mini", {}),
    ("/v1/nowhere", {}),
]
NAMES = [
    b"authorization", b"x-api-key", b"x-goog-api-key", b"content-type", b"accept", b"user-agent",
    b"anthropic-version", b"anthropic-beta", b"openai-beta", b"idempotency-key", b"cookie",
    b"x-goog-api-client", b"x-byom-credential", b"x-byom-fallback", b"x-byom-retries",
    b"x-byom-cache", b"content-encoding", b"expect", b"accept-encoding", b"x-forwarded-for",
    b"host", b"upgrade", b"te", b"range", b"x-http-method-override",
]  # fmt: skip
_VALUES = st.sampled_from(
    [b"", b"no-store", b"3", b"gpt-4o, claude-haiku-4-5", b"gzip", b"100-continue", b"websocket",
     b"bytes=0-1", b"Bearer " + TOKEN, TOKEN, b"Bearer byom_" + b"x" * 43, b"application/json",
     b"\xff\xfe", b"a\tb", b"text/event-stream", b"x" * 5000, b"DELETE", b"\x00"]
)  # fmt: skip
_HEADERS = st.lists(st.tuples(st.sampled_from(NAMES), _VALUES | st.binary(max_size=30)), max_size=4)
_AUTH = st.sampled_from(
    [(b"authorization", b"Bearer " + TOKEN), (b"x-api-key", TOKEN), (b"x-goog-api-key", TOKEN)] * 4
    + [(b"authorization", b"Bearer byom_wrong"), (b"x-nothing", b"")]
)
_FAULTS = st.sampled_from([b""] * 12 + [b"drop", b"garbage", b"errorevent", b"401", b"429"])
_FRAMINGS = st.sampled_from(["right"] * 5 + ["chunks"] * 3 + ["more", "less", "both", "none"])


@dataclass(frozen=True, slots=True)
class Attack:
    """`framing` says how the body's length is told: rightly, in chunks of the given sizes, as more
    than comes, as less, or twice."""

    method: bytes
    path: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    framing: str
    sizes: list[int]

    def lines(self, token: str) -> bytes:
        quick = [(name.encode(), value.encode()) for name, value in QUICK.items()]
        told = [(b"host", b"byom"), (b"connection", b"close"), *quick, *self.headers]
        length = len(self.body)
        told += {
            "right": [(b"content-length", b"%d" % length)],
            "chunks": [(b"transfer-encoding", b"chunked")],
            "more": [(b"content-length", b"%d" % (length + 7))],
            "less": [(b"content-length", b"%d" % (length // 2))],
            "both": [(b"content-length", b"%d" % length), (b"transfer-encoding", b"chunked")],
            "none": [],
        }[self.framing]
        head = b"\r\n".join(name + b": " + value for name, value in told)
        line = self.method + b" " + self.path.encode() + b" HTTP/1.1\r\n"
        return (line + head + b"\r\n\r\n").replace(TOKEN, token.encode())

    def pieces(self) -> list[bytes]:
        cut, at = [], 0
        for size in [*self.sizes, len(self.body)]:
            cut.append(self.body[at : at + size])
            at += size
        cut = [piece for piece in cut if piece]
        if self.framing not in ("chunks", "both"):
            return cut
        return [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in cut] + [b"0\r\n\r\n"]

    def sent_to(self, place: Place) -> bytes:
        """All that the server says until it hangs up. Raises TimeoutError where it does not."""
        where = urlsplit(place.url)
        with socket.create_connection((where.hostname, where.port), timeout=PATIENCE) as line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(OSError):  # it may have hung up already
                for piece in [self.lines(place.token), *self.pieces()]:
                    line.sendall(piece)
                if self.framing in ("more", "none"):
                    line.shutdown(socket.SHUT_WR)
            answer = b""
            with suppress(ConnectionResetError):
                while piece := line.recv(65536):
                    answer += piece
        return answer


@st.composite
def _bodies(draw: Any, usual: dict[str, Any]) -> bytes:
    kind = draw(st.sampled_from(["usual", "streamed", "mixed", "mixed", "cut", "bytes"]))
    if kind == "bytes":
        return bytes(draw(st.binary(max_size=200)))
    body = dict(usual)
    if kind == "streamed":
        body["stream"] = True
    if kind == "mixed":
        body |= draw(BODIES)
        for name in draw(st.sets(st.sampled_from(sorted(usual) or ["model"]), max_size=1)):
            if draw(st.booleans()):
                body.pop(name, None)
    raw = json.dumps(body).encode()
    return raw[: draw(st.integers(0, len(raw)))] if kind == "cut" else raw


@st.composite
def attacks(draw: Any) -> Attack:
    path, usual = draw(st.sampled_from(SURFACES))
    method = draw(st.sampled_from([b"POST"] * 8 + [b"GET", b"PUT", b"OPTIONS", b"HEAD"]))
    method = b"GET" if path.endswith(("/models", "/gpt-4o-mini")) else method
    if draw(st.integers(0, 9)) == 0:
        path += draw(st.sampled_from(["?key=byom_x", "?alt=json", "/", "%00", "?%ff=%fe&&=", "//"]))
    return Attack(
        method=method,
        path=path,
        headers=[draw(_AUTH), (b"x-sim-fault", draw(_FAULTS)), *draw(_HEADERS)],
        body=draw(_bodies(usual)),
        framing=draw(
            st.sampled_from(["right"] * 5 + ["chunks"] * 3 + ["more", "less", "both", "none"])
        ),
        sizes=draw(st.lists(st.integers(1, 40), max_size=8)),
    )
