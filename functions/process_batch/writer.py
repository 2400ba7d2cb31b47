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

from functions.common.paths import ROOT

from . import rollups, rows
from .check import ROWS_PER_PART
from .database import Unavailable, is_data_error, unavailable
from .metrics import observe
from .rollups import deltas
from .rows import Row

log = logging.getLogger(__name__)

MOST_DAYS = 60
"""Most partitions written in one transaction: the server's lock table is finite."""
_ATTEMPTS = 4
_STAY_SUSPICIOUS = 20

_queries: Any = aiosql.from_path(ROOT / "sql" / "queries" / "write.sql", "psycopg")
_COPY_EVENTS = f"COPY events ({rows.COLUMNS}) FROM STDIN"
_COPY_INCOMING = f"COPY incoming ({rows.COLUMNS}) FROM STDIN"
_COPY_DELTAS = f"COPY rollup_deltas ({rollups.COLUMNS}) FROM STDIN"

# transient, and over as soon as the transaction is: not worth bothering the caller
_TRY_AGAIN = (errors.SerializationFailure, errors.DeadlockDetected, errors.UndefinedTable,
              errors.InternalError_, errors.CheckViolation)  # fmt: skip

_day = attrgetter("day")
_event_id = attrgetter("event_id")


class _OtherDays(Exception):
    """Rows fall on days that have no partition yet, or on too many days for one transaction."""


@dataclass(slots=True)
class Stored:
    """What became of some rows.

    Attributes:
        inserted: how many are stored now and were not before.
        duplicates: how many were stored already.
        refused: those the database refuses, and its reason.
    """

    inserted: int = 0
    duplicates: int = 0
    refused: list[tuple[Row, str]] = field(default_factory=list)

    def add(self, other: "Stored") -> None:
        """Count another's rows here too."""
        self.inserted += other.inserted
        self.duplicates += other.duplicates
        self.refused += other.refused


class Writer:
    """Stores rows through the connections of a pool."""

    def __init__(self, pool: ConnectionPool[Connection]) -> None:
        self._pool = pool
        self._partitions: set[str] = set()
        self._suspicious = 0  # how many batches to look at for known events beforehand

    def store(self, parts: Iterable[list[Row]], redelivered: bool = False) -> Stored:
        """Store rows (no event twice) and count them in rollups.

        Args:
            parts: the rows, taken one part after the other, to the last one.
            redelivered: whether some of them may well be stored already.

        Raises:
            Unavailable: the database cannot take them now. Part of them may be stored; storing the
                same rows again does the rest.
        """
        if redelivered:
            self._suspicious = max(self._suspicious, 1)
        rest = iter(parts)
        taken: list[Row] = []
        try:
            if not self._suspicious and self._stream(rest, taken):
                return Stored(inserted=len(taken))
            for part in rest:
                taken += part
            return self._store_whole(taken)
        except psycopg.Error as error:
            raise unavailable(error) from error

    def _stream(self, parts: Iterator[list[Row]], taken: list[Row]) -> bool:
        """Store parts while the next are made, in one transaction.

        Returns:
            Whether all are stored. If not, none is, and those that were taken are in `taken`.
        """
        first = next(parts, None)
        if first is None:
            return True  # without asking the database
        taken += first
        days = set(map(_day, first))
        if len(days) > MOST_DAYS:
            return False

        def on_known_days() -> Iterator[list[Row]]:
            yield first
            for part in parts:
                taken.extend(part)
                days.update(map(_day, part))
                if len(days) > MOST_DAYS or not days <= self._partitions:
                    raise _OtherDays
                yield part

        try:
            with self._pool.connection() as connection:
                self._ensure_partitions(connection, days)
                _copy(connection, on_known_days(), taken)
        except _OtherDays:
            return False
        except psycopg.Error as error:
            if isinstance(error, errors.UniqueViolation):
                self._suspicious = _STAY_SUSPICIOUS
            elif isinstance(error, _TRY_AGAIN):
                self._partitions.clear()
            elif not is_data_error(error):
                raise
            return False
        return True

    def _store_whole(self, batch: list[Row]) -> Stored:
        # In one order everywhere, so that batches which share events cannot block each other
        # crosswise. By one text after the other: comparing whole rows takes three times as long.
        batch.sort(key=_event_id)
        batch.sort(key=_day)
        stored = Stored()
        for part in _parts(batch):
            stored.add(self._store_part(part))
        return stored

    def _store_part(self, part: list[Row]) -> Stored:
        attempt = 1
        while True:
            try:
                with self._pool.connection() as connection:
                    self._ensure_partitions(connection, {row.day for row in part})
                    return self._store_rows(connection, part)
            except _TRY_AGAIN as error:
                if is_data_error(error) or attempt == _ATTEMPTS:
                    raise
                log.info("batch is tried again", extra={"reason": str(error)})
                self._partitions.clear()
                attempt += 1

    def _ensure_partitions(self, connection: Connection, days: set[str]) -> None:
        missing = sorted(days - self._partitions)
        if not missing:
            return
        try:
            _queries.ensure_partitions(connection, days=missing)
        except errors.DatetimeFieldOverflow as error:
            # this machine's clock allowed the day, the database's does not
            detail = f"The clocks of function and database differ: {error.diag.message_primary}."
            raise Unavailable(detail, "clock") from error
        self._partitions.update(missing)

    def _store_rows(self, connection: Connection, part: list[Row]) -> Stored:
        fresh = part
        looked = self._suspicious > 0
        if looked:
            fresh = _unknown(connection, part)
            self._suspicious = _STAY_SUSPICIOUS if fresh is not part else self._suspicious - 1
        try:
            try:
                _copy_whole(connection, fresh)
            except errors.UniqueViolation:
                if looked:
                    raise  # another writer stores the same events at this moment
                # duplicates come in crowds, and a COPY in vain costs as much as one that succeeds
                self._suspicious = _STAY_SUSPICIOUS
                fresh = _unknown(connection, part)
                _copy_whole(connection, fresh)
        except psycopg.Error as error:
            if not is_data_error(error):
                raise
            stored = _store_carefully(connection, fresh)
        else:
            stored = Stored(inserted=len(fresh))
        stored.duplicates += len(part) - len(fresh)
        return stored


