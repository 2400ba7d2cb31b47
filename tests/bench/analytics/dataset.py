"""Makes the data of the analytics benchmark, in three shapes: ours, raw JSONB, DuckDB's columns.

DuckDB makes the events and sums them up; PostgreSQL takes in rows, and seals the days itself. Of a
long range the last 61 days are made so, and all before are copies of them, shifted. That is several
times as fast as the writer's path and ends in the same rollups:
tests/integration/database/test_bench_dataset.py compares both.
"""

import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import aiosql
import duckdb
import psycopg

from functions.common.sketches import add_to_hll, add_to_theta

_FOLDER = Path(__file__).parent
SQL: Any = aiosql.from_path(_FOLDER / "dataset.sql", "psycopg", mandatory_parameters=False)
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_PARTS = _NAME.split((_FOLDER / "events.sql").read_text(encoding="utf-8"))[1:]
EVENTS_SQL = dict(zip(_PARTS[::2], _PARTS[1::2], strict=True))
_COPY_OPTIONS = "FORMAT csv, DELIMITER E'\\t', QUOTE ''''"
_BLOCK = 1 << 20
_FINISHING = 0.35
"""What is left to do when all days are there, relative to the days."""
_PARTITIONS = 50
"""Partitions to make at once: each is locked."""

Advance = Callable[[float], None]
"""Is told which share of all the work was done since the last call."""


@dataclass(frozen=True)
class Size:
    """How much data.

    Attributes:
        events: how many.
        days: they are spread over so many days, which end yesterday; that last one stays open.
        users: how many people act, per source.
        raw: whether they are stored as raw JSONB too.
        different_days: how many of the days, the last ones, are made one by one.
    """

    events: int
    days: int
    users: int
    raw: bool = True
    different_days: int = 61

    def dates(self) -> list[date]:
        """Return the days."""
        today = datetime.now(UTC).date()
        return [today - timedelta(days=number) for number in range(self.days, 0, -1)]


@dataclass(frozen=True)
class Dataset:
    """The data, and how long it took to make (seconds, by all threads together)."""

    duckdb_file: Path
    days: list[date]
    events: int
    seconds: dict[str, float]


