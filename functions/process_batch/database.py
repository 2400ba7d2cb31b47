"""The pool of database connections, and what its errors mean."""

from functools import cache

import psycopg
from psycopg import Connection, errors
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from functions.common.errors import DatabaseUnavailableError

from . import metrics
from .settings import settings

COMPONENT = "universe-process-batch"

_DATA_CLASSES = frozenset({"22", "23", "54"})


@cache
def pool() -> ConnectionPool[Connection]:
    """Return this process's pool; connections are opened when they are first needed."""
    limits = settings()
    milliseconds = int(limits.db_statement_timeout * 1000)
    made: ConnectionPool[Connection] = ConnectionPool(
        limits.database_url,
        min_size=min(limits.db_pool_min, limits.db_pool_max),
        max_size=limits.db_pool_max,
        timeout=limits.db_wait,
        max_lifetime=3600,
        max_idle=300,
        reconnect_timeout=30,
        check=ConnectionPool.check_connection,  # one round trip spares a batch its retry
        name="process-batch",
        open=True,
        kwargs={
            "autocommit": True,
            "application_name": COMPONENT,
            "connect_timeout": limits.db_connect_timeout,
            # a writer must not wait for ever, least of all for one that is gone
            "options": f"-c statement_timeout={milliseconds} -c timezone=UTC "
            "-c lock_timeout=20s -c idle_in_transaction_session_timeout=60s",
            "keepalives_idle": 20,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
        },
    )
    for state, key in (
        ("open", "pool_size"),
        ("idle", "pool_available"),
        ("waiting", "requests_waiting"),
    ):
        metrics.POOL.labels(state).set_function(lambda key=key: made.get_stats().get(key, 0))
    return made


def is_data_error(error: psycopg.Error) -> bool:
    """Tell whether a row is at fault: it would be refused at any time.

    Data exceptions (22), broken constraints (23) and exceeded limits of a value (54) are; whatever
    else the database says (no connection, no space, locks, shutdown, missing rights or tables) is
    the server's state, which somebody can mend while the batch waits.
    """
    state = error.sqlstate or ""
    if isinstance(error, errors.CheckViolation) and not error.diag.constraint_name:
        return False  # no constraint of ours: retention dropped the partition this moment
    return state[:2] in _DATA_CLASSES


def unavailable(error: psycopg.Error) -> DatabaseUnavailableError:
    """Return what to tell the caller about an error that is no data error."""
    if isinstance(error, PoolTimeout | PoolClosed | TooManyRequests):
        return DatabaseUnavailableError(
            "No database connection: the database is away or busy.", "pool"
        )
    said = str(error).strip().splitlines()
    detail = said[0] if said else type(error).__name__
    return DatabaseUnavailableError(
        f"The database cannot take the batch: {detail}.", error.sqlstate or "none"
    )


def fault() -> str | None:
    """Return what is wrong with the database, or None."""
    try:
        with pool().connection(timeout=2.0) as connection:
            connection.execute("SELECT FROM event_days LIMIT 1")
    except psycopg.Error as error:
        return unavailable(error).detail
    return None
