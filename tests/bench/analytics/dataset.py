"""Makes the data of the analytics benchmark, in three shapes: ours, raw JSONB, DuckDB's columns."""

import json
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import aiosql
import duckdb
import psycopg

from functions.common.sketches import add_to_hll, add_to_theta
from infra.database.migrate import migrate
from infra.database.seal import seal_finished_days
from infra.local.servers.postgres import READER, EmbeddedPostgres

SQL: Any = aiosql.from_path(
    Path(__file__).with_name("dataset.sql"), "psycopg", mandatory_parameters=False
)
DAYS = 60
DONE = "made"


@dataclass(frozen=True)
class Dataset:
    """The data, and how long it took to make (seconds)."""

    reader_url: str
    owner_url: str
    duckdb_file: Path
    days: list[date]
    events: int
    seconds: dict[str, float]


@contextmanager
def timed(seconds: dict[str, float], name: str, say: Callable[[str], None]):
    """Record how long the block takes."""
    say(name)
    started = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - started, 1)


def make(
    server: EmbeddedPostgres, folder: Path, events: int, users: int, say: Callable[[str], None]
) -> Dataset:
    """Make the data where it is not there yet.

    Args:
        server: runs.
        folder: for DuckDB's file.
        events: how many, spread over `DAYS` days that end yesterday.
        users: how many people act, per source.
        say: is told what is being made.
    """
    url = server.url()
    file = folder / "events.duckdb"
    seconds: dict[str, float] = {}
    done = folder / DONE
    if not done.exists():
        server.ensure_database()
        migrate(url)
        server.set_role_passwords()
        file.unlink(missing_ok=True)
        today = datetime.now(UTC).date()
        days = [today - timedelta(days=number) for number in range(DAYS, 0, -1)]
        _fill(url, days, events // DAYS, users, seconds, say)
        with timed(seconds, "DuckDB's columns", say):
            _columnar(url, days, file)
        made = {"days": [day.isoformat() for day in days], "seconds": seconds}
        done.write_text(json.dumps(made))
    made = json.loads(done.read_text())
    days, seconds = [date.fromisoformat(day) for day in made["days"]], made["seconds"]
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT sum(events)::bigint FROM rollup_day_types").fetchone()
        assert row is not None
    return Dataset(server.url(READER), url, file, days, row[0], seconds)


def _connect(url: str) -> psycopg.Connection:
    connection = psycopg.connect(url, autocommit=True, options="-c timezone=UTC")
    SQL.settings(connection)
    return connection


def _fill(
    url: str,
    days: list[date],
    a_day: int,
    users: int,
    seconds: dict[str, float],
    say: Callable[[str], None],
) -> None:
    def make_day(day: date) -> None:
        with _connect(url) as connection:
            SQL.make_day(connection, day=day, number=a_day, users=users)

    def at_once(*jobs: Callable[[psycopg.Connection], object]) -> None:
        def run(job: Callable[[psycopg.Connection], object]) -> None:
            with _connect(url) as connection:
                job(connection)

        list(threads.map(run, jobs))

    with ThreadPoolExecutor(2) as threads:
        with timed(seconds, "events", say), _connect(url) as connection:
            connection.execute("SELECT ensure_partitions(%s)", [days])
            list(threads.map(make_day, days))
        with timed(seconds, "rollups", say):
            at_once(_roll_up, lambda connection: _sketches(connection, days))
        with timed(seconds, "sealed days, and raw JSONB", say):
            # the last day stays open, as today does
            at_once(SQL.make_raw, lambda _: seal_finished_days(url, idle=timedelta(days=1)))
        with timed(seconds, "statistics", say), _connect(url) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")


def _roll_up(connection: psycopg.Connection) -> None:
    SQL.roll_up_sums(connection)
    SQL.roll_up_groups(connection)
    SQL.roll_up_days(connection)


def _sketches(connection: psycopg.Connection, days: list[date]) -> None:
    for day in days:
        kinds: defaultdict[tuple[Any, ...], list[str]] = defaultdict(list)
        countries: defaultdict[tuple[Any, ...], list[str]] = defaultdict(list)
        rows = SQL.users_of_hours(connection, day=day)
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


def _columnar(url: str, days: list[date], file: Path) -> None:
    text = file.with_suffix(".csv")
    with psycopg.connect(url, options="-c timezone=UTC") as connection, text.open("wb") as output:
        for day in days:
            statement = SQL.columnar.sql.replace("%(day)s", f"'{day}'")
            with connection.cursor().copy(statement) as copy:
                for block in copy:
                    output.write(block)
    with duckdb.connect(str(file)) as connection:
        connection.execute("SET threads = 2; SET timezone = 'UTC'")
        connection.execute(
            "CREATE TABLE events AS SELECT * FROM read_csv(?, header = false, columns = {"
            "'occurred_at': 'TIMESTAMP', 'source': 'VARCHAR', 'funnel_stage': 'VARCHAR', "
            "'event_type': 'VARCHAR', 'user_id': 'VARCHAR', 'country': 'VARCHAR', "
            "'campaign_id': 'VARCHAR', 'revenue': 'DECIMAL(18,6)', 'age': 'INTEGER', "
            "'gender': 'VARCHAR', 'city': 'VARCHAR', 'followers': 'INTEGER', "
            "'device': 'VARCHAR', 'event_id': 'VARCHAR', 'data': 'JSON'})",
            [str(text)],
        )
    text.unlink()
