"""Folding rollup deltas into the rollup tables.

It happens in the background of whatever process stores events, in one process at a time. Nothing
depends on when: reports add what is not folded yet. Folding keeps that addition small.
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

log = logging.getLogger(__name__)

MOST_DELTAS = 100_000
"""Many at once fold better: where events of many hours come mixed, they share more keys."""
MOST_EVENTS = 200_000
MOST_PENDING = 400_000
"""Writers wait for folding when more deltas pend: reports read all of them."""
_LEAST_DELTAS = 1_000

ALL_TYPES = ""
_TIDY_FROM = 500
_PAUSE_AFTER_FAULT = 5.0
_LONGEST_HOLD = 10.0
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
class Folded:
    """What one folding did: how many deltas, and how many events they count."""

    deltas: int
    events: int


def compact(
    connection: Connection, most: int = MOST_DELTAS, most_events: int = MOST_EVENTS
) -> Folded | None:
    """Fold some deltas, in a transaction of its own.

    Args:
        connection: in autocommit mode.
        most: how many deltas at most.
        most_events: no further delta once they count so many events. Both bound the memory and the
            time that it takes.

    Returns:
        What was folded, or None where another process is folding.
    """
    started = perf_counter()
    with connection.transaction():
        if not _queries.try_lock(connection):
            return None
        folded, events = 0, 0
        by_hour: _Users = defaultdict(list)
        by_day: _Users = defaultdict(list)
        by_hour_country: _CountryUsers = defaultdict(list)
        by_day_country: _CountryUsers = defaultdict(list)
        late: dict[date, set[str]] = defaultdict(set)
        for hour, day, source, stage, event_type, country, counted, users, sealed in _queries.fold(
            connection, most=most, most_events=most_events
        ):
            folded += 1
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
    if folded >= _TIDY_FROM:
        _queries.tidy_deltas(connection)
    if folded:
        metrics.COMPACTIONS.inc()
        metrics.COMPACTED.inc(folded)
        metrics.COMPACT_SECONDS.observe(perf_counter() - started)
    return Folded(folded, events)


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
    """A thread that folds deltas soon after it is woken, no more often than configured."""

    def __init__(self, connections: ConnectionPool[Connection], seconds: float) -> None:
        self._pool = connections
        self._seconds = seconds
        self._most = MOST_DELTAS
        self._woken = threading.Event()
        self._keeps_up = threading.Event()
        self._keeps_up.set()
        # a daemon: when the process ends in the middle, the transaction is undone
        threading.Thread(target=self._run, name="compactor", daemon=True).start()

    def wake(self) -> None:
        """Tell it that there is something to fold; wait a while if it is far behind."""
        self._woken.set()
        self._keeps_up.wait(_LONGEST_HOLD)

    def _run(self) -> None:
        finished = monotonic() - self._seconds
        while True:
            self._woken.wait()
            sleep(max(0.0, finished + self._seconds - monotonic()))
            self._woken.clear()
            try:
                self._fold_all()
            except errors.QueryCanceled:
                log.info("folding takes longer than a statement may: smaller steps from now on")
                self._most = max(self._most // 4, _LEAST_DELTAS)
                self._keeps_up.set()
                self._woken.set()
            except psycopg.Error as error:
                log.info("rollup deltas not folded", extra={"reason": str(error)})
                self._keeps_up.set()
                sleep(_PAUSE_AFTER_FAULT)
                self._woken.set()
            except Exception:
                log.exception("folding rollup deltas failed")
                self._keeps_up.set()
            finished = monotonic()

    def _fold_all(self) -> None:
        with self._pool.connection() as connection:
            while True:
                most = self._most
                folded = compact(connection, most)
                if folded:
                    self._most = min(most * 2, MOST_DELTAS)
                    if folded.deltas < most and folded.events < MOST_EVENTS:
                        break
                if _queries.pending(connection, most=MOST_PENDING) < MOST_PENDING:
                    self._keeps_up.set()
                    if folded is None:
                        return  # whoever is folding does the rest
                else:
                    self._keeps_up.clear()
                    if folded is None:
                        sleep(_POLL_SECONDS)
        self._keeps_up.set()


_compactor: Compactor | None = None
_starting = threading.Lock()


def wake() -> None:
    """Have the deltas folded in the background, soon; wait a while if that is far behind."""
    global _compactor  # noqa: PLW0603
    seconds = settings().compact_seconds
    if not seconds:
        return
    with _starting:
        if _compactor is None:
            _compactor = Compactor(pool(), seconds)
    _compactor.wake()
