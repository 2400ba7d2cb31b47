"""`universe erase`: a person is gone from the database, and reports equal the events that stay.

Protects "universe erase --user ID (and by source) deletes a person from events, exact user tables,
pending deltas and rebuilds what was summed for the touched days, so that every report equals the
same report over events afterwards, sketches included; resumable; a record without the person".
"""

import json
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from click.testing import CliRunner, Result

from functions.process_batch.compaction import compact
from infra.cli.load.event_generator import Mix
from infra.cli.main import main
from infra.database.seal import seal_finished_days
from infra.local.servers.postgres import EmbeddedPostgres
from tests.conftest import Database
from tests.support import oracle
from tests.support.analytics import Analytics, analytics
from tests.support.platform import UNIVERSE
from tests.support.reports import assert_reports_exact, assert_users_exact
from tests.support.sketches import unite_hll, unite_theta
from tests.support.storage import Event, ask, assert_rollups_exact, compact_all
from tests.support.stored_events import compact_deltas, generated, store
from tests.support.tied_process import TiedProcess

EVENTS = generated(1800, seed=21, mix=Mix(days=6, users=60, shuffled=7200))
LATE = generated(200, seed=22, mix=Mix(days=6, users=60))


def user_of(event: Event) -> str:
    return event["data"]["user"]["userId"]


PERSON = Counter(map(user_of, EVENTS)).most_common(1)[0][0]


def fill(url: str) -> None:
    """Store events so that some days are sealed, some deltas pend, some events came late."""
    store(url, EVENTS[:1200])
    compact_deltas(url)
    seal_finished_days(url, timedelta(0))
    store(url, EVENTS[1200:])
    compact_deltas(url, max_deltas=200)
    store(url, LATE)


def erase(url: str, *options: str, user: str = PERSON, text: str | None = None) -> Result:
    arguments = ["erase", "--user", user, "--url", url, "--no-nats", *options]
    return CliRunner().invoke(main, arguments, input=text)


@pytest.fixture
def live(postgres: EmbeddedPostgres, migrated_template: str, tmp_path: Path) -> Iterator[Analytics]:
    with analytics(postgres, migrated_template, tmp_path) as running:
        fill(running.owner_url)
        yield running


def database_of(live: Analytics) -> Database:
    return Database("", live.owner_url, live.owner_url, live.owner_url)


def remaining(events: list[Event], source: str | None = None) -> list[Event]:
    return [
        event
        for event in events
        if user_of(event) != PERSON or source not in (None, event["source"])
    ]


def check(live: Analytics, expected: list[Event]) -> None:
    """Check that exactly these events are stored, and that every rollup and report equals them."""
    database = database_of(live)
    stored = ask(database, "SELECT event_id, day::text FROM events")
    assert len(stored) == len(set(stored))
    facts = oracle.facts(expected)
    assert len(stored) == len(facts)
    for pending in (True, False):  # as it was left, and with every delta compacted
        assert_rollups_exact(database)
        assert_sketches_exact(database)
        assert_reports_exact(live)
        assert_users_exact(live, facts)
        if pending:
            compact_all(database)


def users_in(database: Database, table: LiteralString) -> dict[tuple[Any, Any, Any], list[str]]:
    """Return the users in a table by day, source and stage."""
    grouped = ask(
        database,
        f"SELECT day, source, funnel_stage, array_agg(DISTINCT user_id) FROM {table}"
        " GROUP BY 1, 2, 3",
    )
    return {(day, source, stage): users for day, source, stage, users in grouped}


