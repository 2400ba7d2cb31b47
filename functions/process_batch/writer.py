"""Writing rows and their rollup deltas, exactly once.

The fast way is plain COPY in one transaction, of rows that are still being made: the database
writes some while Python makes the next. Where an event is stored already, COPY fails as a whole:
then the known events are looked up and left out. What still fails (an event that another writer
stores at the same moment, a row that the database refuses) goes the careful way: row sets in
savepoints, with ON CONFLICT, halved until the row at fault stands alone.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from time import perf_counter
from typing import Any

import aiosql
import psycopg
from psycopg import Connection, errors
from psycopg_pool import ConnectionPool

from functions.common.errors import DatabaseUnavailableError, UniverseError
from functions.common.paths import ROOT
from functions.common.postgres import summary, unavailable

from . import rows
from .copying import CopySequence
from .database import is_data_error
from .deltas import COPY_DELTAS, delta_lines
from .metrics import observe
from .rows import EventRow
from .validation import ROWS_PER_PART

logger = logging.getLogger(__name__)

MAX_DAYS = 60
"""Partitions written in one transaction: the server's lock table is finite."""
_ATTEMPTS = 4
_RECHECK_BATCHES = 20

# aiosql leaves the type arguments of a parameter open
_queries: Any = aiosql.from_path(  # pyright: ignore[reportUnknownMemberType]
    ROOT / "sql" / "queries" / "write.sql", "psycopg"
)
_COPY_EVENTS = f"COPY events ({rows.COLUMNS}) FROM STDIN"
_COPY_INCOMING = f"COPY incoming ({rows.COLUMNS}) FROM STDIN"

# transient, and over as soon as the transaction is: not worth bothering the caller
_TRANSIENT_ERRORS = (errors.SerializationFailure, errors.DeadlockDetected, errors.UndefinedTable,
              errors.InternalError_, errors.CheckViolation)  # fmt: skip

_day = attrgetter("day")
_event_id = attrgetter("event_id")


class _UnexpectedDaysError(UniverseError):
    """Rows fall on days that have no partition yet, or on too many days for one transaction."""


@dataclass(slots=True)
class WriteResult:
    """What became of some rows.

    Attributes:
        inserted: how many are stored now and were not before.
        duplicates: how many were stored already.
        rejected: those the database refuses, and its reason.
        waiting: those on days whose partitions are made later; storing them again does it then.
    """

    inserted: int = 0
    duplicates: int = 0
    rejected: list[tuple[EventRow, str]] = field(default_factory=list[tuple[EventRow, str]])
    waiting: list[EventRow] = field(default_factory=list[EventRow])

    def add(self, other: "WriteResult") -> None:
        """Count another's rows here too."""
        self.inserted += other.inserted
        self.duplicates += other.duplicates
        self.rejected += other.rejected
        self.waiting += other.waiting


