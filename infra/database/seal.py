"""Sealing: days that are over get the indexes and the sums by user that reports want.

`seal_day()` does the same inside the database, for a cron trigger there.
"""

from collections.abc import Callable
from datetime import date, timedelta
from time import sleep

import psycopg
from psycopg import Connection, sql

from functions.common.logs import first_line
from infra.database.connection import connect, retry_when_locked
from infra.database.errors import DatabaseError

_POLL_SECONDS = 0.1


def seal_finished_days(
    database_url: str,
    idle: timedelta = timedelta(hours=1),
    progress: Callable[[date], None] = lambda _: None,
) -> list[date]:
    """Seal the days that are over: build what searches and user reports want. Safe to repeat.

    Writers and reports go on meanwhile: indexes are built concurrently.

    Args:
        database_url: the database, as the role that owns it.
        idle: how long a day must be over, and without new events.
        progress: is called with each day when it is sealed.

    Returns:
        The days that were sealed.

    Raises:
        DatabaseError: the database cannot do it now.
    """
    try:
        with connect(database_url) as connection:
            _become_only_sealer(connection)
            found = connection.execute("SELECT days_to_seal(%s)", [idle]).fetchall()
            days = [row[0] for row in found]
            for day in days:
                retry_when_locked(lambda day=day: _seal(connection, day))
                progress(day)
            return days
    except psycopg.Error as error:
        raise DatabaseError(f"sealing failed: {first_line(error)}") from error


def _become_only_sealer(connection: Connection) -> None:
    # Polling, because a concurrent index build waits for every session that waits in a statement.
    while not connection.execute("SELECT pg_try_advisory_lock(sealing_lock())").fetchall()[0][0]:
        sleep(_POLL_SECONDS)


def _seal(connection: Connection, day: date) -> None:
    known = connection.execute("SELECT FROM event_days WHERE day = %s", [day]).fetchone()
    if known is None:
        return  # retention dropped it meanwhile
    indexes = connection.execute("SELECT * FROM sealing_indexes(%s)", [day]).fetchall()
    for name, definition in indexes:
        identifier = sql.Identifier("public", name)
        broken = connection.execute(
            "SELECT FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid",
            [f"public.{name}"],
        ).fetchone()
        if broken is not None:  # left by a build that was interrupted
            connection.execute(sql.SQL("DROP INDEX CONCURRENTLY {}").format(identifier))
        connection.execute(
            sql.SQL("CREATE INDEX CONCURRENTLY IF NOT EXISTS {} ON {}").format(
                sql.Identifier(name), sql.SQL(definition)
            )
        )
    # VACUUM takes events whose commit is not on disk yet, where the server does not wait for that,
    # for events that not all can see: this commit waits, and all before it are on disk then
    connection.execute("SET synchronous_commit = on")
    connection.execute("SELECT mark_sealed(%s)", [day])
    # Vacuumed, the index of the sample of users is all that reports of people read, and not each of
    # its events as well: that takes several times as long.
    partition = sql.Identifier(f"events_{day:%Y%m%d}")
    connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(partition))
