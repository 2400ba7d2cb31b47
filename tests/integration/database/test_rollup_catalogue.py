"""A rollup is a table and a row in the catalogue; everything else follows from these."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors

from functions.analytics_query.users.sampling import SAMPLING_MODULUS
from functions.process_batch.compaction import compact
from functions.process_batch.rollup_statements import compaction_statements, read_catalogue
from infra.cli.load.event_generator import Mix
from infra.database.retention import drop_days_before
from infra.database.seal import seal_finished_days
from tests.conftest import Database
from tests.support import kinds
from tests.support.sketches import unite_hll
from tests.support.storage import Event, ask, assert_rollups_exact, compact_all, parts, writer_to
from tests.support.stored_events import generated

NOW = timedelta(0)
LIMITS = {"max_deltas": 300, "max_events": 100_000}

NEW_ROLLUPS = """
CREATE TABLE rollup_day_source_countries (
    day date NOT NULL, source text COLLATE "C" NOT NULL, country text COLLATE "C",
    events bigint NOT NULL, revenue numeric NOT NULL, last_at timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (day, source, country)
);
INSERT INTO rollups (name, kind, grain, keys, measures) VALUES
    ('rollup_day_source_countries', 'sums', 'day', '{source, country}',
     '{events, revenue, last_at}');

CREATE TABLE rollup_hour_campaign_users (
    hour timestamptz NOT NULL, campaign_id text COLLATE "C" NOT NULL, hll bytea NOT NULL,
    PRIMARY KEY (hour, campaign_id)
);
INSERT INTO rollups (name, kind, grain, keys, measures) VALUES
    ('rollup_hour_campaign_users', 'sketches', 'hour', '{campaign_id}', '{hll}');

CREATE TABLE day_country_users (
    day date NOT NULL, country text COLLATE "C", user_id text COLLATE "C" NOT NULL,
    bottom_events bigint NOT NULL, revenue numeric NOT NULL,
    UNIQUE NULLS NOT DISTINCT (day, country, user_id)
);
INSERT INTO rollups (name, kind, grain, keys, measures) VALUES
    ('day_country_users', 'sealed', 'day', '{country, user_id}', '{bottom_events, revenue}');
