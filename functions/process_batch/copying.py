"""COPY statements one after the other in one request to the server, which is one transaction.

psycopg's cursors need seven round trips for a transaction of two COPYs: BEGIN, the beginning, the
data and the end of each, COMMIT. Each wakes this thread and a process of the server, which costs a
small batch more than its rows. Sent as one text the statements take three, one for each answer, and
commit at the end of the last; the server undoes all of them after an error in any.
"""

from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

import psycopg
from psycopg import Connection, errors, generators, pq
from psycopg.abc import PQGen
from psycopg.pq.abc import PGresult
from psycopg.waiting import Wait

_CHUNK_BYTES = 128 * 1024
_UNFLUSHED_BYTES = 1024 * 1024
"""So much may be in libpq's buffer, which the server has had no time for, before it is awaited."""


class CopySequence:
    """Takes the data of some COPY statements; the end of the block commits.

    Where the block raises an error, nothing is stored.

    Args:
        connection: in autocommit mode, outside a transaction.
        statements: each `COPY ... FROM STDIN`.
    """

    def __init__(self, connection: Connection, *statements: str) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._encoding = connection.info.encoding
        self._request = "; ".join(statements).encode()
        self._unflushed = 0

    def __enter__(self) -> Self:
        self._pgconn.send_query(self._request)
        self._check(self._connection.wait(generators.execute(self._pgconn)))
        return self

    def write(self, lines: Iterable[str]) -> None:
        """Send rows of the present statement.

        Raises:
            psycopg.Error: the server has refused one, or is gone.
        """
        encoding = self._encoding
        # one by one: the few with other characters than ASCII would slow down all of a text
        data = memoryview(b"".join([line.encode(encoding) for line in lines]))
        for at in range(0, len(data), _CHUNK_BYTES):
            chunk = data[at : at + _CHUNK_BYTES]
            self._unflushed += len(chunk)
            flush = self._unflushed >= _UNFLUSHED_BYTES
            if flush:
                self._unflushed = 0
            self._connection.wait(generators.copy_to(self._pgconn, chunk, flush))

    def begin_next(self) -> None:
        """End the present statement, and begin the next.

        Raises:
            psycopg.Error: the server has refused a row, or is gone.
        """
        self._end()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._end()
        elif self._pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
            # canceled, as asked, or the connection is gone: the error to raise is the block's
            with suppress(psycopg.Error):
                self._end(b"given up")

    def _end(self, reason: bytes | None = None) -> None:
        self._check(self._connection.wait(self._end_copy(reason)))

    def _end_copy(self, reason: bytes | None) -> PQGen[list[PGresult]]:
        while self._pgconn.put_copy_end(reason) == 0:
            while not (yield Wait.W):
                continue
        return (yield from generators.execute(self._pgconn))

    def _check(self, results: list[PGresult]) -> None:
        for result in results:
            if result.status == pq.ExecStatus.FATAL_ERROR:
                raise errors.error_from_result(result, encoding=self._encoding)
