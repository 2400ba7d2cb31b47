"""Compaction: moving rollup deltas into the rollup tables.

It happens in the background of the processes that store events (compactor.py), in one process at a
time. Nothing depends on when: reports add what is not compacted yet. Compaction keeps that addition
small.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from time import perf_counter

from psycopg import Connection

from . import metrics
from .rollup_statements import QUERIES, compaction_statements, read_catalogue
from .user_sketches import UserSketches

MAX_DELTAS = 200_000
"""Many at once compact better: where events of many hours come mixed, they share more keys."""
MAX_EVENTS = 400_000
_MIN_DELTAS_TO_VACUUM = 500
_ROWS_AT_A_TIME = 1000
_FIRST_KEY = 4  # in a row of the statement, after events, users, day and sealed


@dataclass(frozen=True, slots=True)
class CompactionResult:
    """What one compaction did: how many deltas it moved, and how many events they count."""

    deltas: int
    events: int


def compact(
    connection: Connection, max_deltas: int = MAX_DELTAS, max_events: int = MAX_EVENTS
) -> CompactionResult | None:
    """Compact some deltas, in a transaction of its own.

    Args:
        connection: in autocommit mode.
        max_deltas: how many at most.
        max_events: no further delta once they count so many events. Both bound the memory and the
            time that it takes.

    Returns:
        What was compacted, or None where another process is compacting.
    """
    started = perf_counter()
    with connection.transaction():
        if not QUERIES.try_lock(connection):
            return None
        result = compact_deltas(connection, max_deltas, max_events)
    if result.deltas >= _MIN_DELTAS_TO_VACUUM:
        QUERIES.vacuum_deltas(connection)
    if result.deltas:
        metrics.COMPACTIONS.inc()
        metrics.COMPACTED.inc(result.deltas)
        metrics.COMPACTION_SECONDS.observe(perf_counter() - started)
    return result


def compact_deltas(
    connection: Connection,
    max_deltas: int = MAX_DELTAS,
    max_events: int = MAX_EVENTS,
    counted_day: date | None = None,
) -> CompactionResult:
    """Move some deltas into the rollups, in the caller's transaction.

    Args:
        connection: its session or transaction holds the lock of the rollups.
        max_deltas: as in `compact`.
        max_events: as in `compact`.
        counted_day: a sealed day whose users are counted already, events of these deltas included.
    """
    # under the lock, which a change of the catalogue takes too
    statements = compaction_statements(read_catalogue(connection))
    sketches = [UserSketches(each, statements.columns, _FIRST_KEY) for each in statements.sketches]
    users_of = [(each.key_of, each.users_by_key) for each in sketches]
    deltas, events = 0, 0
    late: defaultdict[date, set[str]] = defaultdict(set)
    limits = {"max_deltas": max_deltas, "max_events": max_events}
    cursor = connection.execute(statements.compact.encode(), limits, binary=True)
    # some at a time: one by one takes longer, and all at once more memory
    while rows := cursor.fetchmany(_ROWS_AT_A_TIME):
        for row in rows:
            counted, users, day, sealed = row[:_FIRST_KEY]
            deltas += 1
            events += counted
            for key_of, users_by_key in users_of:
                users_by_key[key_of(row)] += users
            if sealed and day != counted_day:
                late[day].update(users)
    for each in sketches:
        each.store(connection)
    for day, user_ids in late.items():
        QUERIES.recount_users(connection, day=day, user_ids=list(user_ids))
    return CompactionResult(deltas, events)


def has_pending(connection: Connection, deltas: int) -> bool:
    """Tell whether at least so many deltas wait."""
    return QUERIES.pending(connection, max_deltas=deltas) >= deltas