class _Maker:
    """Makes the data of days, some at once."""

    def __init__(self, url: str, folder: Path, size: Size, advance: Advance) -> None:
        self._url, self._folder, self._size, self._advance = url, folder, size, advance
        self._file = folder / "events.duckdb"
        self._file.unlink(missing_ok=True)
        self._columns = duckdb.connect(str(self._file))
        # the threads are those of the pool below: each asks for itself
        self._columns.execute("SET threads = 1; SET timezone = 'UTC'")
        self._columns.execute(EVENTS_SQL["table"])
        with self._connect() as connection:
            self._catalogue = list(SQL.catalogue(connection))
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._days = size.dates()
        self._made = self._days[-size.different_days :]

    def run(self) -> Dataset:
        started = time.monotonic()
        days, made = self._days, self._made
        copied = days[: -len(made)]
        with self._connect() as connection:
            for start in range(0, len(days), _PARTITIONS):
                some = days[start : start + _PARTITIONS]
                connection.execute("SELECT ensure_partitions(%s)", [some])
            constraints = list(SQL.constraints(connection))
            for table, name, _ in constraints:
                connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}".encode())
            if self._size.raw:
                SQL.make_raw(connection)
            SQL.add_spend(connection, first=days[0], last=days[-1])
        self._columns.execute(_fill("spend", first=str(days[0]), last=str(days[-1])))
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(self._make_day, made))
            if copied:
                list(threads.map(self._copy_day, copied))
                list(threads.map(self._run, self._copies_of_rollups()))
            # the longest first
            statements = self._raw_indexes() + [
                f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"
                for table, name, definition in constraints
            ]
            list(threads.map(self._finish, statements, [len(statements)] * len(statements)))
        with self._timed("statistics"), self._connect() as connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM rollups")]
            tables += ["leading_users", "event_days", *(["raw_events"] if self._size.raw else [])]
            connection.execute(f"VACUUM (ANALYZE) {', '.join(tables)}".encode())
            connection.execute("ANALYZE ONLY events")
            connection.execute("CHECKPOINT")
        self._columns.close()
        self._advance(_share(_FINISHING / 2))
        self.seconds["all"] = time.monotonic() - started
        seconds = {name: round(passed, 1) for name, passed in self.seconds.items()}
        events = self._size.events // self._size.days * self._size.days
        return Dataset(self._file, days, events, seconds)

    def _connect(self) -> psycopg.Connection:
        connection = psycopg.connect(self._url, autocommit=True, options="-c timezone=UTC")
        SQL.settings(connection)
        return connection

    def _timed(self, name: str) -> "_Timer":
        return _Timer(self.seconds, name)

    def _make_day(self, day: date) -> None:
        with self._connect() as connection, self._columns.cursor() as columns:
            taken = _Intake(connection, columns, self._folder / f"{day}.csv", day)
            with self._timed("events made"):
                number, users = self._size.events // self._size.days, self._size.users
                taken.execute("make_day", number=str(number), users=str(users))
            with self._timed("events taken in"):
                fields = (
                    "event_id, day, occurred_at, received_at, source, funnel_stage, event_type, "
                    "user_id, country, campaign_id, revenue, data"
                )
                # into a table emptied by the same transaction: nothing is logged, nothing to freeze
                with connection.transaction():
                    connection.execute(f"TRUNCATE events_{day:%Y%m%d}".encode())
                    taken.copy(f"events_{day:%Y%m%d}", fields, "of_day", "FREEZE")
                _vacuum_day(connection, day)
            with self._timed("sums"):
                self._sum_up(taken)
            with self._timed("sketches"):
                _sketch(connection, day, columns.execute(taken.text("users_of_hours")).fetchall())
            self._complete_day(connection, day)

    def _copy_day(self, day: date) -> None:
        """Copy the events of a day that was made; rollups are copied of all days at once."""
        shift = len(self._made)
        while day + timedelta(days=shift) not in self._made:
            shift += len(self._made)
        with self._connect() as connection, self._columns.cursor() as columns:
            with self._timed("events copied"):
                with connection.transaction():
                    connection.execute(f"TRUNCATE events_{day:%Y%m%d}".encode())
                    SQL.copy_day(connection, day=day, shift=shift)
                columns.execute(_fill("copy_day", day=str(day), shift=str(shift)))
                _vacuum_day(connection, day)
            self._complete_day(connection, day)

    def _complete_day(self, connection: psycopg.Connection, day: date) -> None:
        if self._size.raw:
            with self._timed("raw JSONB taken in"):
                SQL.add_raw(connection, day=day)
        if day != self._days[-1]:
            with self._timed("days sealed"):
                connection.execute("SELECT seal_day(%s)", [day])
        self._advance(_share(1 / self._size.days))

    def _copies_of_rollups(self) -> list[str]:
        shift, first, made = len(self._made), self._days[0], self._made[0]
        with self._connect() as connection:
            found = SQL.copies_of_rollups(connection, shift=shift, first=first, first_made=made)
            return [statement for (statement,) in found]

    def _run(self, statement: str) -> None:
        with self._timed("sums copied"), self._connect() as connection:
            connection.execute(statement.encode())

    def _sum_up(self, taken: "_Intake") -> None:
        taken.execute("grouped_events")
        for name, grain, keys, measures, of_events in self._catalogue:
            fields = ", ".join([grain, *keys, *measures])
            if "dimension" in keys:
                slots = {"rows": "grouped", "measures": "sum(events), sum(revenue)"}
            else:
                of_hour = "date_trunc('hour', occurred_at) AS hour"
                rows = f"(SELECT *, {of_hour} FROM events WHERE day = DATE '{taken.day}')"
                slots = {"rows": rows, "measures": ", ".join(of_events)}
            condition = "campaign_id IS NOT NULL" if "campaign_id" in keys else "true"
            slots |= {"grain": grain, "keys": ", ".join(keys), "condition": condition}
            taken.copy(name, fields, "sums", **slots)

    def _raw_indexes(self) -> list[str]:
        if not self._size.raw:
            return []
        with self._connect() as connection:
            return [statement for (statement,) in SQL.raw_indexes(connection)]

    def _finish(self, statement: str, number: int) -> None:
        with self._timed("indexes"), self._connect() as connection:
            connection.execute(statement.encode())
        self._advance(_share(_FINISHING / 2 / number))


class _Timer:
    def __init__(self, seconds: defaultdict[str, float], name: str) -> None:
        self._seconds, self._name = seconds, name

    def __enter__(self) -> None:
        self._started = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._name] += time.monotonic() - self._started