class Writer:
    """Stores rows through the connections of a pool."""

    def __init__(
        self, pool: ConnectionPool[Connection], max_new_partitions: int | None = None
    ) -> None:
        """Make a writer.

        Args:
            pool: of connections as the role that writes.
            max_new_partitions: how many partitions all writers together may make in a minute; None
                does not limit it.
        """
        self._pool = pool
        self._max_new_partitions = max_new_partitions
        self._partitions: set[str] = set()
        self._recheck_duplicates = 0  # how many batches to look at for known events beforehand

    def store(self, parts: Iterable[list[EventRow]], redelivered: bool = False) -> WriteResult:
        """Store rows (no event twice) and count them in rollups.

        Args:
            parts: the rows, taken one part after the other, to the last one.
            redelivered: whether some of them may well be stored already.

        Raises:
            DatabaseUnavailableError: the database cannot take them now. Part of them may be stored;
                storing the same rows again does the rest.
        """
        if redelivered:
            self._recheck_duplicates = max(self._recheck_duplicates, 1)
        rest = iter(parts)
        taken: list[EventRow] = []
        try:
            if not self._recheck_duplicates and self._stream(rest, taken):
                return WriteResult(inserted=len(taken))
            for part in rest:
                taken += part
            return self._store_batch(taken)
        except psycopg.Error as error:
            raise unavailable(error) from error

    def _stream(self, parts: Iterator[list[EventRow]], taken: list[EventRow]) -> bool:
        """Store parts while the next are made, in one transaction.

        Returns:
            Whether all are stored. If not, none is, and those that were taken are in `taken`.
        """
        first = next(parts, None)
        if first is None:
            return True  # without asking the database
        taken += first
        days = set(map(_day, first))
        if len(days) > MAX_DAYS:
            return False

        def on_known_days() -> Iterator[list[EventRow]]:
            yield first
            for part in parts:
                taken.extend(part)
                days.update(map(_day, part))
                if len(days) > MAX_DAYS or not days <= self._partitions:
                    raise _UnexpectedDaysError
                yield part

        try:
            with self._pool.connection() as connection:
                if self._ensure_partitions(connection, days, self._max_new_partitions):
                    return False  # some have to wait
                _copy(connection, on_known_days(), taken)
        except _UnexpectedDaysError:
            return False
        except psycopg.Error as error:
            if isinstance(error, errors.UniqueViolation):
                self._recheck_duplicates = _RECHECK_BATCHES
            elif isinstance(error, _TRANSIENT_ERRORS):
                self._partitions.clear()
            elif not is_data_error(error):
                raise
            return False
        return True

    def _store_batch(self, batch: list[EventRow]) -> WriteResult:
        # In one order everywhere, so that batches which share events cannot block each other
        # crosswise. By one text after the other: comparing whole rows takes three times as long.
        # The latest days first, so that old ones, and their partitions, hold up nothing new.
        batch.sort(key=_event_id)
        batch.sort(key=_day, reverse=True)
        stored = WriteResult()
        limit = self._max_new_partitions
        for part in _parts(batch):
            known = len(self._partitions)
            stored.add(self._store_part(part, limit))
            if limit is not None and len(self._partitions) > known:
                limit = 0  # one part's partitions take a second; others are waiting for a turn
        return stored

    def _store_part(self, part: list[EventRow], max_new_partitions: int | None) -> WriteResult:
        attempt = 1
        while True:
            try:
                with self._pool.connection() as connection:
                    days = {row.day for row in part}
                    waiting = self._ensure_partitions(connection, days, max_new_partitions)
                    if not waiting:
                        return self._store_rows(connection, part)
                    stored = WriteResult()
                    ready = [row for row in part if row.day not in waiting]
                    if ready:
                        stored = self._store_rows(connection, ready)
                    stored.waiting = [row for row in part if row.day in waiting]
                    return stored
            except _TRANSIENT_ERRORS as error:
                if is_data_error(error) or attempt == _ATTEMPTS:
                    raise
                logger.info("batch is tried again", extra={"reason": summary(error)})
                self._partitions.clear()
                attempt += 1

    def _ensure_partitions(
        self, connection: Connection, days: set[str], max_per_minute: int | None
    ) -> set[str]:
        """Make the partitions of some days; return the days that have to wait for theirs."""
        missing = sorted(days - self._partitions)
        if not missing:
            return set()
        waiting: set[str] = set()
        try:
            if max_per_minute is None:
                _queries.ensure_partitions(connection, days=missing)
            else:
                rows = _queries.ensure_partitions_within(
                    connection, days=missing, max_per_minute=max_per_minute
                )
                waiting = {day for (day,) in rows}
        except errors.DatetimeFieldOverflow as error:
            # this machine's clock allowed the day, the database's does not
            detail = f"The clocks of function and database differ: {error.diag.message_primary}."
            raise DatabaseUnavailableError(detail, "clock") from error
        self._partitions.update(day for day in missing if day not in waiting)
        return waiting

    def _store_rows(self, connection: Connection, part: list[EventRow]) -> WriteResult:
        fresh = part
        rechecked = self._recheck_duplicates > 0
        if rechecked:
            fresh = _not_stored(connection, part)
            self._recheck_duplicates = (
                _RECHECK_BATCHES if fresh is not part else self._recheck_duplicates - 1
            )
        try:
            try:
                _copy_batch(connection, fresh)
            except errors.UniqueViolation:
                if rechecked:
                    raise  # another writer stores the same events at this moment
                # duplicates come in crowds, and a COPY in vain costs as much as one that succeeds
                self._recheck_duplicates = _RECHECK_BATCHES
                fresh = _not_stored(connection, part)
                _copy_batch(connection, fresh)
        except psycopg.Error as error:
            if not is_data_error(error):
                raise
            stored = _insert_with_conflicts(connection, fresh)
        else:
            stored = WriteResult(inserted=len(fresh))
        stored.duplicates += len(part) - len(fresh)
        if stored.duplicates and not stored.inserted:
            _queries.confirm_earlier_commits(connection)
        return stored


