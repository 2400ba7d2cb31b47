"""process-batch as a real process, over HTTP, on a real database."""

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.support.functions import Function
from tests.support.net import plain_http
from tests.support.storage import BATCH, ask, cloud_event, post, process_batch
from tests.support.stored_events import generated


@pytest.fixture
def function(database: Database, tmp_path: Path) -> Iterator[Function]:
    with process_batch(database.writer_url, tmp_path / "log") as process:
        yield process


def count(database: Database) -> int:
    return ask(database, "SELECT count(*) FROM events")[0][0]


def test_batch_is_stored_and_acknowledged_with_an_empty_body(
    function: Function, database: Database
) -> None:
    events = generated(1000)
    batch = [cloud_event(0, events[:500]), cloud_event(1, events[500:999], callid="call-a, call-b"),
             cloud_event(2, events[999])]  # fmt: skip

    answer = post(function, batch, {**BATCH, "X-Call-Id": "call-c"})

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["X-Call-Id"] == "call-c"
    assert count(database) == 1000
    [(total, revenue)] = ask(database, "SELECT sum(events), sum(revenue) FROM live_hour_types")
    [(exact,)] = ask(database, "SELECT sum(revenue) FROM events")
    assert (total, revenue) == (1000, exact)
    lines = [json.loads(line) for line in function.log.read_text().splitlines()
             if '"batch stored"' in line]  # fmt: skip
    assert lines[0]["callIds"] == ["call-a", "call-b"]
    assert (lines[0]["callId"], lines[0]["inserted"]) == ("call-c", 1000)


def test_stored_event_is_what_was_sent(function: Function, database: Database) -> None:
    event = generated(1)[0] | {"trace": {"hop": 1}, "timestamp": "2026-11-20T01:30:00.25+02:00"}
    event["data"]["user"]["note"] = 'tab\t "quote" \\ back\nslash é 漢 \u2028'
    event["data"]["user"]["big"] = 123456789012345678901234567890
    assert post(function, event).json()["inserted"] == 1
    [row] = ask(database, "SELECT event_id, day::text, occurred_at, data, extra FROM events")
    assert row[:2] == (event["eventId"], "2026-11-19")
    assert row[2].isoformat() == "2026-11-19T23:30:00.250000+00:00"
    assert row[3] == event["data"]
    assert row[4] == {"trace": {"hop": 1}}


def test_duplicates_are_counted_once(function: Function, database: Database) -> None:
    events = generated(300)
    first = post(function, events[:200] + events[:100]).json()
    second = post(function, events[100:]).json()
    third = post(function, events).json()
    assert [(a["inserted"], a["duplicates"]) for a in (first, second, third)] == [
        (200, 100),
        (100, 100),
        (0, 300),
    ]
    assert count(database) == 300
    assert ask(database, "SELECT sum(events) FROM live_hour_types") == [(300,)]


def test_invalid_events_are_named_in_their_message(function: Function, database: Database) -> None:
    good = generated(4)
    bad = good[1] | {"eventType": "nonsense"}
    batch = [
        cloud_event(0, good[0]),
        cloud_event(1, [good[2], bad, good[3], 17]),
        cloud_event(2, bad),
        {**cloud_event(3, None), "data_base64": base64.b64encode(b"\xff{").decode()},
    ]
    failures = post(function, batch, BATCH).json()["batchItemFailures"]
    by_id = {failure["itemIdentifier"]: failure for failure in failures}
    assert set(by_id) == {"EVENTS:1", "EVENTS:2", "EVENTS:3"}
    assert {failure["disposition"] for failure in failures} == {"dead"}
    assert [(e["index"], e["eventId"]) for e in by_id["EVENTS:1"]["events"]] == [
        (1, bad["eventId"]),
        (3, None),
    ]
    assert "eventType" in by_id["EVENTS:1"]["events"][0]["reason"]
    assert [e["index"] for e in by_id["EVENTS:2"]["events"]] == [0]
    assert "events" not in by_id["EVENTS:3"]
    assert "JSON" in by_id["EVENTS:3"]["reason"]
    assert count(database) == 3


def test_every_form_of_request(function: Function, database: Database) -> None:
    events = generated(6)
    structured = post(function, cloud_event(0, events[0]),
                      {"Content-Type": "application/cloudevents+json"})  # fmt: skip
    binary = post(function, events[1],
                  {"ce-id": "EVENTS:1", "ce-specversion": "1.0", "ce-source": "/x",
                   "ce-type": "universe.jetstream.message", "Content-Type": "application/json"},
                  )  # fmt: skip
    assert (structured.content, binary.content) == (b"", b"")
    lines = b"\n".join(
        [json.dumps(events[2]).encode(), b"{broken", b"", json.dumps(events[3]).encode()]
    )
    ndjson = post(function, lines, {"Content-Type": "application/x-ndjson"}).json()
    assert (ndjson["inserted"], [dead["index"] for dead in ndjson["dead"]]) == (2, [1])
    assert post(function, gzip.compress(json.dumps(events[4]).encode()),
                {"Content-Encoding": "gzip"}).json()["inserted"] == 1  # fmt: skip
    encoded = base64.b64encode(json.dumps([events[5]]).encode()).decode()
    wrapped = cloud_event(9, None) | {"data_base64": encoded}
    del wrapped["data"]
    assert post(function, [wrapped], BATCH).content == b""
    assert count(database) == 6


def test_requests_that_cannot_be_read(function: Function) -> None:
    assert post(function, b"{").status_code == 400
    # a 4xx would condemn every message of a batch
    assert post(function, b'[{"id": "EVENTS:1"', BATCH).status_code == 500
    refused = plain_http.get(function.url)
    assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")
    assert refused.headers["Content-Type"] == "application/problem+json"


def test_health_and_metrics(function: Function) -> None:
    assert plain_http.get(function.url + "/health/readiness").json()["status"] == "ok"
    post(function, generated(3))
    text = plain_http.get(function.url + "/metrics").text
    assert 'universe_process_batch_events_total{outcome="inserted"} 3.0' in text
    assert 'universe_process_batch_phase_seconds_count{phase="copy"} 1.0' in text
    assert 'universe_process_batch_pool_connections{state="open"} 1.0' in text
