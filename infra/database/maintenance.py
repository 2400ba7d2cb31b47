"""Housekeeping of the database, as its owner: sealing finished days and dropping old ones.

The SQL behind it is in the migration `maintenance`, for triggers inside the database.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from time import sleep

import psycopg
from psycopg import Connection, errors, sql

from infra.database.errors import DatabaseError

_LOCK_ATTEMPTS = 10
_POLL_SECONDS = 0.1
_APPLICATION = "universe-maintenance"


def seal_finished_days(
    database_url: str,
    idle: timedelta = timedelta(hours=1),
    progress: Callable[[date], None] = lambda _: None,
) -> list[date]:
    """Seal the days that are over: build what searches and user reports want. Safe to repeat.

    Nobody waits for it: indexes are built concurrently.

    Args:
        database_url: the database, as the role that owns it.
        idle: how long a day must be over, and without new events.
        progress: is told each day when it is sealed.

    Returns:
        The days that were sealed.

    Raises:
        DatabaseError: the database cannot do it now.
    """
    try:
        with _connect(database_url) as connection:
            _become_only_sealer(connection)
            found = connection.execute("SELECT days_to_seal(%s)", [idle]).fetchall()
            days = [row[0] for row in found]
            for day in days:
                _again_when_locked(lambda day=day: _seal(connection, day))
                progress(day)
            return days
    except psycopg.Error as error:
        raise DatabaseError(f"sealing failed: {_first_line(error)}") from error


def _become_only_sealer(connection: Connection) -> None:
    # Asking again and again, because a concurrent build waits for all who wait in a statement.
    while not connection.execute("SELECT pg_try_advisory_lock(7305, 3)").fetchall()[0][0]:
        sleep(_POLL_SECONDS)


def _seal(connection: Connection, day: date) -> None:
    known = connection.execute("SELECT FROM event_days WHERE day = %s", [day]).fetchone()
    if known is None:
        return  # retention was faster
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
    connection.execute("SELECT mark_sealed(%s)", [day])
    connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(f"events_{day:%Y%m%d}")))


def first_kept_day(keep_days: int, now: datetime | None = None) -> date:
    """Return the oldest day that is kept when the last `keep_days` whole days and today are."""
    return (now or datetime.now(UTC)).astimezone(UTC).date() - timedelta(days=keep_days)


def days_before(database_url: str, keep_from: date) -> list[date]:
    """Return the stored days before `keep_from`. Raises DatabaseError."""
    try:
        with _connect(database_url) as connection:
            rows = connection.execute(
                "SELECT day FROM event_days WHERE day < %s ORDER BY day", [keep_from]
            ).fetchall()
            return [row[0] for row in rows]
    except psycopg.Error as error:
        raise DatabaseError(f"the database cannot be read: {_first_line(error)}") from error


def drop_days_before(
    database_url: str, keep_from: date, progress: Callable[[date], None] = lambda _: None
) -> list[date]:
    """Drop every stored day before `keep_from`: its events and all that was derived from them.

    Reports over dropped days answer zero, as the events would; so reports and events always agree.

    Args:
        database_url: the database, as the role that owns it.
        keep_from: the oldest day that is kept (UTC).
        progress: is told each day when it is dropped.

    Raises:
        DatabaseError: the database cannot do it now; days dropped before stay dropped.
    """
    days = days_before(database_url, keep_from)
    try:
        with _connect(database_url) as connection:
            for day in days:
                _again_when_locked(lambda day=day: connection.execute("SELECT drop_day(%s)", [day]))
                progress(day)
    except psycopg.Error as error:
        raise DatabaseError(f"dropping old days failed: {_first_line(error)}") from error
    return days


def _again_when_locked(work: Callable[[], object]) -> None:
    for attempt in range(1, _LOCK_ATTEMPTS + 1):
        try:
            work()
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            # a long report, or sealing and dropping of one day: let writers pass, who queue behind
            if attempt == _LOCK_ATTEMPTS:
                raise
            sleep(min(0.2 * attempt, 1.0))
        else:
            return


def _connect(database_url: str) -> Connection:
    return psycopg.connect(
        database_url,
        autocommit=True,
        connect_timeout=10,
        application_name=_APPLICATION,
        options="-c timezone=UTC",
    )


def _first_line(error: psycopg.Error) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
