"""An extension of ASGI: the start of an answer, and its body or the first of it, in one message.

Where `scope["extensions"]` has "byom.response", an app may send, in place of `http.response.start`
and the first `http.response.body`:

- `type`: "byom.response"
- `status`: int
- `lines`: the headers as bytes, as they are to be written: `name: value` with a CRLF after each,
  names in lower case, and no other control character anywhere. They are not looked at again, so
  what would break them is the app's to take out.
- `body`: bytes
- `more_body`: bool. If not, `lines` has the content-length; if so there is none, the body is sent
  in chunks, and the rest follows in `http.response.body`.

`scope["extensions"]["byom.response"]["write"]` takes a further piece of a body that is sent in
chunks, as bytes, and writes it before it returns. It says False if it has not: where the client has
to take what was written before, has left, or nothing has begun. Then the piece goes into a message,
as usual, which waits. Take it out of there (`pop`): as long as it is there, cycle and scope hold
each other, and stay until the garbage collector comes.

What is written is what uvicorn would write, without a look at each header: that cost as much as
reading the request.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle
from uvicorn.protocols.utils import get_client_addr, get_path_with_query_string

RESPONSE = "byom.response"
Headers = list[tuple[bytes, bytes]]
_send = RequestResponseCycle.send


class Cycle(RequestResponseCycle):
    """One of uvicorn's, that knows the message too."""

    def send(self, message: Any) -> Coroutine[Any, Any, None]:
        return self._respond(message) if message["type"] == RESPONSE else _send(self, message)

    def write(self, data: bytes) -> bool:
        """A further piece of a body in chunks: see the module."""
        is_open = self.chunked_encoding and not (self.response_complete or self.disconnected)
        if not is_open or self.flow.write_paused or not data:
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return True

    async def _respond(self, message: dict[str, Any]) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if self.response_started:
            raise RuntimeError(f"Unexpected ASGI message '{RESPONSE}', the response has begun.")
        self.response_started = True
        self.waiting_for_100_continue = False
        status: int = message["status"]
        if self.access_log and self.access_logger.isEnabledFor(logging.INFO):
            self._log(status)
        body, more = message["body"], message["more_body"]
        self.transport.write(self._written(status, message["lines"], body, more))
        if not more:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()

    def _written(self, status: int, lines: bytes, body: bytes, more: bool) -> bytes:
        usual, closes = _usual(self.default_headers)
        if closes:
            self.keep_alive = False
        close = b"" if closes or self.keep_alive else b"connection: close\r\n"
        is_head = self.scope["method"] == "HEAD"
        encoding = b""
        if more and not is_head and status not in (204, 304):
            self.chunked_encoding = True
            encoding = b"transfer-encoding: chunked\r\n"
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        end = b"\r\n" if is_head else b"\r\n" + body
        return b"".join((STATUS_LINE[status], usual, lines, close, encoding, end))

    def _log(self, status: int) -> None:
        self.access_logger.info(
            '%s - "%s %s HTTP/%s" %d',
            get_client_addr(self.scope),
            self.scope["method"],
            get_path_with_query_string(self.scope),
            self.scope["http_version"],
            status,
        )


_latest: tuple[Headers, bytes, bool] = ([], b"", False)


def _usual(headers: Headers) -> tuple[bytes, bool]:
    """What uvicorn has for each answer (the date, and what the command line names), and whether
    that closes the connection. It makes a new list each second, and changes none."""
    global _latest
    made_of, lines, closes = _latest
    if made_of is not headers:
        lines = b"".join([b"%b: %b\r\n" % pair for pair in headers])
        closes = any(n == b"connection" and b"close" in v.lower() for n, v in headers)
        _latest = headers, lines, closes
    return lines, closes