def _parts(batch: list[Row]) -> Iterator[list[Row]]:
    """Split a batch so that no part touches more than `MOST_DAYS` partitions."""
    part: list[Row] = []
    days = 0
    for _, of_day in groupby(batch, key=_day):
        if days == MOST_DAYS:
            yield part
            part, days = [], 0
        part.extend(of_day)
        days += 1
    if part:
        yield part


def _copy(connection: Connection, parts: Iterable[list[Row]], batch: list[Row]) -> None:
    """Write rows part by part; when the last is written, they are those of the batch."""
    writing = 0.0
    with connection.transaction(), connection.cursor() as cursor:
        with cursor.copy(_COPY_EVENTS) as copy:
            for part in parts:
                started = perf_counter()
                copy.write("".join([row.line for row in part]))
                writing += perf_counter() - started
            started = perf_counter()
            # worked out while the server is still busy with the rows
            lines = "".join(deltas(batch))
        copied = perf_counter()
        with cursor.copy(_COPY_DELTAS) as copy:
            copy.write(lines)
        rolled_up = perf_counter()
    observe("copy", writing + copied - started)
    observe("rollup", rolled_up - copied)
    observe("commit", perf_counter() - rolled_up)


def _copy_whole(connection: Connection, batch: list[Row]) -> None:
    if batch:
        places = range(0, len(batch), ROWS_PER_PART)
        _copy(connection, (batch[at : at + ROWS_PER_PART] for at in places), batch)


def _unknown(connection: Connection, part: list[Row]) -> list[Row]:
    """Return the rows that are not stored; the very same list where none is."""
    known: set[tuple[str, str]] = set()
    for day, of_day in groupby(part, key=_day):
        event_ids = [row.event_id for row in of_day]
        found = _queries.known_events(connection, day=day, event_ids=event_ids)
        known.update((day, event_id) for (event_id,) in found)
    return [row for row in part if (row.day, row.event_id) not in known] if known else part


def _store_carefully(connection: Connection, part: list[Row]) -> Stored:
    started = perf_counter()
    _queries.make_staging(connection)
    stored = Stored()
    new: list[Row] = []
    with connection.transaction():
        _insert_new(connection, part, new, stored)
        with connection.cursor() as cursor, cursor.copy(_COPY_DELTAS) as copy:
            copy.write("".join(deltas(new)))
    stored.inserted = len(new)
    observe("isolate", perf_counter() - started)
    return stored


def _insert_new(connection: Connection, part: list[Row], new: list[Row], stored: Stored) -> None:
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
            stored.refused.append((part[0], _reason(error)))
            return
        middle = len(part) // 2
        _insert_new(connection, part[:middle], new, stored)
        _insert_new(connection, part[middle:], new, stored)
        return
    fresh = [row for row in part if (row.day, row.event_id) in inserted]
    new += fresh
    stored.duplicates += len(part) - len(fresh)


def _reason(error: psycopg.Error) -> str:
    """Return what the database says of a row."""
    said = [error.diag.message_primary or type(error).__name__, error.diag.message_detail]
    return "the database refuses it: " + ": ".join(filter(None, said))
