"""The connection pool, read only by itself; reports' transactions on it, and those that write."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, LiteralString, cast

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from functions.common import postgres
from functions.common.errors import QueryTimeoutError

from . import metrics
from .query.statements import with_expressions
from .settings import settings

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
        query, params = with_expressions(query, params)
        statement = cast(LiteralString, query)
        return self.connection.execute(statement, params, binary=binary).fetchall()

    def row(self, query: str, params: Mapping[str, Any] | None = None) -> Row:
        """Run `query` and return its only row."""
        query, params = with_expressions(query, params)
        row = self.connection.execute(cast(LiteralString, query), params).fetchone()
        assert row is not None
        return row

    def stream(self, query: str, params: Mapping[str, Any] | None = None) -> Iterator[Row]:
        """Run `query` and give its rows as they come, without holding more than one.

        Not from a cursor of the server, of which some rows are fetched at a time: how many bytes a
        row takes is not known before.
        """
        query, params = with_expressions(query, params)
        with self.connection.cursor() as cursor:
            yield from cursor.stream(cast(LiteralString, query), params)

    def version(self) -> str:
        """Name what this snapshot sees: snapshots of the same name see the same rows.

        PostgreSQL's own description of a snapshot is the set of transactions it sees, so the name
        changes whenever anything is committed. The server's start tells it from another server.
        """
        found = self.row("SELECT pg_current_snapshot()::text, pg_postmaster_start_time()::text")
        return " ".join(found.values())


@postgres.once_per_process
def pool() -> ConnectionPool[Connection]:
    """Return this process's pool.

    Raises:
        ValueError: the URL of the database is not set.
    """
    options = settings()
    return postgres.open_pool(
        options,
        options.url,
        name="analytics-query",
        session={
            "default_transaction_read_only": "on",
            "default_transaction_isolation": "repeatable read",
            "jit": "off",
        },
        gauge=metrics.POOL,
        row_factory=dict_row,
        # reports are planned each time with their actual values: ranges and filters decide the plan
        prepare_threshold=None,
    )


@contextmanager
def snapshot(timeout: float | None = None) -> Generator[Snapshot, None, None]:
    """Yield a snapshot that lasts until the block ends.

    Args:
        timeout: seconds a statement may take, where not `DB_STATEMENT_TIMEOUT`.

    Raises:
        DatabaseUnavailableError: no connection, or it was lost.
        QueryTimeoutError: a statement was cancelled by the timeout.
    """
    with _transaction() as connection:
        if timeout is not None:
            connection.execute(
                "SELECT set_config('statement_timeout', %s, true)", [str(int(timeout * 1000))]
            )
        yield Snapshot(connection)


@contextmanager
def writing() -> Generator[Connection, None, None]:
    """Yield a connection whose transaction may write, in the schema `workspace`, and ends with it.

    Raises:
        DatabaseUnavailableError: no connection, or it was lost.
        QueryTimeoutError: a statement was cancelled by the timeout.
    """
    with _transaction() as connection:
        connection.execute("SET TRANSACTION READ WRITE, ISOLATION LEVEL READ COMMITTED")
        yield connection


def execute(connection: Connection, statement: str, **params: object) -> psycopg.Cursor[Row]:
    """Run a named statement in a transaction that may write."""
    return connection.execute(cast(LiteralString, statement), params)


def run(connection: Connection, statement: str, **params: object) -> Row | None:
    """Run a statement that returns one row, or none; the same for one that returns nothing."""
    cursor = execute(connection, statement, **params)
    return cursor.fetchone() if cursor.description else None


@contextmanager
def _transaction() -> Generator[Connection, None, None]:
    try:
        with pool().connection() as connection, connection.transaction():
            yield connection
    except psycopg.errors.QueryCanceled as error:
        raise QueryTimeoutError(str(error)) from error
    except psycopg.OperationalError as error:
        raise postgres.unavailable(error) from error


def fault() -> str | None:
    """Return what is wrong with the database, or None."""
    try:
        return postgres.fault(pool(), "SELECT 1")
    except ValueError as error:
        return str(error)