def assert_sketches_exact(database: Database) -> None:
    """Compare each day's sketches with those made of the users of the events."""
    stored = ask(
        database,
        "SELECT day, source, funnel_stage, hll, theta FROM rollup_day_users"
        " WHERE event_type = '' ORDER BY 1, 2, 3",
    )
    raw, pending = users_in(database, "events"), users_in(database, "live_pending_users")
    sketches = {(day, source, stage): (hll, theta) for day, source, stage, hll, theta in stored}
    for key, users in raw.items():
        hll, theta = sketches.pop(key, (None, None))
        late = pending.get(key, [])
        assert round(unite_hll([hll] if hll else [], late)) == len(users), key
        assert unite_theta([theta] if theta else [], late).get_estimate() == len(users), key
    assert not sketches, "sketches of days and sources that have no events"


def traces(database: Database, text: str) -> list[str]:
    """Return the tables that hold a text anywhere."""
    found: list[str] = []
    tables = ask(
        database,
        "SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_namespace AS n"
        " ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relkind = 'r'",
    )
    with psycopg.connect(database.url) as connection:
        for (table,) in tables:
            [(number,)] = connection.execute(
                f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE %s".encode(), [f"%{text}%"]
            ).fetchall()
            if number:
                found.append(table)
    return found


@pytest.mark.slow
def test_every_report_equals_the_events_that_stay(live: Analytics) -> None:
    done = erase(live.owner_url, "--yes", "--json", "--reference", "request-17")
    assert done.exit_code == 0, done.output
    mine = [event for event in EVENTS + LATE if user_of(event) == PERSON]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["events"] == len(oracle.facts(mine))
    check(live, remaining(EVENTS + LATE))
    assert traces(database_of(live), PERSON) == []
    again = erase(live.owner_url, "--yes")
    assert "erased 0 events on 0 days" in again.output
    check(live, remaining(EVENTS + LATE))


@pytest.mark.slow
def test_only_events_of_one_source(live: Analytics) -> None:
    sources = {event["source"] for event in EVENTS if user_of(event) == PERSON}
    (source,) = sources  # generated users have one source: give this one events of the other
    other = next(event for event in EVENTS if event["source"] != source)
    data = {**other["data"], "user": {**other["data"]["user"], "userId": PERSON}}
    added = [{**other, "eventId": "of-the-other-source", "data": data}]
    store(live.owner_url, added)
    done = erase(live.owner_url, "--yes", "--source", source)
    assert done.exit_code == 0, done.output
    check(live, remaining(EVENTS + LATE, source) + added)


def test_what_is_left_of_events_that_were_deleted_by_hand_goes_too(live: Analytics) -> None:
    with psycopg.connect(live.owner_url, autocommit=True) as connection:
        connection.execute("DELETE FROM events WHERE user_id = %s", [PERSON])
    assert erase(live.owner_url, "--yes").exit_code == 0
    assert traces(database_of(live), PERSON) == []


def test_dry_run_and_no_change_nothing(live: Analytics) -> None:
    mine = oracle.facts([event for event in EVENTS + LATE if user_of(event) == PERSON])
    days = {fact.at.date() for fact in mine}
    before = ask(database_of(live), "SELECT count(*) FROM events")
    done = erase(live.owner_url, "--dry-run")
    assert f"{len(mine)} events on {len(days)} days" in done.output
    refused = erase(live.owner_url, text="n\n")
    assert refused.exit_code == 1
    assert ask(database_of(live), "SELECT count(*) FROM events") == before
    assert ask(database_of(live), "SELECT count(*) FROM erasures") == [(0,)]


def test_the_record_does_not_hold_the_person(database: Database) -> None:
    fill(database.url)
    assert erase(database.url, "--yes", "--reference", "request-17").exit_code == 0
    listed = CliRunner().invoke(main, ["erasures", "--url", database.url, "--json"])
    record = json.loads(listed.stdout)
    assert record["reference"] == "request-17"
    assert record["finished"]
    assert record["events"] > 0
    assert record["days"] > 0
    assert PERSON not in listed.stdout
    columns = ask(
        database,
        "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'erasures'",
    )
    assert {name for (name,) in columns} == {
        "id", "reference", "source", "started_at", "finished_at", "events", "days", "dead_letters",
    }  # fmt: skip


