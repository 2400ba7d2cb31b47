"""The connection pool of process-batch, and which errors are the fault of a row."""

from typing import Any

import psycopg
from psycopg import Connection, errors
from psycopg_pool import ConnectionPool

from functions.common import postgres

from . import metrics
from .settings import settings


@postgres.once_per_process
def pool() -> ConnectionPool[Connection[Any]]:
    """Return this process's pool."""
    options = settings()
    return postgres.open_pool(
        options,
        options.database_url,
        name="process-batch",
        # a writer must not wait for ever, least of all for one that is gone
        session={"lock_timeout": "20s", "idle_in_transaction_session_timeout": "60s"},
        gauge=metrics.POOL,
        # a plan that does for any day names, and locks, every partition: with thousands of them
        # the server's lock table is full, and nothing is stored any more
        prepare_threshold=None,
    )


def is_data_error(error: psycopg.Error) -> bool:
    """Tell whether a row is at fault: it would be refused at any time.

    Data exceptions (22), broken constraints (23) and exceeded limits of a value (54) are; whatever
    else the database says (no connection, no space, locks, shutdown, missing rights or tables) is
    the server's state, which may change while the batch waits.
    """
    state = error.sqlstate or ""
    if isinstance(error, errors.CheckViolation) and not error.diag.constraint_name:
        return False  # no constraint of ours: retention dropped the partition this moment
    return state[:2] in postgres.DATA_ERROR_CLASSES


def fault() -> str | None:
    """Return what is wrong with the database, or None."""
    return postgres.fault(pool(), "SELECT FROM event_days LIMIT 1")
