"""The pool of PostgreSQL connections of a function's process.

Only functions that use PostgreSQL import this: the others' images have no psycopg.
"""

import select
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, LiteralString, TypeVar

import psycopg
from prometheus_client import Gauge
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests
from pydantic import Field

from functions.common.durations import Seconds
from functions.common.errors import DatabaseUnavailableError
from functions.common.logs import first_line
from functions.common.settings import ComponentSettings

T = TypeVar("T")

CHECK_SECONDS = 2
"""How long a readiness check waits for a connection, and again for its statement."""
DATA_ERROR_CLASSES = frozenset({"22", "23", "54"})
"""Classes of SQLSTATE that are of what a statement is given; their messages quote it."""
_POOL_STATES = {"open": "pool_size", "idle": "pool_available", "waiting": "requests_waiting"}


class PoolSettings(ComponentSettings):
    """The limits of the pool of database connections."""

    db_pool_min: int = Field(default=0, ge=0, description="connections kept open per process")
    db_pool_max: int = Field(default=4, ge=1, description="maximum connections per process")
    db_pool_timeout: Seconds = Field(
        default=5.0, gt=0, description="seconds a request waits for a connection"
    )
    db_connect_timeout: int = Field(
        default=3, ge=1, description="seconds for one attempt to connect"
    )
    db_statement_timeout: Seconds = Field(
        default=50.0, gt=0, description="seconds one SQL statement may take"
    )


def once_per_process(make: Callable[[], T]) -> Callable[[], T]:
    """Decorate a function whose first result is used ever after, also by concurrent threads.

    The server forks its workers after it has loaded the handler, and connections do not survive a
    fork: they are opened at the first call, not at import.
    """
    lock = threading.Lock()
    cached = cache(make)

    def get() -> T:
        with lock:
            return cached()

    return get


def open_pool(
    settings: PoolSettings,
    url: str,
    *,
    name: str,
    session: Mapping[str, str],
    gauge: Gauge,
    **connect: Any,
) -> ConnectionPool[Connection[Any]]:
    """Open a pool, which connects when a connection is first needed.

    Args:
        settings: its limits.
        url: of the database.
        name: the function's, which PostgreSQL's `pg_stat_activity` shows.
        session: PostgreSQL's parameters of each session, besides `statement_timeout` and the time
            zone, which is UTC.
        gauge: of connections by `state`; takes the pool's figures.
        connect: further arguments of `psycopg.connect`.
    """
    parameters = {
        "statement_timeout": str(int(settings.db_statement_timeout * 1000)),
        "timezone": "UTC",
        **session,
    }
    pool: ConnectionPool[Connection[Any]] = ConnectionPool(
        url,
        min_size=min(settings.db_pool_min, settings.db_pool_max),
        max_size=settings.db_pool_max,
        timeout=settings.db_pool_timeout,
        max_lifetime=3600,
        max_idle=300,
        reconnect_timeout=30,
        check=check_connection,
        name=name,
        open=True,
        kwargs={
            "autocommit": True,
            "application_name": f"universe-{name}",
            "connect_timeout": settings.db_connect_timeout,
            "options": _options(url, parameters),
            # a server that vanished without a word is noticed after half a minute
            "keepalives_idle": 20,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
            **connect,
        },
    )
    for state, key in _POOL_STATES.items():
        gauge.labels(state).set_function(lambda key=key: pool.get_stats().get(key, 0))
    return pool


def _options(url: str, parameters: Mapping[str, str]) -> str:
    """Return libpq's `options`: those of the URL and, stronger, the given parameters."""
    escaped = (
        f"-c {key}={value.replace(chr(92), chr(92) * 2).replace(' ', chr(92) + ' ')}"
        for key, value in parameters.items()
    )
    try:
        own = str(conninfo_to_dict(url).get("options") or "")
    except psycopg.ProgrammingError:
        own = ""  # the pool says that it cannot connect with such a URL
    return " ".join([own, *escaped]).strip()


def check_connection(connection: Connection[Any]) -> None:
    """Raise an error if the server has closed an idle connection; the pool then takes another.

    There is nothing to read from an idle connection unless the server has closed it or says that it
    will. Only then is it asked, so that a healthy connection costs no round trip.

    Raises:
        psycopg.OperationalError: the connection is lost.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        ConnectionPool.check_connection(connection)


def unavailable(error: psycopg.Error) -> DatabaseUnavailableError:
    """Return an error that tells that the database cannot be used now, and why."""
    if isinstance(error, PoolTimeout | PoolClosed | TooManyRequests):
        return DatabaseUnavailableError(
            "No database connection: the database is unavailable or busy.", "pool"
        )
    return DatabaseUnavailableError(
        f"The database cannot be used now: {summary(error)}.", error.sqlstate or "none"
    )


def summary(error: psycopg.Error) -> str:
    """Return what an error says, for logs: one line without values of rows or statements."""
    if (error.sqlstate or "")[:2] in DATA_ERROR_CLASSES:
        return type(error).__name__
    return first_line(error)


def fault(pool: ConnectionPool[Connection[Any]], statement: LiteralString) -> str | None:
    """Return why a statement fails, None where it succeeds."""
    try:
        with pool.connection(timeout=CHECK_SECONDS) as connection, connection.transaction():
            connection.execute(
                "SELECT set_config('statement_timeout', %s, true)", [f"{CHECK_SECONDS}s"]
            )
            connection.execute(statement)
    except psycopg.Error as error:
        return unavailable(error).detail
    return None
