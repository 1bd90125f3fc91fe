"""A PostgreSQL connection for the ledger's statements that an event loop can use by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from django.db import connection
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from usage.posting import ROWS_ALONE, keeps_plans

_STATEMENT, _NAME = ROWS_ALONE.encode(), b"byom_ledger"
_GOOD = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


class LedgerLine:
    """Made and closed in a thread, as that blocks; the rest is libpq's way of not blocking:
    https://www.postgresql.org/docs/current/libpq-async.html. Raises psycopg.Error everywhere, and
    what Django raises where no connection can be made."""

    def __init__(self) -> None:
        self._owner = connection.copy()  # knows how this project connects
        self._owner.settings_dict["OPTIONS"].pop("pool", None)
        self._owner.inc_thread_sharing()
        self._owner.connect()
        raw: Any = self._owner.connection
        self._libpq: psycopg.pq.abc.PGconn = raw.pgconn
        self._keeps_plans = keeps_plans()
        self._answer: PGresult | None = None
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise
        self._libpq.nonblocking = 1
        self.socket = self._libpq.socket

    def _prepare(self) -> None:
        if self._keeps_plans:
            _checked(self._libpq.prepare(_NAME, _STATEMENT))

    def close(self) -> None:
        self._owner.close()

    def send(self, values: Sequence[str]) -> None:
        """Of `posting.ROWS_ALONE`; the answer to the one before has been read."""
        given = [value.encode() for value in values]
        if self._keeps_plans:
            self._libpq.send_query_prepared(_NAME, given)
        else:
            self._libpq.send_query_params(_STATEMENT, given)

    def has_sent_all(self) -> bool:
        """Sends on; False where the socket takes no more for now."""
        return self._libpq.flush() == 0

    def read(self) -> bool:
        """Takes what has come; whether the answer is whole."""
        self._libpq.consume_input()
        while not self._libpq.is_busy():
            part = self._libpq.get_result()
            if part is None:
                return True
            self._answer = part
        # A server that goes away says so, and hangs up. uvloop tells of both only once: the second
        # read finds the end, which nobody would tell of any more.
        self._libpq.consume_input()
        return False

    def transaction(self) -> int:
        """The number of the one that has written the rows, by the answer that has come. Raises
        psycopg.Error if nothing has been written."""
        answer, self._answer = self._answer, None
        _checked(answer)
        assert answer is not None
        number = answer.get_value(0, 0)
        assert number is not None
        return int(number)


def _checked(answer: PGresult | None) -> None:
    """Their words may hold what is in the row: the class has to be enough."""
    if answer is None or answer.status not in _GOOD:
        raise psycopg.OperationalError("the ledger's statement failed")
