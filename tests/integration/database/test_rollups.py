"""Rollups equal the events, whatever the order, the duplicates and the concurrency."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.common.sketches import HLL_ERROR, THETA_ERROR
from functions.process_batch.compaction import CompactionResult, compact
from functions.process_batch.rows import EventRow
from functions.process_batch.writer import Writer
from infra.cli.load.event_generator import Mix
from infra.database.seal import seal_finished_days
from tests.conftest import Database
from tests.support import kinds
from tests.support.sketches import in_common, unite_hll, unite_theta
from tests.support.storage import (
    Event,
    ask,
    assert_rollups_exact,
    compact_all,
    parts,
    writer_to,
)
from tests.support.stored_events import generated

POOL = generated(400, mix=Mix(days=3, users=40))
"""Events that every example takes its batches from, so that batches overlap."""

batches = st.lists(
    st.lists(st.integers(0, len(POOL) - 1), min_size=1, max_size=60), min_size=1, max_size=8
)
# what happens beside the writers: nothing, compaction, or sealing of the days that are over
beside = st.lists(st.sampled_from(["compact", "seal", "read"]), max_size=4)


@pytest.mark.parametrize("part", kinds.quick_first(range(4)))
@settings(
    # an example takes as long as a hundred of another property, and all before it are read again
    max_examples=max(settings().max_examples // 28, 14),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(chosen=batches, meanwhile=beside)
def test_rollups_equal_events_after_any_interleaving(
    database: Database, part: int, chosen: list[list[int]], meanwhile: list[str]
) -> None:
    # examples add up in the database of a part: each has events of its own, and starts from
    # whatever the ones before left compacted, pending or sealed
    example = uuid4().hex
    pool = [event | {"eventId": f"{example}-{event['eventId']}"} for event in POOL]
    act: dict[str, Callable[[], object]] = {
        "compact": lambda: compact_all(database),
        "seal": lambda: seal_finished_days(database.url, timedelta(0)),
        "read": lambda: assert_rollups_exact(database),
    }
    with writer_to(database) as writer, ThreadPoolExecutor(4) as threads:
        work = [threads.submit(store, writer, [pool[i] for i in batch]) for batch in chosen]
        work += [threads.submit(act[name]) for name in meanwhile]
        for each in work:
            each.result(timeout=120)
    assert_rollups_exact(database)


def store(writer: Writer, events: list[Event]) -> int:
    return writer.store(parts(events)).inserted


def test_same_events_from_many_writers_are_stored_once(database: Database) -> None:
    events = generated(600, mix=Mix(days=2))
    with writer_to(database) as writer, ThreadPoolExecutor(4) as threads:
        inserted = list(threads.map(lambda _: store(writer, events), range(8)))
    assert sum(inserted) == 600
    assert ask(database, "SELECT count(*), count(DISTINCT event_id) FROM events") == [(600, 600)]
    assert_rollups_exact(database)


def test_same_events_in_opposite_order_at_the_same_moment(database: Database) -> None:
    # so many that the server has written some of them before it has got all
    there = parts(generated(6000), size=3000)
    back_again = [part[::-1] for part in there[::-1]]
    both_began = threading.Barrier(2)

    def slowly(batch: list[list[EventRow]]) -> Iterator[list[EventRow]]:
        yield batch[0]
        both_began.wait(20)
        yield batch[1]

    with writer_to(database) as writer, ThreadPoolExecutor(2) as threads:
        stored = list(threads.map(lambda b: writer.store(slowly(b)), [there, back_again]))
    assert sorted((each.inserted, each.duplicates) for each in stored) == [(0, 6000), (6000, 0)]
    assert_rollups_exact(database)


@pytest.mark.parametrize("what", ["a known event", "a new day", "a row that is refused", "all"])
def test_what_cannot_be_copied_comes_after_much_that_can(database: Database, what: str) -> None:
    events = generated(40, mix=Mix(days=0.01))
    everything = what == "all"
    with writer_to(database) as writer:
        known = everything or what == "a known event"
        if known:
            store(writer, [events[-1]])
        if everything or what == "a new day":
            events[-2]["timestamp"] = "2023-05-05T12:00:00Z"
        batch = parts(events)
        broken = everything or what == "a row that is refused"
        if broken:
            row = batch[-2][0]
            batch[-2][0] = row._replace(line=row.line.replace("\t{", "\t{{", 1))
        stored = writer.store(batch)
    assert (stored.inserted, stored.duplicates) == (40 - known - broken, known)
    assert [row for row, _ in stored.rejected] == ([batch[-2][0]] if broken else [])
    assert_rollups_exact(database)


def test_a_source_of_rows_that_fails_leaves_nothing_behind(database: Database) -> None:
    def failing() -> Iterator[list[EventRow]]:
        yield from parts(generated(20))
        raise ZeroDivisionError

    with writer_to(database) as writer:
        with pytest.raises(ZeroDivisionError):
            writer.store(failing())
        assert ask(database, "SELECT count(*) FROM events") == [(0,)]
        assert store(writer, generated(20)) == 20
    assert_rollups_exact(database)


def test_overlapping_writers_while_deltas_are_compacted(database: Database) -> None:
    events = generated(2000, mix=Mix(days=1))
    over = threading.Event()
    faults: list[BaseException] = []

    def keep(action: Callable[[], object]) -> None:
        while not over.is_set():
            try:
                action()
            except BaseException as error:
                faults.append(error)
                return

    beside = [
        threading.Thread(target=keep, args=[lambda: compact_all(database)]),
        threading.Thread(target=keep, args=[lambda: assert_totals_agree(database)]),
    ]
    for thread in beside:
        thread.start()
    with writer_to(database) as writer, ThreadPoolExecutor(3) as threads:
        parts = [events[at : at + 150] for at in range(0, 2000, 100)]
        inserted = list(threads.map(lambda part: store(writer, part), parts))
    over.set()
    for thread in beside:
        thread.join()
    assert not faults
    assert sum(inserted) == 2000
    compact_all(database)
    assert ask(database, "SELECT count(*) FROM rollup_deltas") == [(0,)]
    assert_rollups_exact(database)


def assert_totals_agree(database: Database) -> None:
    """Any snapshot taken in the middle has rollups and events agree."""
    [(raw, by_hour, by_day)] = ask(
        database,
        "SELECT (SELECT count(*) FROM events),"
        " (SELECT coalesce(sum(events), 0) FROM live_hour_countries),"
        " (SELECT coalesce(sum(events), 0) FROM live_day_types)",
    )
    assert raw == by_hour == by_day


def test_two_processes_do_not_compact_at_once(database: Database) -> None:
    with writer_to(database) as writer:
        store(writer, generated(50))
    deltas = pending(database)
    with (
        psycopg.connect(database.writer_url) as one,
        psycopg.connect(database.writer_url, autocommit=True) as two,
    ):
        assert one.execute("SELECT try_rollups_lock()").fetchone() == (True,)
        assert compact(two) is None
        one.rollback()
        assert compact(two) == CompactionResult(deltas, 50)
        assert compact(two) == CompactionResult(0, 0)


def test_compaction_takes_no_more_than_it_may(database: Database) -> None:
    with writer_to(database) as writer:
        store(writer, generated(500))
    left = [pending(database)]
    with psycopg.connect(database.writer_url, autocommit=True) as connection:
        while left[-1]:
            assert compact(connection, max_deltas=30, max_events=40)
            left.append(pending(database))
            assert_totals_agree(database)
    assert max(before - after for before, after in pairwise(left)) <= 30
    assert len(left) > 500 / 41
    assert_rollups_exact(database)


def pending(database: Database) -> int:
    return ask(database, "SELECT count(*) FROM rollup_deltas")[0][0]


@pytest.mark.parametrize("compacted", [False, True])
def test_strange_texts_survive_the_rollups(database: Database, compacted: bool) -> None:
    odd = ['a"b', "back\\slash", "tab\there", "new\nline", "{brace,comma}", "NULL", "\\N", " "]
    odd += ["é漢🎉", "a=b", "\u2028", "'"]
    events = generated(len(odd))
    for text, event in zip(odd, events, strict=True):
        template = generated(200, seed=7)
        event.update(next(e for e in template if e["eventType"] == "checkout.complete"))
        event["eventId"] = f"odd {text}"
        user = event["data"]["user"]
        user["userId"] = user["location"]["country"] = user["location"]["city"] = text
        event["data"]["engagement"]["campaignId"] = text
    with writer_to(database) as writer:
        assert store(writer, events) == len(odd)
    pending = {row[0] for row in ask(database, "SELECT user_id FROM live_pending_users")}
    assert pending == set(odd)
    if compacted:
        compact_all(database)
    assert {row[0] for row in ask(database, "SELECT event_id FROM events")} == {
        f"odd {text}" for text in odd
    }
    assert_rollups_exact(database)


@pytest.mark.slow
def test_unique_users_are_estimated_within_the_bound(database: Database) -> None:
    events = generated(20_000, mix=Mix(days=1, users=8000))
    with writer_to(database) as writer:
        for at in range(0, 20_000, 5000):
            store(writer, events[at : at + 5000])
            if at != 15_000:
                compact_all(database)  # the last batch stays in the deltas
    for grain in ("hour", "day"):
        with psycopg.connect(database.url) as connection:
            stored = connection.execute(
                f"SELECT funnel_stage, hll, theta FROM rollup_{grain}_users"
                " WHERE event_type = ''".encode()
            ).fetchall()
            pending = connection.execute(
                "SELECT funnel_stage, user_id FROM live_pending_users"
            ).fetchall()
        [(exact,)] = ask(database, "SELECT count(DISTINCT user_id) FROM events")
        estimate = unite_hll([row[1] for row in stored], [user for _, user in pending])
        assert abs(estimate - exact) <= 2 * HLL_ERROR * exact
        top, bottom = (
            unite_theta(
                [theta for name, _, theta in stored if name == stage],
                [user for name, user in pending if name == stage],
            )
            for stage in ("top", "bottom")
        )
        [(both,)] = ask(
            database,
            "SELECT count(*) FROM (SELECT user_id FROM events WHERE funnel_stage = 'top'"
            " INTERSECT SELECT user_id FROM events WHERE funnel_stage = 'bottom') AS common",
        )
        assert abs(in_common(top, bottom) - both) <= 2 * THETA_ERROR * exact


def test_late_events_of_a_sealed_day(database: Database) -> None:
    day = datetime.now(UTC) - timedelta(days=3)
    early, late, pending_events = (
        generated(300, seed=seed, mix=Mix(days=0.2, users=50)) for seed in (1, 2, 3)
    )
    for events in (early, late, pending_events):
        for event in events:
            event["timestamp"] = day.replace(hour=event_hour(event)).isoformat()
    with writer_to(database) as writer:
        store(writer, early)
        assert seal_finished_days(database.url, timedelta(0)) == [day.date()]
        assert ask(database, "SELECT count(*) > 0 FROM day_users") == [(True,)]
        store(writer, late)
        assert_rollups_exact(database)
        compact_all(database)
        assert_rollups_exact(database)
        store(writer, pending_events)
        assert_rollups_exact(database)
    # the figures of users with late events that are not compacted come from the events
    assert seal_finished_days(database.url, timedelta(0)) == []


def event_hour(event: Event) -> int:
    return datetime.fromisoformat(event["timestamp"]).hour
