"""Connections to the database as its owner, and statements that may have to wait for a lock."""

from collections.abc import Callable
from time import sleep

import psycopg
from psycopg import Connection, errors

CONNECT_SECONDS = 10
_LOCK_ATTEMPTS = 10


def connect(database_url: str) -> Connection:
    """Connect in autocommit mode; psycopg's errors are the caller's to translate."""
    return psycopg.connect(
        database_url,
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        application_name="universe-owner",
        options="-c timezone=UTC",
    )


def retry_when_locked(work: Callable[[], object]) -> None:
    """Do some work, again after a pause where a lock is not to be had.

    A long report holds it, or sealing and dropping the same day: the pause lets those writers pass
    that queue behind.

    Raises:
        psycopg.Error: the lock was not to be had at the last attempt, or something else failed.
    """
    for attempt in range(1, _LOCK_ATTEMPTS + 1):
        try:
            work()
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            if attempt == _LOCK_ATTEMPTS:
                raise
            sleep(min(0.2 * attempt, 1.0))
        else:
            return
