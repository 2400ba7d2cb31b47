"""Erasing a person from the database, day by day.

One transaction does a day: the person's events go, and the day's sums and sketches are made anew
from the events that stay. So an interrupted run leaves each day as it was or done, and the next run
does the rest. Writers are not held up: what they commit meanwhile has deltas of its own.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date

import psycopg
from psycopg import Connection, IsolationLevel, errors

from functions.common.logs import first_line
from functions.process_batch.recount import recount_day
from infra.database.connection import connect, retry_when_locked
from infra.database.errors import DatabaseError
from infra.privacy.person import Person

_LOCK_TIMEOUT = "5s"

Progress = Callable[[int], None]
"""Is called with how much was done since the last call."""


def _no_progress(_: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class TouchedDay:
    """A day that holds something of a person.

    Attributes:
        day: the day (UTC).
        events: how many events of the person; 0: only rows that were derived from deleted events.
        all_events: about how many events it has.
    """

    day: date
    events: int
    all_events: int


@contextmanager
def open_database(database_url: str) -> Generator[Connection]:
    """Connect as the owner.

    Raises:
        DatabaseError: the database is away or refuses something.
    """
    try:
        with connect(database_url) as connection:
            connection.prepare_threshold = None  # a plan for each day, which names its partition
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.execute("SELECT set_config('lock_timeout', %s, false)", [_LOCK_TIMEOUT])
            yield connection
    except (errors.UndefinedTable, errors.UndefinedFunction) as error:
        raise DatabaseError("the database is not migrated: run universe migrate") from error
    except errors.InsufficientPrivilege as error:
        raise DatabaseError(
            f"{first_line(error)}: name the database with the URL of its owner"
        ) from error
    except psycopg.Error as error:
        raise DatabaseError(
            f"the database cannot do it now: {first_line(error)}; run it again later"
        ) from error


def stored_days(connection: Connection) -> list[date]:
    """Return the days that events are stored of."""
    rows = connection.execute("SELECT day FROM event_days ORDER BY day").fetchall()
    return [row[0] for row in rows]


def find_days(
    connection: Connection, person: Person, days: list[date], progress: Progress = _no_progress
) -> list[TouchedDay]:
    """Return which of some days hold something of a person."""
    touched: list[TouchedDay] = []
    for day in days:
        [(events, derived)] = connection.execute(
            "SELECT * FROM traces_of_user(%s, %s, %s)", [day, person.user_id, person.source]
        ).fetchall()
        if events or derived:
            [(all_events,)] = connection.execute(
                "SELECT coalesce(sum(events), 0)::bigint FROM live_day_types WHERE day = %s", [day]
            ).fetchall()
            touched.append(TouchedDay(day, events, all_events))
        progress(1)
    return touched


def begin_record(connection: Connection, person: Person, reference: str | None) -> int:
    """Begin the record of an erasure, or go on with the unfinished one of the same reference."""
    found = connection.execute(
        "SELECT id FROM erasures WHERE reference = %s AND source IS NOT DISTINCT FROM %s"
        " AND finished_at IS NULL ORDER BY id DESC LIMIT 1",
        [reference, person.source],
    ).fetchone()
    if found is None:
        [found] = connection.execute(
            "INSERT INTO erasures (reference, source) VALUES (%s, %s) RETURNING id",
            [reference, person.source],
        ).fetchall()
    return found[0]


def add_dead_letters(connection: Connection, record: int, number: int) -> None:
    """Add to the record how many dead letters were deleted."""
    connection.execute(
        "UPDATE erasures SET dead_letters = dead_letters + %s WHERE id = %s", [number, record]
    )


def finish_record(connection: Connection, record: int) -> None:
    """Record that an erasure is complete."""
    connection.execute("UPDATE erasures SET finished_at = now() WHERE id = %s", [record])


def erase_day(
    connection: Connection,
    person: Person,
    day: date,
    record: int,
    progress: Progress = _no_progress,
) -> int:
    """Delete a person's events of one day, and count the day's other events again.

    Args:
        connection: from `open_database`.
        person: whom.
        day: the day.
        record: takes the counts, in the same transaction.
        progress: is called with the number of events counted since the last call.

    Returns:
        How many events were deleted.
    """
    deleted = 0

    def erase() -> None:
        nonlocal deleted
        with _rollups_locked(connection), connection.transaction():
            [(deleted,)] = connection.execute(
                "SELECT delete_user_events(%s, %s, %s)", [day, person.user_id, person.source]
            ).fetchall()
            recount_day(connection, day, progress)
            connection.execute(
                "UPDATE erasures SET events = events + %s, days = days + 1 WHERE id = %s",
                [deleted, record],
            )

    retry_when_locked(erase)
    return deleted


@contextmanager
def _rollups_locked(connection: Connection) -> Generator[None]:
    """Hold the lock that compaction, sealing and retention take too.

    The session holds it, because the transaction must begin after that: its snapshot would else
    miss what the last holder did.
    """
    connection.execute("SELECT pg_advisory_lock(rollups_lock())")
    try:
        yield
    finally:
        with suppress(psycopg.OperationalError):  # the session is gone, and its lock with it
            connection.execute("SELECT pg_advisory_unlock(rollups_lock())")
