"""Retention: old days are dropped, with everything that was derived from them."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import psycopg

from functions.common.logs import first_line
from infra.database.connection import connect, retry_when_locked
from infra.database.errors import DatabaseError


def first_kept_day(keep_days: int, now: datetime | None = None) -> date:
    """Return the oldest day that is kept when the last `keep_days` whole days and today are."""
    return (now or datetime.now(UTC)).astimezone(UTC).date() - timedelta(days=keep_days)


def days_before(database_url: str, keep_from: date) -> list[date]:
    """Return the stored days before `keep_from`. Raises DatabaseError."""
    try:
        with connect(database_url) as connection:
            rows = connection.execute(
                "SELECT day FROM event_days WHERE day < %s ORDER BY day", [keep_from]
            ).fetchall()
            return [row[0] for row in rows]
    except psycopg.Error as error:
        raise DatabaseError(f"the database cannot be read: {first_line(error)}") from error


def drop_days_before(
    database_url: str, keep_from: date, progress: Callable[[date], None] = lambda _: None
) -> list[date]:
    """Drop every stored day before `keep_from`: its events and all that was derived from them.

    Reports over dropped days return zero, as the events would; so reports and events always agree.

    Args:
        database_url: the database, as the role that owns it.
        keep_from: the oldest day that is kept (UTC).
        progress: is called with each day when it is dropped.

    Returns:
        The days that were dropped.

    Raises:
        DatabaseError: the database cannot do it now; days dropped before stay dropped.
    """
    days = days_before(database_url, keep_from)
    try:
        with connect(database_url) as connection:
            for day in days:
                retry_when_locked(lambda day=day: connection.execute("SELECT drop_day(%s)", [day]))
                progress(day)
    except psycopg.Error as error:
        raise DatabaseError(f"dropping old days failed: {first_line(error)}") from error
    return days
