"""One request with events of very many days costs what it may cost, and holds up nobody."""

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import nats
import psycopg
import pytest
from nats.js import JetStreamContext
from psycopg import sql

from functions.process_batch.writer import MAX_DAYS, Writer
from infra.cli.load.event_generator import generate
from tests.conftest import Database
from tests.support.connector import ConnectorProcess
from tests.support.jetstream import backlog, publish, streams
from tests.support.net import eventually
from tests.support.storage import (
    BATCH,
    Event,
    ask,
    assert_rollups_exact,
    cloud_event,
    compact_all,
    parts,
    pool_of,
    post,
    process_batch,
)

MAX_NEW = 20
EXEMPT = 3
"""Today and the two days before, which never wait."""


def on_days(count: int, first_age: int = 10, per_day: int = 1, seed: int = 1) -> list[Event]:
    """Return valid events on so many days, each on a day of its own or several on one."""
    today = datetime.now(UTC).date()
    events = [each.event for each in generate(count * per_day, seed)]
    for place, event in enumerate(events):
        day = today - timedelta(days=first_age + place // per_day)
        event["timestamp"] = f"{day}T12:00:00Z"
    return events


def fresh(count: int = 1, seed: int = 99) -> list[Event]:
    """Return valid events of this moment."""
    now = datetime.now(UTC).isoformat()
    return [{**each.event, "timestamp": now} for each in generate(count, seed)]


def partitions(database: Database) -> int:
    return ask(database, "SELECT count(*) FROM event_days")[0][0]


def stored(database: Database) -> int:
    return ask(database, "SELECT count(*) FROM events")[0][0]


def let_a_minute_pass(database: Database) -> None:
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("UPDATE event_days SET created_at = created_at - interval '1 minute'")


def test_all_writers_together_make_so_many_partitions_a_minute(database: Database) -> None:
    """Section 4, row 1: new partitions a minute are bounded, over replicas and at the same time."""
    days = [date(2025, 1, 1) + timedelta(days=number) for number in range(200)]

    def ensure(session: int) -> set[date]:
        with psycopg.connect(database.writer_url, autocommit=True) as connection:
            rows = connection.execute(
                "SELECT ensure_partitions_within(%s, %s)", [days[session::2], MAX_NEW]
            )
            return {row[0] for row in rows}

    with ThreadPoolExecutor(8) as threads:
        waiting = list(threads.map(ensure, [0, 1] * 4))
    assert partitions(database) == MAX_NEW
    assert len(waiting[0] | waiting[1]) >= 200 - MAX_NEW
    let_a_minute_pass(database)
    ensure(0)
    made = {row[0] for row in ask(database, "SELECT day FROM event_days")}
    assert len(made) == 2 * MAX_NEW
    assert days[-2] in made, "the latest days come first"


def test_a_call_makes_fewer_where_there_are_many(database: Database) -> None:
    """Each takes longer then; a fresh event waits for one call at most, and that stays short."""
    days = [date(2001, 1, 1) + timedelta(days=number) for number in range(100)]
    with psycopg.connect(database.url, autocommit=True) as owner:
        owner.execute(
            "INSERT INTO event_days (day, created_at) SELECT DATE '2010-01-01' + n, now() - "
            "interval '1 hour' FROM generate_series(1, 5000) AS n"
        )

    def ensure() -> int:
        before = partitions(database)
        ask(database, "SELECT ensure_partitions_within(%s, 1000)", days)
        return partitions(database) - before

    made = [ensure() for _ in range(3)]
    assert all(0 < each <= 10 for each in made), "and the next calls make the next"


def test_what_happens_now_never_waits(database: Database) -> None:
    """The partition of today is made, whatever has used up the minute."""
    with pool_of(database) as pool:
        writer = Writer(pool, MAX_NEW)
        assert writer.store(parts(on_days(100))).inserted == MAX_NEW
        another = Writer(pool, MAX_NEW)
        result = another.store(parts(fresh() + on_days(50, 500)))
        assert (result.inserted, len(result.waiting)) == (1, 50)
    assert stored(database) == MAX_NEW + 1


def test_looking_for_events_locks_their_days_only(database: Database, tmp_path: Path) -> None:
    """With thousands of partitions, a lock of each fills the server's table, and nothing is stored.

    PostgreSQL plans a prepared statement for any day after some executions, and locks every
    partition for that.
    """
    [other, *events] = on_days(21)
    with (
        process_batch(database.writer_url, tmp_path / "log", DB_POOL_MAX="1") as function,
        psycopg.connect(database.url) as owner,
    ):
        assert post(function, [other, *events]).json()["inserted"] == 21
        name = f"events_{other['timestamp'][:10].replace('-', '')}"
        owner.execute(sql.SQL("LOCK TABLE {}").format(sql.Identifier(name)))
        again = {**cloud_event(1, events), "deliverycount": 2}
        assert post(function, [again], BATCH).status_code == 200


def test_events_wait_one_by_one_and_are_stored_once(database: Database) -> None:
    """The rest of a batch is stored at once, what waits later, each once, and reports are exact."""
    events = fresh(30) + on_days(100, per_day=3)
    with pool_of(database) as pool:
        writer = Writer(pool, MAX_NEW)
        first = writer.store(parts(events))
        assert first.inserted == 30 + 3 * (MAX_NEW - 1)  # and the partition of today
        assert len(first.waiting) == 330 - first.inserted
        assert_rollups_exact(database)
        waiting = len(first.waiting)
        while waiting:
            let_a_minute_pass(database)
            again = writer.store(parts(events), redelivered=True)
            assert again.inserted + again.duplicates + len(again.waiting) == 330
            assert len(again.waiting) == max(waiting - 3 * MAX_NEW, 0)
            waiting = len(again.waiting)
    assert stored(database) == 330
    compact_all(database)
    assert_rollups_exact(database)


def test_one_batch_makes_few_partitions_whatever_a_minute_allows(database: Database) -> None:
    """A batch of very many days ends soon: others wait for its place, and for the same lock."""
    with pool_of(database) as pool:
        result = Writer(pool, 100_000).store(parts(on_days(400)))
    assert result.inserted == partitions(database) == MAX_DAYS
    assert len(result.waiting) == 400 - MAX_DAYS


def test_waiting_messages_are_deferred_and_nothing_is_dead_twice(
    database: Database, tmp_path: Path
) -> None:
    """The answer defers the messages that hold such events, and only these."""
    invalid = {"eventId": "bad"}
    batch = [
        cloud_event(1, [*fresh(3), invalid]),
        cloud_event(2, [invalid, *on_days(100)]),
        cloud_event(3, on_days(5, 3, seed=2)),
        cloud_event(4, fresh(1, seed=98)),
    ]
    with process_batch(
        database.writer_url, tmp_path / "log", MAX_NEW_PARTITIONS=str(MAX_NEW)
    ) as function:
        answer = post(function, batch, BATCH)
        assert answer.status_code == 200
        failures = {each["itemIdentifier"]: each for each in answer.json()["batchItemFailures"]}
        assert failures.keys() == {"EVENTS:1", "EVENTS:2"}
        assert failures["EVENTS:1"]["disposition"] == "dead"
        assert failures["EVENTS:2"]["disposition"] == "defer"
        assert 15 <= failures["EVENTS:2"]["retryAfter"] <= 30
        assert "events" not in failures["EVENTS:2"]
        answer = post(function, on_days(100))
        assert answer.status_code == 503
        assert 0 < int(answer.headers["Retry-After"]) <= 30
        let_a_minute_pass(database)
        for _ in range(5):
            answer = post(function, [batch[1]], BATCH)
            let_a_minute_pass(database)
    [dead] = answer.json()["batchItemFailures"]
    assert (dead["disposition"], [each["index"] for each in dead["events"]]) == ("dead", [0])
    assert stored(database) == 4 + 100 + 5


@pytest.fixture
async def js(nats_url: str) -> AsyncIterator[JetStreamContext]:
    nc = await nats.connect(nats_url)
    yield await streams(nc)
    await nc.close()


async def visible(database: Database, event: Event, js: JetStreamContext) -> float:
    """Publish an event, and return after how many seconds it is stored."""
    started = time.monotonic()
    await publish(js, event)
    query = "SELECT count(*) FROM events WHERE event_id = %s"

    async def there() -> bool:
        return ask(database, query, event["eventId"]) == [(1,)]

    await eventually(there, 60)
    return time.monotonic() - started


@asynccontextmanager
async def delivering(
    database: Database, nats_url: str, folder: Path, max_ack_pending: int = 20_000, **settings: str
) -> AsyncIterator[ConnectorProcess]:
    """Run process-batch and a connector that delivers to it."""
    settings = {"DEFERRAL_INTERVAL": "2s", "MAX_EVENT_AGE_DAYS": "20000", **settings}
    with (
        process_batch(database.writer_url, folder / "function.log", **settings) as function,
        ConnectorProcess(
            folder,
            nats_url,
            FUNCTION_URL=function.url,
            NATS_MAX_ACK_PENDING=str(max_ack_pending),
        ) as connector,
    ):
        connector.start().bound()
        yield connector


@pytest.mark.slow
async def test_a_new_event_is_visible_while_9800_days_wait(
    database: Database, js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    """Section 4, row 1: the rest waits without holding up fresh events, no attempt is charged."""
    old = on_days(9800)
    async with delivering(database, nats_url, tmp_path) as connector:
        await publish(js, *(old[at : at + 500] for at in range(0, len(old), 500)), counted=True)
        seen = []
        for event in fresh(8):
            seen.append(await visible(database, event, js))
            await asyncio.sleep(0.4)
        assert max(seen) < 30, seen  # a second or two, unless the machine is very busy
        assert partitions(database) <= 60 + EXEMPT
        metrics = connector.metrics()
        assert metrics["deferred_messages_total"] > len(old) / 500, "they came more than once"
        assert metrics.get("retried_messages_total", 0) == 0
        assert await backlog(js) == 20, "all of them wait"
    assert await backlog(js, "EVENTS_DLQ") == 0


@pytest.mark.slow
async def test_what_waits_is_stored_in_the_end_exactly_once(
    database: Database, js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    """All old events are stored, each once, however often their messages were delivered."""
    old = on_days(150, per_day=2)
    async with delivering(
        database, nats_url, tmp_path, MAX_NEW_PARTITIONS=str(MAX_NEW), DEFERRAL_INTERVAL="1s"
    ) as connector:
        await publish(js, *(old[at : at + 50] for at in range(0, len(old), 50)), counted=True)
        await eventually(lambda: deferred(connector, 6), 30)

        async def drained() -> bool:
            let_a_minute_pass(database)  # minutes are short here
            return await backlog(js) == 0

        await eventually(drained, 90, every=0.2)
        metrics = connector.metrics()
        assert metrics["done_events_total"] == len(old)
        assert metrics.get("dead_events_total", 0) == 0
    assert stored(database) == len(old)
    assert partitions(database) == 150
    assert await backlog(js, "EVENTS_DLQ") == 0
    assert_rollups_exact(database)


async def deferred(connector: ConnectorProcess, messages: int) -> bool:
    return connector.metrics().get("deferred_messages_total", 0) >= messages


async def test_deferred_messages_take_no_place_of_new_ones(
    database: Database, js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    """More messages wait than may be unacknowledged: the server delivers new ones all the same."""
    old = on_days(200)
    async with delivering(
        database, nats_url, tmp_path, 50, MAX_NEW_PARTITIONS="1", DEFERRAL_INTERVAL="300s"
    ) as connector:
        await publish(js, *([event] for event in old), counted=True)
        await eventually(lambda: deferred(connector, len(old) - 1), 60)
        [event] = fresh()
        await visible(database, event, js)  # long before any of them is delivered again
