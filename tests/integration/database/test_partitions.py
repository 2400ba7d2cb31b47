"""Partitions: made on demand by many at once, blocking nobody; dropped by retention; sealed."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import errors

from infra.cli.commands.retention import retention, seal
from infra.cli.load.event_generator import Mix
from infra.database import housekeeping
from infra.database.retention import drop_days_before
from infra.database.seal import seal_finished_days
from tests.conftest import Database
from tests.support.net import wait_until
from tests.support.storage import (
    Event,
    ask,
    assert_rollups_exact,
    compact_all,
    parts,
    writer_to,
)
from tests.support.stored_events import generated

NOW = timedelta(0)
"""Seal what is over, however recently it was written."""


def on_days(events: list[Event], days: list[date]) -> list[Event]:
    for place, event in enumerate(events):
        event["timestamp"] = f"{days[place % len(days)]}T{place % 24:02}:30:00Z"
    return events


def days_ago(*numbers: int) -> list[date]:
    today = datetime.now(UTC).date()
    return [today - timedelta(days=number) for number in numbers]


def test_many_make_the_same_partitions_at_once(database: Database) -> None:
    days = days_ago(*range(40))

    def ensure(_: int) -> int:
        with psycopg.connect(database.writer_url, autocommit=True) as connection:
            return connection.execute("SELECT ensure_partitions(%s)", [days]).fetchall()[0][0]

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(ensure, range(8))) == 40
    assert ask(
        database, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass"
    ) == [(40,)]


def test_making_a_partition_waits_for_nobody_and_holds_up_nobody(database: Database) -> None:
    old, new = days_ago(1, 2)
    with writer_to(database) as writer, psycopg.connect(database.url) as reader:
        writer.store(parts(on_days(generated(10), [old])))
        # a report and a write, both in the middle of their transactions
        reader.execute("SELECT count(*) FROM events")
        with psycopg.connect(database.writer_url) as other:
            other.execute("SELECT FROM events")
            other.execute(
                "INSERT INTO events SELECT 'open', day, occurred_at, received_at, source,"
                " funnel_stage, event_type, user_id, country, campaign_id, revenue, data, extra"
                " FROM events LIMIT 1"
            )
            with ThreadPoolExecutor(1) as threads:
                done = threads.submit(
                    writer.store, parts(on_days(generated(10, seed=2), [new]))
                ).result(timeout=30)
            assert done.inserted == 10
            other.rollback()


@pytest.mark.parametrize("day", ["1999-12-31", "9999-12-31"])
def test_days_outside_the_contract_make_no_partition(database: Database, day: str) -> None:
    with (
        psycopg.connect(database.writer_url) as connection,
        pytest.raises(errors.DatetimeFieldOverflow),
    ):
        connection.execute("SELECT ensure_partitions(%s::date[])", [[day]])
    assert ask(database, "SELECT count(*) FROM event_days") == [(0,)]


def test_roles_can_do_what_they_must_and_no_more(database: Database) -> None:
    with writer_to(database) as writer:
        writer.store(parts(generated(5)))
    with psycopg.connect(database.reader_url, autocommit=True) as reader:
        assert reader.execute("SELECT count(*) FROM live_day_types").fetchall()[0][0] > 0
        assert reader.execute("SHOW statement_timeout").fetchall() != [("0",)]
        for statement in (
            "DELETE FROM events",
            "CREATE TABLE t (i int)",
            "SELECT drop_day(now()::date)",
        ):
            with pytest.raises((errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)):
                reader.execute(statement.encode())
        reader.execute("SET default_transaction_read_only = off")
        with pytest.raises(errors.InsufficientPrivilege):
            reader.execute("DELETE FROM rollup_deltas")
    with psycopg.connect(database.writer_url, autocommit=True) as connection:
        for statement in (
            "DELETE FROM events",
            "UPDATE events SET revenue = 0",
            "DROP TABLE events",
            "CREATE TABLE t (i int)",
            "SELECT drop_day(now()::date)",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_retention_drops_events_and_what_is_derived_from_them(database: Database) -> None:
    days = days_ago(0, 1, 5, 6, 7, 30)
    with writer_to(database) as writer:
        writer.store(parts(on_days(generated(600), days)))
        compact_all(database)
        seal_finished_days(database.url, NOW)
        writer.store(parts(on_days(generated(60, seed=2), days)))  # stays in the deltas
        run = CliRunner().invoke(
            retention, ["--keep-days", "6", "--dry-run", "--url", database.url]
        )
        assert (run.exit_code, run.output.count("would drop")) == (0, 2), run.output
        run = CliRunner().invoke(retention, ["--keep-days", "6", "--url", database.url])
        assert (run.exit_code, run.output.count("dropped 20")) == (0, 2), run.output
        kept = sorted(days)[2:]
        assert [row[0] for row in ask(database, "SELECT day FROM event_days ORDER BY 1")] == kept
        assert ask(database, "SELECT count(*), min(day) FROM events") == [(440, kept[0])]
        assert_rollups_exact(database)
        for table in ("rollup_hour_users", "rollup_hour_demographics"):
            [(oldest,)] = ask(database, f"SELECT min(hour)::date FROM {table}")  # type: ignore[arg-type]
            assert oldest >= kept[0]
        # a late event of a dropped day is an event like any other
        late = writer.store(parts(on_days(generated(6, seed=3), [days[-1]])))
        assert late.inserted == 6
        assert_rollups_exact(database)
        compact_all(database)
        assert_rollups_exact(database)


@pytest.mark.slow
def test_retention_while_the_dropped_day_is_written(database: Database) -> None:
    day = days_ago(9)
    over = threading.Event()
    faults: list[Exception] = []

    def write(seed: int) -> None:
        with writer_to(database) as writer:
            number = 0
            while not over.is_set():
                number += 1
                try:
                    writer.store(parts(on_days(generated(20, seed=seed * 1000 + number), day)))
                    compact_all(database)
                except Exception as error:
                    faults.append(error)
                    return

    threads = [threading.Thread(target=write, args=[seed]) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        wait_until(lambda: faults or ask(database, "SELECT count(*) > 0 FROM events")[0][0], 30)
        drop_days_before(database.url, days_ago(8)[0])
    over.set()
    for thread in threads:
        thread.join()
    assert not faults
    assert_rollups_exact(database)


def test_sealing_builds_the_indexes_and_late_events_are_welcome(database: Database) -> None:
    [today, yesterday, before] = days_ago(0, 2, 3)
    with writer_to(database) as writer:
        writer.store(parts(on_days(generated(300, mix=Mix(users=30)), [today, yesterday, before])))
        run = CliRunner().invoke(seal, ["--idle-minutes", "0", "--url", database.url])
        assert (run.exit_code, run.output.count("sealed 20")) == (0, 2), run.output
        indexes = ask(
            database,
            "SELECT tablename, count(*) FROM pg_indexes WHERE tablename LIKE 'events!_%' ESCAPE '!'"
            " AND tablename <> 'events_pkey' GROUP BY 1 ORDER BY count(*)",
        )
        assert [number for _, number in indexes][1:] == [10, 10]
        assert ask(database, "SELECT DISTINCT day FROM day_users ORDER BY 1") == [
            (before,),
            (yesterday,),
        ]
        writer.store(parts(on_days(generated(300, seed=2, mix=Mix(users=30)), [before])))
        assert_rollups_exact(database)
    assert seal_finished_days(database.url, NOW) == []


def test_day_that_is_being_filled_is_not_sealed(database: Database) -> None:
    with writer_to(database) as writer:
        writer.store(parts(on_days(generated(20), days_ago(5))))
    assert seal_finished_days(database.url, timedelta(minutes=30)) == []
    with psycopg.connect(database.url) as connection:
        connection.execute("UPDATE events SET received_at = now() - interval '31 minutes'")
    assert seal_finished_days(database.url, timedelta(minutes=30)) == days_ago(5)


def test_interrupted_index_build_is_repeated(database: Database) -> None:
    [day] = days_ago(3)
    with writer_to(database) as writer:
        writer.store(parts(on_days(generated(50), [day])))
    name = f"events_{day:%Y%m%d}_user"
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(f"CREATE INDEX {name} ON events_{day:%Y%m%d} (user_id)".encode())
        connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [name]
        )
    assert seal_finished_days(database.url, NOW) == [day]
    [(definition,)] = ask(database, "SELECT indexdef FROM pg_indexes WHERE indexname = %s", name)
    assert "(user_id, occurred_at)" in definition


def test_cron_trigger_in_the_database_does_the_same(database: Database) -> None:
    days = days_ago(2, 5)
    with writer_to(database) as writer:
        writer.store(parts(on_days(generated(100), days)))
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("SELECT seal_day(day) FROM days_to_seal('0 s') AS day")
        connection.execute("CALL drop_days_before((now() AT TIME ZONE 'UTC')::date - 3)")
    assert ask(database, "SELECT day, sealed_at IS NOT NULL FROM event_days") == [(days[0], True)]
    assert_rollups_exact(database)


def test_housekeeping_seals_and_drops_by_itself(database: Database) -> None:
    days = days_ago(0, 2, 9)
    with writer_to(database) as writer:
        writer.store(parts(on_days(generated(90), days)))
    stop = housekeeping.start(database.url, keep_days=5, idle=NOW, interval=0.05)
    try:
        wait_until(
            lambda: (
                ask(database, "SELECT day, sealed_at IS NOT NULL FROM event_days ORDER BY day")
                == [(days[1], True), (days[0], False)]
            ),
            60,
        )
    finally:
        stop()
    assert_rollups_exact(database)