"""
"""One of each kind."""


@pytest.fixture
def extended(database: Database) -> Database:
    """A database with rollups that no code knows."""
    with psycopg.connect(database.url) as connection:
        connection.execute(NEW_ROLLUPS)
    return database


def on_days(events: list[Event], *days_ago: int) -> list[Event]:
    today = datetime.now(UTC).date()
    for place, event in enumerate(events):
        day = today - timedelta(days=days_ago[place % len(days_ago)])
        event["timestamp"] = f"{day}T{place % 24:02}:30:00Z"
    return events


def assert_new_rollups_exact(database: Database) -> None:
    by_country = "day, source, country, sum(events)::bigint, sum(revenue), max(last_at)"
    assert Counter(
        ask(database, f"SELECT {by_country} FROM live_day_source_countries GROUP BY 1, 2, 3")  # pyright: ignore[reportArgumentType]
    ) == Counter(
        ask(
            database,
            "SELECT day, source, country, count(*), coalesce(sum(revenue), 0), max(occurred_at)"
            " FROM events GROUP BY 1, 2, 3",
        )
    )
    assert Counter(ask(database, "SELECT * FROM day_country_users")) == Counter(
        ask(
            database,
            "SELECT day, country, user_id, count(*) FILTER (WHERE funnel_stage = 'bottom'),"
            " coalesce(sum(revenue), 0) FROM events JOIN event_days USING (day)"
            " WHERE sealed_at IS NOT NULL GROUP BY 1, 2, 3",
        )
    )
    sketches = ask(database, "SELECT hll FROM rollup_hour_campaign_users WHERE campaign_id <> ''")
    [(users,)] = ask(
        database, "SELECT count(DISTINCT user_id) FROM events WHERE campaign_id IS NOT NULL"
    )
    assert unite_hll([hll for (hll,) in sketches]) == pytest.approx(users, rel=0.05)


def test_new_rollup_is_filled_sealed_and_dropped(extended: Database) -> None:
    database = extended
    with writer_to(database) as writer:
        writer.store(parts(on_days(generated(400, mix=Mix(users=60)), 0, 3, 5)))
        pending = ask(database, "SELECT sum(events)::bigint FROM live_day_source_countries")
        assert pending == [(400,)], "of what is not compacted yet, too"
        compact_all(database)
        assert ask(database, "SELECT sum(events)::bigint FROM rollup_day_source_countries") == [
            (400,)
        ]
        assert_new_rollups_exact(database)
        assert len(seal_finished_days(database.url, NOW)) == 2
        assert ask(database, "SELECT count(DISTINCT day) FROM day_country_users") == [(2,)]
        assert_new_rollups_exact(database)
        writer.store(parts(on_days(generated(200, seed=2, mix=Mix(users=60)), 0, 3, 5)))
        compact_all(database)  # late events of sealed days
        assert_new_rollups_exact(database)
        assert_rollups_exact(database)
    kept = datetime.now(UTC).date() - timedelta(days=4)
    assert len(drop_days_before(database.url, kept)) == 1
    for table, column in (
        ("rollup_day_source_countries", "day"),
        ("day_country_users", "day"),
        ("rollup_hour_campaign_users", "hour"),
    ):
        [(rows, oldest)] = ask(
            database,
            f"SELECT count(*), min({column})::date FROM {table}",  # pyright: ignore[reportArgumentType]
        )
        assert rows > 0
        assert oldest >= kept, table
    assert_new_rollups_exact(database)
    assert_rollups_exact(database)


def test_rollup_that_is_added_while_processes_run_gets_what_is_compacted_from_then_on(
    database: Database,
) -> None:
    with (
        writer_to(database) as writer,
        psycopg.connect(database.writer_url, autocommit=True) as connection,
        psycopg.connect(database.url) as owner,
    ):
        writer.store(parts(generated(50)))
        compact(connection)
        writer.store(parts(generated(50, seed=2)))
        owner.execute(NEW_ROLLUPS)
        assert compact(connection) is None, "compaction waits for a change of the catalogue"
        owner.commit()
        result = compact(connection)
        assert result
        assert result.events == 50
    assert ask(database, "SELECT sum(events)::bigint FROM rollup_day_source_countries") == [(50,)]
    assert_rollups_exact(database)


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ("('rollup_hour_types2', 'sums', 'hour', '{source}', '{events}')", errors.Error),
        ("('rollup_x', 'sums', 'day', '{source, country}', '{events}')", errors.RaiseException),
        ("('rollup_x', 'sums', 'day', '{source}', '{top_events}')", errors.RaiseException),
        ("('rollup_x', 'sums', 'day', '{source}', '{hll}')", errors.RaiseException),
        ("('rollup_x', 'sketches', 'day', '{source}', '{events}')", errors.RaiseException),
        ("('rollup_x', 'sums', 'month', '{source}', '{events}')", errors.CheckViolation),
        ("('rollup_x', 'sums', 'day', '{planet}', '{events}')", errors.CheckViolation),
        ("('rollup_x', 'sealed', 'day', '{source}', '{events}')", errors.CheckViolation),
        ("('rollup_x', 'sums', 'day', '{source}', '{}')", errors.CheckViolation),
    ],
)
def test_row_that_does_not_fit_is_refused(
    database: Database, row: str, error: type[psycopg.Error]
) -> None:
    with psycopg.connect(database.url) as owner:
        owner.execute(
            "CREATE TABLE rollup_x (day date, source text, events bigint, top_events bigint,"
            " hll bytea, UNIQUE (day, source))"
        )
        with pytest.raises(error):
            owner.execute(
                f"INSERT INTO rollups (name, kind, grain, keys, measures) VALUES {row}".encode()
            )


def rollups_after(
    connection: Connection, statement: str
) -> tuple[Counter[Any], dict[str, Counter[Any]]]:
    """Run a compaction in a transaction that is undone; return its rows and all sums."""
    with connection.transaction(force_rollback=True):
        rows = connection.execute(statement.encode(), LIMITS).fetchall()
        tables = {
            rollup.name: Counter(
                connection.execute(f"SELECT * FROM {rollup.name}".encode()).fetchall()
            )
            for rollup in read_catalogue(connection)
            if rollup.kind == "sums"
        }
    # the columns come in another order, the day twice, and no country as empty text
    return Counter(frozenset(repr(each or "") for each in row) for row in rows), tables


@pytest.mark.parametrize("seed", kinds.quick_first(range(5), 2))
def test_generated_statement_does_what_the_written_out_one_does(
    database: Database, seed: int
) -> None:
    written_out = Path(__file__).with_name("compaction_written_out.sql").read_text()
    with (
        writer_to(database) as writer,
        psycopg.connect(database.writer_url, autocommit=True) as connection,
    ):
        for batch in range(3):
            events = generated(400, seed=seed * 10 + batch, mix=Mix(days=2, users=50))
            writer.store(parts(events))
            statement = compaction_statements(read_catalogue(connection)).compact
            rows, tables = rollups_after(connection, statement)
            expected_rows, expected_tables = rollups_after(connection, written_out)
            assert len(expected_tables) == 14
            assert all(expected_tables.values())
            assert rows == expected_rows
            assert tables == expected_tables
            compact(connection, max_deltas=250)  # the next batch meets rows that are there


def test_sampled_users_are_the_same_in_database_and_reports(database: Database) -> None:
    assert ask(database, "SELECT sampling_modulus()") == [(SAMPLING_MODULUS,)]
    [(share,)] = ask(
        database,
        "SELECT count(*) FILTER (WHERE in_user_sample('u' || n))::float8 / count(*)"
        " FROM generate_series(1, 100000) AS n",
    )
    assert share == pytest.approx(1 / SAMPLING_MODULUS, rel=0.1)


def test_questions_about_the_sample_use_its_index(database: Database) -> None:
    with writer_to(database) as writer:
        writer.store(parts(on_days(generated(2000, mix=Mix(users=500)), 3)))
    [day] = seal_finished_days(database.url, NOW)
    with psycopg.connect(database.url) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = connection.execute(
            "EXPLAIN (ANALYZE) SELECT country, campaign_id, count(DISTINCT user_id), count(revenue)"
            " FROM events WHERE in_user_sample(user_id) AND day = %s AND occurred_at >= %s"
            " GROUP BY country, campaign_id",
            [day, datetime(2000, 1, 1, tzinfo=UTC)],
        ).fetchall()
    # and nothing else: whoever reads the events as well takes several times as long
    assert f"Index Only Scan using events_{day:%Y%m%d}_sample" in str(plan)
    assert "Heap Fetches: 0" in str(plan)