def _parts(batch: list[EventRow]) -> Iterator[list[EventRow]]:
    """Split a batch so that no part touches more than `MAX_DAYS` partitions."""
    part: list[EventRow] = []
    days = 0
    for _, of_day in groupby(batch, key=_day):
        if days == MAX_DAYS:
            yield part
            part, days = [], 0
        part.extend(of_day)
        days += 1
    if part:
        yield part


def _copy(connection: Connection, parts: Iterable[list[EventRow]], batch: list[EventRow]) -> None:
    """Write rows part by part; when the last is written, they are those of the batch."""
    writing = 0.0
    with CopySequence(connection, _COPY_EVENTS, COPY_DELTAS) as copy:
        for part in parts:
            started = perf_counter()
            copy.write([row.line for row in part])
            writing += perf_counter() - started
        started = perf_counter()
        # worked out while the server is still busy with the rows
        lines = list(delta_lines(batch))
        copy.begin_next()
        copied = perf_counter()
        copy.write(lines)
        rolled_up = perf_counter()
    observe("copy", writing + copied - started)
    observe("rollup", rolled_up - copied)
    observe("commit", perf_counter() - rolled_up)


def _copy_batch(connection: Connection, batch: list[EventRow]) -> None:
    if batch:
        places = range(0, len(batch), ROWS_PER_PART)
        _copy(connection, (batch[at : at + ROWS_PER_PART] for at in places), batch)


def _not_stored(connection: Connection, part: list[EventRow]) -> list[EventRow]:
    """Return the rows that are not stored; the very same list where none is."""
    known: set[tuple[str, str]] = set()
    for day, of_day in groupby(part, key=_day):
        event_ids = [row.event_id for row in of_day]
        found = _queries.known_events(connection, day=day, event_ids=event_ids)
        known.update((day, event_id) for (event_id,) in found)
    return [row for row in part if (row.day, row.event_id) not in known] if known else part


def _insert_with_conflicts(connection: Connection, part: list[EventRow]) -> WriteResult:
    started = perf_counter()
    _queries.make_staging(connection)
    stored = WriteResult()
    new: list[EventRow] = []
    with connection.transaction():
        _insert_new(connection, part, new, stored)
        with connection.cursor() as cursor, cursor.copy(COPY_DELTAS) as copy:
            copy.write("".join(delta_lines(new)))
    stored.inserted = len(new)
    observe("isolate", perf_counter() - started)
    return stored


def _insert_new(
    connection: Connection, part: list[EventRow], new: list[EventRow], stored: WriteResult
) -> None:
    """Insert what is not stored yet; halve the rows until those at fault stand alone."""
    try:
        with connection.transaction():
            with connection.cursor() as cursor, cursor.copy(_COPY_INCOMING) as copy:
                copy.write("".join([row.line for row in part]))
            inserted = set(_queries.insert_new_events(connection))
            _queries.empty_staging(connection)
    except psycopg.Error as error:
        if not is_data_error(error):
            raise
        if len(part) == 1:
            stored.rejected.append((part[0], _rejection_reason(error)))
            return
        middle = len(part) // 2
        _insert_new(connection, part[:middle], new, stored)
        _insert_new(connection, part[middle:], new, stored)
        return
    fresh = [row for row in part if (row.day, row.event_id) in inserted]
    new += fresh
    stored.duplicates += len(part) - len(fresh)


def _rejection_reason(error: psycopg.Error) -> str:
    """Return what the database says of a row."""
    said = [error.diag.message_primary or type(error).__name__, error.diag.message_detail]
    return "the database refuses it: " + ": ".join(filter(None, said))
