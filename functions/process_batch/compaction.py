"""Compaction: moving rollup deltas into the rollup tables.

It happens in the background of whatever process stores events, in one process at a time. Nothing
depends on when: reports add what is not compacted yet. Compaction keeps that addition small.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from time import monotonic, perf_counter, sleep
from typing import Any, NamedTuple

import aiosql
import psycopg
from psycopg import Connection, errors
from psycopg_pool import ConnectionPool

from functions.common.paths import ROOT
from functions.common.sketches import add_to_hll, add_to_theta

from . import metrics
from .database import pool
from .settings import settings

logger = logging.getLogger(__name__)

MAX_DELTAS = 100_000
"""Many at once compact better: where events of many hours come mixed, they share more keys."""
MAX_EVENTS = 200_000
MAX_PENDING_DELTAS = 400_000
"""Writers wait for compaction when more deltas pend: reports read all of them."""
_MIN_DELTAS = 1_000

ALL_TYPES = ""
_MIN_DELTAS_TO_VACUUM = 500
_PAUSE_AFTER_ERROR_SECONDS = 5.0
_MAX_WRITER_WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.2

_queries: Any = aiosql.from_path(ROOT / "sql" / "queries" / "compaction.sql", "psycopg")


class _Key(NamedTuple):
    """One row of a rollup of users."""

    time: datetime | date
    source: str
    funnel_stage: str
    event_type: str


class _CountryKey(NamedTuple):
    """One row of a rollup of users by country; the country is empty where there is none."""

    time: datetime | date
    source: str
    country: str


_Users = dict[_Key, list[str]]
_CountryUsers = dict[_CountryKey, list[str]]


@dataclass(frozen=True, slots=True)
class CompactionResult:
    """What one compaction did: how many deltas it moved, and how many events they count."""

    deltas: int
    events: int


def compact(
    connection: Connection, most: int = MAX_DELTAS, most_events: int = MAX_EVENTS
) -> CompactionResult | None:
    """Compact some deltas, in a transaction of its own.

    Args:
        connection: in autocommit mode.
        most: the most deltas.
        most_events: no further delta once they count so many events. Both bound the memory and the
            time that it takes.

    Returns:
        What was compacted, or None where another process is compacting.
    """
    started = perf_counter()
    with connection.transaction():
        if not _queries.try_lock(connection):
            return None
        compacted, events = 0, 0
        by_hour: _Users = defaultdict(list)
        by_day: _Users = defaultdict(list)
        by_hour_country: _CountryUsers = defaultdict(list)
        by_day_country: _CountryUsers = defaultdict(list)
        late: dict[date, set[str]] = defaultdict(set)
        for (
            hour,
            day,
            source,
            stage,
            event_type,
            country,
            counted,
            users,
            sealed,
        ) in _queries.compact(connection, most=most, most_events=most_events):
            compacted += 1
            events += counted
            by_hour[_Key(hour, source, stage, event_type)] += users
            by_hour[_Key(hour, source, stage, ALL_TYPES)] += users
            by_day[_Key(day, source, stage, event_type)] += users
            by_day[_Key(day, source, stage, ALL_TYPES)] += users
            by_hour_country[_CountryKey(hour, source, country or "")] += users
            by_day_country[_CountryKey(day, source, country or "")] += users
            if sealed:
                late[day].update(users)
        _add_users(connection, by_hour, _queries.hour_sketches, _queries.store_hour_sketches)
        _add_users(connection, by_day, _queries.day_sketches, _queries.store_day_sketches)
        _add_country_users(
            connection,
            by_hour_country,
            _queries.hour_country_sketches,
            _queries.store_hour_country_sketches,
        )
        _add_country_users(
            connection,
            by_day_country,
            _queries.day_country_sketches,
            _queries.store_day_country_sketches,
        )
        for day, user_ids in late.items():
            _queries.recount_users(connection, day=day, user_ids=list(user_ids))
    if compacted >= _MIN_DELTAS_TO_VACUUM:
        _queries.vacuum_deltas(connection)
    if compacted:
        metrics.COMPACTIONS.inc()
        metrics.COMPACTED.inc(compacted)
        metrics.COMPACTION_SECONDS.observe(perf_counter() - started)
    return CompactionResult(compacted, events)


def _add_users(connection: Connection, added: _Users, read: Any, store: Any) -> None:
    if not added:
        return
    stored = {_Key(*row[:4]): (row[4], row[5]) for row in read(connection, **_columns(added))}
    hlls: list[bytes] = []
    thetas: list[bytes | None] = []
    for key, users in added.items():
        hll, theta = stored.get(key, (None, None))
        hlls.append(add_to_hll(hll, users))
        thetas.append(add_to_theta(theta, users) if key.event_type == ALL_TYPES else None)
    store(connection, **_columns(added), hlls=hlls, thetas=thetas)


def _add_country_users(connection: Connection, added: _CountryUsers, read: Any, store: Any) -> None:
    if not added:
        return
    times, sources, countries = (list(column) for column in zip(*added, strict=True))
    keys = {"times": times, "sources": sources, "countries": countries}
    stored = {_CountryKey(*row[:3]): row[3] for row in read(connection, **keys)}
    hlls = [add_to_hll(stored.get(key), users) for key, users in added.items()]
    store(connection, **keys, hlls=hlls)


def _columns(keys: Iterable[_Key]) -> dict[str, list[Any]]:
    times, sources, stages, types = zip(*keys, strict=True)
    return {
        "times": list(times),
        "sources": list(sources),
        "stages": list(stages),
        "types": list(types),
    }


class Compactor:
    """A thread that compacts deltas soon after it is woken, no more often than configured."""

    def __init__(self, connections: ConnectionPool[Connection], seconds: float) -> None:
        self._pool = connections
        self._seconds = seconds
        self._most = MAX_DELTAS
        self._woken = threading.Event()
        self._keeps_up = threading.Event()
        self._keeps_up.set()
        # a daemon: when the process ends in the middle, the transaction is undone
        threading.Thread(target=self._run, name="compactor", daemon=True).start()

    def wake(self) -> None:
        """Tell it that there is something to compact; wait a while if it is far behind."""
        self._woken.set()
        self._keeps_up.wait(_MAX_WRITER_WAIT_SECONDS)

    def _run(self) -> None:
        finished = monotonic() - self._seconds
        while True:
            self._woken.wait()
            sleep(max(0.0, finished + self._seconds - monotonic()))
            self._woken.clear()
            try:
                self._compact_all()
            except errors.QueryCanceled:
                logger.info("compaction takes longer than a statement may; taking smaller steps")
                self._most = max(self._most // 4, _MIN_DELTAS)
                self._keeps_up.set()
                self._woken.set()
            except psycopg.Error as error:
                logger.info("rollup deltas not compacted", extra={"reason": str(error)})
                self._keeps_up.set()
                sleep(_PAUSE_AFTER_ERROR_SECONDS)
                self._woken.set()
            except Exception:
                logger.exception("unexpected error in compaction")
                self._keeps_up.set()
            finished = monotonic()

    def _compact_all(self) -> None:
        with self._pool.connection() as connection:
            while True:
                most = self._most
                result = compact(connection, most)
                if result:
                    self._most = min(most * 2, MAX_DELTAS)
                    if result.deltas < most and result.events < MAX_EVENTS:
                        break
                if _queries.pending(connection, most=MAX_PENDING_DELTAS) < MAX_PENDING_DELTAS:
                    self._keeps_up.set()
                    if result is None:
                        return  # the process that compacts does the rest
                else:
                    self._keeps_up.clear()
                    if result is None:
                        sleep(_POLL_SECONDS)
        self._keeps_up.set()


_compactor: Compactor | None = None
_starting = threading.Lock()


def wake() -> None:
    """Have the deltas compacted in the background, soon; wait a while if that is far behind."""
    global _compactor  # noqa: PLW0603
    seconds = settings().compaction_interval
    if not seconds:
        return
    with _starting:
        if _compactor is None:
            _compactor = Compactor(pool(), seconds)
    _compactor.wake()
