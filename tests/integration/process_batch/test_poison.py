"""Rows that the database or the contract refuses do not hold up their neighbours."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.local.servers.postgres import EmbeddedPostgres
from tests.conftest import Database, fresh_database
from tests.support.functions import Function
from tests.support.storage import (
    BATCH,
    Event,
    ask,
    assert_rollups_exact,
    cloud_event,
    parts,
    post,
    process_batch,
    writer_to,
)
from tests.support.stored_events import generated


@pytest.fixture
def function(database: Database, tmp_path: Path) -> Iterator[Function]:
    with process_batch(database.writer_url, tmp_path / "log") as process:
        yield process


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def with_name(event: Event, name: str) -> str:
    user = event["data"]["user"]
    user["name" if "name" in user else "username"] = "NAME"
    return json.dumps(event).replace('"NAME"', name)


def with_unknown(event: Event, value: str) -> str:
    return json.dumps(event | {"unknown": "VALUE"}).replace('"VALUE"', value)


# what is sent, and a word of the reason why it is dead, or None where it can be stored
POISON: dict[str, tuple[Any, str | None]] = {
    "NUL in a string": (lambda e: with_name(e, '"a\\u0000b"'), "\\u0000"),
    "NUL in a column": (lambda e: json.dumps(e | {"eventId": "nul\0id"}), "\\u0000"),
    "NUL in an unknown field": (lambda e: with_unknown(e, '"\\u0000"'), "\\u0000"),
    "number out of range": (lambda e: with_unknown(e, "1e400"), "Out of range"),
    "exponent out of range": (lambda e: with_unknown(e, "-1e999999"), "Out of range"),
    "not a number": (lambda e: with_unknown(e, "NaN"), "Out of range"),
    "very long integer": (lambda e: with_unknown(e, "1" * 4000), None),
    "integer beyond all measure": (lambda e: with_unknown(e, "1" * 100_000), "Out of range"),
    "backslash before u0000": (lambda e: with_name(e, '"a\\\\u0000b"'), None),
    "lone surrogate": (lambda e: with_unknown(e, '"\\ud800"'), "surrogate"),
    "lone surrogate in the name": (lambda e: with_name(e, '"\\udc00x"'), "surrogate"),
    "lone surrogate in a column": (lambda e: json.dumps(e | {"eventId": "\ud800"}), "unicode"),
    "100 levels of nesting": (lambda e: with_unknown(e, json.dumps(deep(100))), None),
    "500 levels of nesting": (lambda e: with_unknown(e, json.dumps(deep(500))), None),
    "1 MiB string": (lambda e: with_unknown(e, json.dumps("x" * 2**20)), "at most 262144 are"),
    "1 MiB name": (lambda e: with_name(e, json.dumps("x" * 2**20)), "at most 200 characters"),
    "string as long as an event may have": (
        lambda e: with_unknown(e, json.dumps("x" * (250 * 2**10))),
        None,
    ),
    "duplicate keys": (lambda e: json.dumps(e)[:-1] + ',"eventId":"the last one"}', None),
    "timestamp before 2000": (
        lambda e: json.dumps(e | {"timestamp": "1999-12-31T23:59:59Z"}),
        "timestamp",
    ),
    "timestamp in the year 9999": (
        lambda e: json.dumps(e | {"timestamp": "9999-12-31T23:59:59Z"}),
        "timestamp",
    ),
    "timestamp of no calendar": (
        lambda e: json.dumps(e | {"timestamp": "2026-02-30T00:00:00Z"}),
        "timestamp",
    ),
    "long user id": (
        lambda e: json.dumps(e).replace(e["data"]["user"]["userId"], "u" * 2**20),
        "userId",
    ),
    "array in place of an event": (lambda e: json.dumps([e]), "dictionary"),
    "null": (lambda _: "null", ""),
}


@pytest.mark.parametrize("name", POISON)
def test_neighbours_of_poison_are_stored(
    function_for_all: tuple[Function, Database], name: str
) -> None:
    function, database = function_for_all
    make, reason = POISON[name]
    before = ask(database, "SELECT count(*) FROM events")[0][0]
    events = generated(12, seed=list(POISON).index(name) + 100)
    poison = make(events[5])
    message = ",".join([*map(json.dumps, events[:5]), poison, *map(json.dumps, events[6:10])])
    batch = (
        f"[{json.dumps(cloud_event(1, events[10]))},"
        f"{json.dumps(cloud_event(2, 'DATA')).replace(chr(34) + 'DATA' + chr(34), f'[{message}]')},"
        f"{json.dumps(cloud_event(3, [events[11]]))}]"
    )

    answer = post(function, batch.encode(), BATCH)

    assert answer.status_code == 200, answer.text
    stored = ask(database, "SELECT count(*) FROM events")[0][0] - before
    if reason is None:
        assert (answer.content, stored) == (b"", 12)
        return
    assert stored == 11
    [failure] = answer.json()["batchItemFailures"]
    assert (failure["itemIdentifier"], failure["disposition"]) == ("EVENTS:2", "dead")
    [dead] = failure["events"]
    assert dead["index"] == 5
    assert reason in dead["reason"]


@pytest.fixture(scope="module")
def function_for_all(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Function, Database]]:
    with fresh_database(postgres, migrated_template) as database:
        log = tmp_path_factory.mktemp("process-batch") / "log"
        with process_batch(database.writer_url, log) as function:
            yield function, database


def test_rows_that_only_the_database_refuses(function: Function, database: Database) -> None:
    events = generated(500)
    assert post(function, events[:100]).json()["inserted"] == 100
    spoiled = {*range(7, 500, 50)}
    for place in spoiled:
        if place > 100:
            events[place]["eventId"] += "-poison"
    with psycopg.connect(database.url) as connection:
        connection.execute("ALTER TABLE events ADD CHECK (event_id NOT LIKE '%poison') NOT VALID")
    answer = post(function, events).json()
    assert [each["index"] for each in answer["dead"]] == sorted(spoiled - {7, 57})
    assert all("violates check constraint" in each["reason"] for each in answer["dead"])
    assert (answer["inserted"], answer["duplicates"]) == (392, 100)
    assert ask(database, "SELECT count(*) FROM events") == [(492,)]
    assert_rollups_exact(database)


def test_batch_of_nothing_but_poison_is_quick(function: Function, database: Database) -> None:
    events = [event | {"unknown": "\0"} for event in generated(5000)]
    answer = post(function, events).json()
    assert (answer["inserted"], len(answer["dead"])) == (0, 5000)
    assert ask(database, "SELECT count(*) FROM event_days") == [(0,)]  # it never came that far


def test_poison_among_many_days(database: Database) -> None:
    events = generated(300)
    for place, event in enumerate(events):
        year, month, day = 2010 + place // 150, place // 25 % 12 + 1, place % 25 + 1
        event["timestamp"] = f"{year}-{month:02}-{day:02}T12:00:00Z"
    batch = parts(events)
    with writer_to(database) as writer:
        stored = writer.store(batch)
    assert stored.inserted == 300
    [(days,)] = ask(database, "SELECT count(*) FROM event_days")
    assert days == 300
    assert_rollups_exact(database)
