"""`DATABASE_URL=postgres://… python -m gateway.speed.bare_row UPSTREAM PORT`: the bare relay by our
own client, whose answers end once PostgreSQL has made a row durable for each: one text, in a table
of nothing else. That is the least that a ledger costs on this machine, whoever writes it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import MutableMapping
from typing import Any

import psycopg
import uvicorn
from psycopg.pq import ExecStatus

from gateway.speed.bare import BareRelay, Receive, Send

_TABLE = "CREATE TABLE IF NOT EXISTS bench_row (id bigserial PRIMARY KEY, told text)"
_ROWS, _NAME = b"INSERT INTO bench_row (told) SELECT unnest($1::text[])", b"rows"
_TOLD = b"x" * 300  # as long as what a ledger row has to say


class RowWriter:
    """By libpq's calls that do not block; rows that come during a transaction share the next."""

    def __init__(self, address: str) -> None:
        self._owner = psycopg.connect(address, autocommit=True)
        self._owner.execute(_TABLE)
        self._libpq = self._owner.pgconn
        self._libpq.prepare(_NAME, _ROWS)
        self._libpq.nonblocking = 1
        self._waiting: list[asyncio.Future[None]] = []
        self._sent: list[asyncio.Future[None]] = []
        self._is_good = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._libpq.socket, self._read)

    async def write(self) -> None:
        """Returns once the row is durable."""
        row = self._loop.create_future()
        self._waiting.append(row)
        if not self._sent:
            self._send()
        await row

    def close(self) -> None:
        self._loop.remove_reader(self._libpq.socket)
        self._owner.close()

    def _send(self) -> None:
        self._sent, self._waiting = self._waiting, []
        self._libpq.send_query_prepared(_NAME, [b"{%b}" % b",".join([_TOLD] * len(self._sent))])
        self._libpq.flush()

    def _read(self) -> None:
        self._libpq.consume_input()
        while not self._libpq.is_busy():
            if (part := self._libpq.get_result()) is None:
                self._resolve()
                return
            self._is_good = part.status == ExecStatus.COMMAND_OK

    def _resolve(self) -> None:
        over, self._sent = self._sent, []
        is_good, self._is_good = self._is_good, False
        if self._waiting:
            self._send()
        for row in over:
            if is_good:
                row.set_result(None)
            else:
                row.set_exception(psycopg.OperationalError("the row was not written"))


class RelayWithRow(BareRelay):
    _rows: RowWriter | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
            if self._rows is not None:
                self._rows.close()
            return
        rows = self._rows = self._rows or RowWriter(os.environ["DATABASE_URL"])

        held: list[MutableMapping[str, Any]] = []  # the last piece, by which a client knows the end

        async def once_durable(message: MutableMapping[str, Any]) -> None:
            is_last = not message.get("more_body", True)
            if is_last:
                await rows.write()
            for earlier in held:
                await send(earlier)
            held[:] = [] if is_last else [message]
            if is_last:
                await send(message)

        await super().__call__(scope, receive, once_durable)


def main() -> None:
    address, port = sys.argv[1:]
    relay = RelayWithRow("own", address)
    uvicorn.run(relay, port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