class _Intake:
    """Takes one day's rows from DuckDB to PostgreSQL, through a file."""

    def __init__(
        self,
        connection: psycopg.Connection,
        columns: duckdb.DuckDBPyConnection,
        file: Path,
        day: date,
    ) -> None:
        self._connection, self._columns, self._file, self.day = connection, columns, file, day

    def text(self, name: str, **slots: str) -> str:
        """Return a statement of events.sql without its semicolon."""
        return _fill(name, **slots, day=str(self.day))

    def execute(self, name: str, **slots: str) -> None:
        """Run a statement in DuckDB."""
        self._columns.execute(self.text(name, **slots))

    def copy(self, table: str, fields: str, name: str, *options: str, **slots: str) -> None:
        """Copy what a statement of DuckDB finds into a table of PostgreSQL."""
        self._columns.execute(
            f"COPY ({self.text(name, **slots)}) TO '{self._file}' "
            "(FORMAT csv, DELIMITER '\t', QUOTE '''', HEADER false)"
        )
        statement = (
            f"COPY {table} ({fields}) FROM STDIN ({', '.join([_COPY_OPTIONS, *options])})".encode()
        )
        with (
            self._file.open("rb") as rows,
            self._connection.cursor() as cursor,
            cursor.copy(statement) as copy,
        ):
            while block := rows.read(_BLOCK):
                copy.write(block)
        self._file.unlink()


def _fill(name: str, **slots: str) -> str:
    text = EVENTS_SQL[name]
    for slot, value in slots.items():
        text = text.replace(f"{{{{{slot}}}}}", value)
    return text.rstrip().rstrip(";")


def _vacuum_day(connection: psycopg.Connection, day: date) -> None:
    # of 9,000 rows: the statistics of 30,000 take longer than all else here
    with connection.transaction():
        connection.execute("SET LOCAL default_statistics_target = 30")
        connection.execute(f"ANALYZE events_{day:%Y%m%d}".encode())
    connection.execute(f"VACUUM events_{day:%Y%m%d}".encode())


def _share(work: float) -> float:
    return work / (1 + _FINISHING)


def make(url: str, folder: Path, size: Size, advance: Advance = lambda _: None) -> Dataset:
    """Make the data where it is not there yet.

    Args:
        url: the database, migrated and empty, as the role that owns it.
        folder: for DuckDB's file, and files that are gone afterwards.
        size: how much.
        advance: is told of the progress.
    """
    done = folder / "made.json"
    if not done.exists():
        made = _Maker(url, folder, size, advance).run()
        kept = {
            "days": [day.isoformat() for day in made.days],
            "events": made.events,
            "seconds": made.seconds,
        }
        done.write_text(json.dumps(kept))
    kept = json.loads(done.read_text())
    days = [date.fromisoformat(day) for day in kept["days"]]
    return Dataset(folder / "events.duckdb", days, kept["events"], kept["seconds"])


def _sketch(connection: psycopg.Connection, day: date, rows: Iterable[tuple[Any, ...]]) -> None:
    kinds: defaultdict[tuple[Any, ...], list[str]] = defaultdict(list)
    countries: defaultdict[tuple[Any, ...], list[str]] = defaultdict(list)
    for hour, source, stage, event_type, country, users in rows:
        for kind in (event_type, ""):
            kinds["hour", hour, source, stage, kind] += users
            kinds["day", day, source, stage, kind] += users
        countries["hour", hour, source, country] += users
        countries["day", day, source, country] += users
    with connection.cursor() as cursor:
        for grain in ("hour", "day"):
            cursor.executemany(
                f"INSERT INTO rollup_{grain}_users VALUES (%s, %s, %s, %s, %s, %s)",  # pyright: ignore
                [
                    (*key[1:], *_both(users, of_type=bool(key[4])))
                    for key, users in kinds.items()
                    if key[0] == grain
                ],
            )
            cursor.executemany(
                f"INSERT INTO rollup_{grain}_country_users VALUES (%s, %s, %s, %s)",  # pyright: ignore
                [
                    (*key[1:], add_to_hll(None, users))
                    for key, users in countries.items()
                    if key[0] == grain
                ],
            )


def _both(users: list[str], *, of_type: bool) -> tuple[bytes, bytes | None]:
    return add_to_hll(None, users), None if of_type else add_to_theta(None, users)