def test_another_role_is_refused_in_one_line(database: Database) -> None:
    store(database.url, EVENTS[:50])
    for url in (database.writer_url, database.reader_url):
        done = erase(url, "--yes", user=user_of(EVENTS[0]))
        assert done.exit_code == 1
        assert "owner" in done.output
        assert "Traceback" not in done.output


def test_a_database_without_nats_has_to_be_said(database: Database) -> None:
    arguments = ["erase", "--user", "u", "--url", database.url, "--yes"]
    done = CliRunner().invoke(main, arguments, env={"NATS_URL": ""})
    assert done.exit_code == 1
    assert "--no-nats" in done.output


class Beside(threading.Thread):
    """Does something again and again until it is told to stop."""

    def __init__(self, work: Any) -> None:
        super().__init__()
        self.work = work
        self.stopped = threading.Event()
        self.fault: BaseException | None = None
        self.start()

    def run(self) -> None:
        while not self.stopped.is_set():
            try:
                self.work()
            except BaseException as error:
                self.fault = error
                return

    def end(self) -> None:
        self.stopped.set()
        self.join()
        if self.fault:
            raise self.fault


@pytest.mark.slow
def test_killed_at_any_moment_while_events_come_and_reports_run(live: Analytics) -> None:
    url = live.owner_url
    chance = random.Random(5)
    fresh = remaining(generated(6000, seed=23, mix=Mix(days=6, users=300)))
    batches = [fresh[at : at + 40] for at in range(0, len(fresh), 40)]
    sent: list[Event] = []

    def write() -> None:
        if batches:
            batch = batches.pop()
            store(url, batch)
            sent.extend(batch)
        time.sleep(0.05)

    def fold() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            compact(connection)
        seal_finished_days(url, timedelta(0))
        time.sleep(0.2)

    def read() -> None:
        for name in ("overview", "users", "demographics"):
            live.report(name)

    def progress() -> list[tuple[object, ...]]:
        return ask(database_of(live), "SELECT count(*), sum(days) FROM erasures")

    beside = [Beside(write), Beside(fold), Beside(read)]
    command = [UNIVERSE, "erase", "--user", PERSON, "--url", url, "--no-nats", "--yes"]
    kills = 0
    try:
        for _ in range(12):
            before = progress()
            process = TiedProcess(
                [*command, "--reference", "request-18"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            while process.poll() is None and progress() == before:
                time.sleep(0.005)
            time.sleep(chance.random() * 0.1)  # about what a day takes
            if process.poll() is None:
                process.kill()
                kills += 1
            process.wait()
        done = erase(url, "--yes", "--reference", "request-18")
        assert done.exit_code == 0, done.output
    finally:
        for each in beside:
            each.end()
    assert kills
    check(live, remaining(EVENTS + LATE) + sent)
    records = ask(database_of(live), "SELECT count(*), sum(events)::int FROM erasures")
    mine = [event for event in EVENTS + LATE if user_of(event) == PERSON]
    assert records[0][1] == len(oracle.facts(mine))


@pytest.mark.slow
def test_events_written_between_the_steps_are_counted_once(live: Analytics) -> None:
    """Writers commit, and compaction tries to run, in the middle of a day's transaction."""
    fresh = remaining(generated(300, seed=24, mix=Mix(days=6, users=100)))
    url = live.owner_url
    stop = threading.Event()
    sent: list[Event] = []

    def write() -> None:
        for at in range(0, len(fresh), 5):
            if stop.is_set():
                return
            store(url, fresh[at : at + 5])
            sent.extend(fresh[at : at + 5])
            with psycopg.connect(url, autocommit=True) as connection:
                compact(connection)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        done = erase(url, "--yes")
        assert done.exit_code == 0, done.output
    finally:
        stop.set()
        writing.join()
    check(live, remaining(EVENTS + LATE) + sent)
