"""The read-only connection pool, and reports' transactions on it."""

import functools
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, LiteralString, cast

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from functions.common.errors import DatabaseUnavailableError, QueryTimeoutError

from . import metrics
from .settings import Settings, settings

Row = dict[str, Any]
Connection = psycopg.Connection[Row]


class Snapshot:
    """One consistent view of the database: every query sees the same events."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def rows(
        self, query: str, params: Mapping[str, Any] | None = None, *, binary: bool = False
    ) -> list[Row]:
        """Run `query` and return all its rows; `binary` is faster where they hold many bytes."""
        statement = cast(LiteralString, query)
        return self.connection.execute(statement, params, binary=binary).fetchall()

    def row(self, query: str, params: Mapping[str, Any] | None = None) -> Row:
        """Run `query` and return its only row."""
        row = self.connection.execute(cast(LiteralString, query), params).fetchone()
        assert row is not None
        return row

    def stream(self, query: str, params: Mapping[str, Any] | None = None) -> Iterator[Row]:
        """Run `query` and give its rows as they come, without holding them all."""
        with self.connection.cursor("rows") as cursor:
            cursor.itersize = 2000
            cursor.execute(cast(LiteralString, query), params)
            yield from cursor

    def version(self) -> str:
        """Name what this snapshot sees: snapshots of the same name see the same rows.

        PostgreSQL's own description of a snapshot is the set of transactions it sees, so the name
        changes whenever anything is committed. The server's start tells it from another server.
        """
        found = self.row("SELECT pg_current_snapshot()::text, pg_postmaster_start_time()::text")
        return " ".join(found.values())


def _configure(connection: Connection, options: Settings) -> None:
    # Reports are planned each time with their actual values: ranges and filters decide the plan.
    connection.prepare_threshold = None
    connection.autocommit = True
    connection.execute("SET default_transaction_read_only = on")
    connection.execute("SET default_transaction_isolation = 'repeatable read'")
    connection.execute("SET timezone = 'UTC'")
    connection.execute("SET jit = off")
    connection.execute(f"SET statement_timeout = {int(options.report_timeout * 1000)}")  # pyright: ignore[reportArgumentType, reportCallIssue]
    connection.autocommit = False


_lock = threading.Lock()


@functools.cache
def _pool() -> ConnectionPool[Connection]:
    # made in the process that uses it: the server forks its workers after loading the handler
    options = settings()
    pool: ConnectionPool[Connection] = ConnectionPool(
        options.url,
        connection_class=cast("type[Connection]", psycopg.Connection),
        kwargs={
            "row_factory": dict_row,
            "application_name": "analytics-query",
            "connect_timeout": 5,
        },
        min_size=options.db_pool_min,
        max_size=max(options.db_pool_max, options.db_pool_min),
        timeout=options.db_pool_timeout,
        max_idle=300,
        reconnect_timeout=30,
        configure=functools.partial(_configure, options=options),
        open=False,
    )
    pool.open(wait=False)
    for state, key in (
        ("open", "pool_size"),
        ("idle", "pool_available"),
        ("waiting", "requests_waiting"),
    ):
        metrics.POOL.labels(state).set_function(lambda key=key: pool.get_stats().get(key, 0))
    return pool


def pool() -> ConnectionPool[Connection]:
    """Return this process's pool, opened at the first call."""
    with _lock:
        return _pool()


@contextmanager
def snapshot(timeout: float | None = None) -> Iterator[Snapshot]:
    """Give a snapshot that lasts until the block ends.

    Args:
        timeout: seconds a statement may take, where not `report_timeout`.

    Raises:
        DatabaseUnavailableError: no connection, or it was lost.
        QueryTimeoutError: a statement was cancelled by the time-out.
    """
    try:
        with _connection() as connection, connection.transaction():
            if timeout is not None:
                connection.execute(
                    "SELECT set_config('statement_timeout', %s, true)", [str(int(timeout * 1000))]
                )
            yield Snapshot(connection)
    except psycopg.errors.QueryCanceled as error:
        raise QueryTimeoutError(str(error)) from error
    except (PoolTimeout, psycopg.OperationalError) as error:
        raise DatabaseUnavailableError(str(error).strip()) from error


@contextmanager
def _connection() -> Iterator[Connection]:
    """Take a connection that answers: one that broke while it was idle is replaced."""
    connections = pool()
    connection = connections.getconn()
    for _ in range(connections.max_size):
        if not _broken(connection):
            break
        connections.putconn(connection)  # which drops it and opens another
        connection = connections.getconn()
    try:
        yield connection
    finally:
        connections.putconn(connection)


def _broken(connection: Connection) -> bool:
    # asks the kernel, not the server: costs next to nothing, and sees a server that went away
    try:
        connection.pgconn.consume_input()
    except psycopg.Error:
        connection.close()
    return connection.closed


def fault() -> str | None:
    """Return what is wrong with the database, or None."""
    try:
        with snapshot(timeout=2) as now:
            now.row("SELECT 1 AS one")
    except (DatabaseUnavailableError, QueryTimeoutError, ValueError) as error:
        return str(error)
    return None
