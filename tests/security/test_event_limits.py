"""An event is neither too old nor too large, and so are its names; refusals have a reason."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import nats
import pytest

from functions.common.broker import EVENTS_DLQ
from infra.cli.load.event_generator import generate
from tests.conftest import Database
from tests.support.functions import Function, running
from tests.support.net import plain_http
from tests.support.storage import BATCH, ask, cloud_event, post, process_batch

NOW = datetime.now(UTC)


def event(source: str = "facebook", *, days: float = 0.5, **more: Any) -> dict[str, Any]:
    """Return a valid event of some days ago."""
    until = NOW - timedelta(days=days)
    found = next(e.event for e in generate(100, 3, until=until) if e.event["source"] == source)
    return {
        **found,
        "eventId": f"{source}-{days}-{len(more)}",
        "timestamp": until.isoformat(),
        **more,
    }


def send(function: Function, *events: Any) -> httpx.Response:
    return plain_http.post(function.url, json=list(events), timeout=60)


def metric(function: Function, series: str) -> float:
    for line in plain_http.get(function.url + "/metrics", timeout=30).text.splitlines():
        if line.startswith(series + " "):
            return float(line.rpartition(" ")[2])
    return 0.0


def test_an_old_event_is_rejected_with_a_reason(ingest: Function) -> None:
    """Events older than MAX_EVENT_AGE_DAYS, 400 by default, are rejected and counted."""
    series = 'universe_ingest_events_rejected_total{reason="too_old",source="facebook"}'
    before = metric(ingest, series)
    answer = send(ingest, event(days=401), event(days=399)).json()
    assert answer["accepted"] == 1
    [rejected] = answer["rejected"]
    assert rejected["index"] == 0
    assert rejected["errors"] == [
        {
            "loc": ["timestamp"],
            "msg": "Timestamp is more than 400 days ago",
            "type": "timestamp_too_old",
        }
    ]
    assert metric(ingest, series) - before == 1


def test_9800_events_on_as_many_days_are_not_all_taken(ingest: Function) -> None:
    """One request made 5,821 partitions; no more than MAX_EVENT_AGE_DAYS now."""
    one = event()
    days = [
        {**one, "eventId": f"day-{n}", "timestamp": (NOW - timedelta(days=n)).isoformat()}
        for n in range(9800)
    ]
    answer = send(ingest, *days).json()
    assert (answer["accepted"], answer["rejectedCount"]) == (400, 9400)


def test_an_event_far_in_the_future_is_rejected_with_a_reason(ingest: Function) -> None:
    """Events too far in the future are rejected, as they were, and counted."""
    series = 'universe_ingest_events_rejected_total{reason="in_future",source="tiktok"}'
    before = metric(ingest, series)
    answer = send(ingest, event("tiktok", days=-2)).json()
    assert answer["rejected"][0]["errors"][0]["type"] == "timestamp_in_future"
    assert metric(ingest, series) - before == 1


def test_any_age_may_be_allowed(nats_url: str, tmp_path: Any) -> None:
    """The bound is a setting; 0 is no bound, for a backfill."""
    variables = {"NATS_URL": nats_url, "MAX_EVENT_AGE_DAYS": "0"}
    with running("functions.ingest.handler", tmp_path / "log", **variables) as function:
        assert send(function, event(days=5000)).json() == {"accepted": 1, "rejected": []}


async def test_a_large_event_is_rejected_alone_and_not_kept(
    nats_url: str, ingest: Function
) -> None:
    """An event has at most MAX_EVENT_BYTES, unknown fields together with the known ones."""
    nc = await nats.connect(nats_url)
    streams = {info.config.name for info in await nc.jetstream().streams_info()}
    series = 'universe_ingest_events_rejected_total{reason="too_large",source="facebook"}'
    before = metric(ingest, series)
    room = 256 * 1024 - len(json.dumps(event(unknown="")))
    many: dict[str, Any] = {f"field {number}": "x" * 500 for number in range(600)}
    answer = send(
        ingest, event(unknown="x" * (room - 99)), event(unknown="x" * 7_000_000), event(**many), {}
    )
    await nc.close()
    assert not streams
    assert answer.status_code == 202
    first, second, third = answer.json()["rejected"]
    assert [each["index"] for each in (first, second, third)] == [1, 2, 3]
    assert first["errors"][0]["type"] == second["errors"][0]["type"] == "event_too_large"
    assert "at most 262144" in first["errors"][0]["msg"]
    assert first["eventId"] == event(unknown="")["eventId"]
    assert metric(ingest, series) - before == 2
    nc = await nats.connect(nats_url)
    kept = await nc.jetstream().stream_info(EVENTS_DLQ)
    await nc.close()
    assert kept.state.messages == 1  # the last one


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("facebook", ("user", "userId")),
        ("facebook", ("user", "name")),
        ("facebook", ("user", "location", "country")),
        ("facebook", ("user", "location", "city")),
        ("facebook", ("engagement", "campaignId")),
        ("facebook", ("engagement", "adId")),
        ("facebook", ("engagement", "videoId")),
        ("tiktok", ("user", "userId")),
        ("tiktok", ("user", "username")),
        ("tiktok", ("engagement", "country")),
        ("tiktok", ("engagement", "videoId")),
        ("tiktok", ("engagement", "profileId")),
        ("tiktok", ("engagement", "purchasedItem")),
    ],
)
def test_names_have_a_length(ingest: Function, source: str, path: tuple[str, ...]) -> None:
    """Lengths of names are bounded, those that nothing groups by as well."""
    for each in (e.event for e in generate(300, 5)):
        place = each["data"]
        for step in path[:-1]:
            place = place.get(step, {})
        if each["source"] == source and path[-1] in place:
            break
    else:
        pytest.fail("no event has the field")
    place[path[-1]] = "x" * 200
    assert send(ingest, each).status_code == 202
    place[path[-1]] = "x" * 201
    answer = send(ingest, each)
    assert answer.status_code == 422
    [error] = answer.json()["rejected"][0]["errors"]
    assert (error["loc"], error["type"]) == (["data", *path], "string_too_long")


def test_times_have_a_length(ingest: Function) -> None:
    """A time has any number of digits after the second in RFC 3339, and few here."""
    wrong = event(timestamp=NOW.strftime("%Y-%m-%dT%H:%M:%S.") + "0" * 100 + "Z")
    top = next(e.event for e in generate(99, 7) if "actionTime" in e.event["data"]["engagement"])
    top["data"]["engagement"]["actionTime"] = wrong["timestamp"]
    answer = send(ingest, wrong, top).json()
    assert [each["errors"][0]["loc"][-1] for each in answer["rejected"]] == [
        "timestamp",
        "actionTime",
    ]


def test_requests_that_break_a_bound_are_counted(ingest: Function) -> None:
    """Refusals are counted by reason."""
    bodies = {
        "body_too_large": b" " * (8 * 1024**2 + 1),
        "too_many_values": b"[" + b"[]," * 700_000 + b"1]",
        "too_many_events": b"[" + b"1," * 10_000 + b"1]",
    }
    for reason, body in bodies.items():
        series = f'universe_ingest_requests_over_limit_total{{reason="{reason}"}}'
        before = metric(ingest, series)
        headers = {"Content-Type": "application/json"}
        answer = plain_http.post(ingest.url, content=body, headers=headers, timeout=60)
        assert answer.status_code == 413
        assert metric(ingest, series) - before == 1


def dead(function: Function, *messages: dict[str, Any]) -> dict[str, list[tuple[int, str]]]:
    """Post messages as the connector does; return the dead events by message."""
    answer = post(function, list(messages), BATCH)
    assert answer.status_code == 200
    failures = answer.json()["batchItemFailures"] if answer.content else []
    return {
        each["itemIdentifier"]: [(e["index"], e["reason"]) for e in each["events"]]
        for each in failures
    }


def test_process_batch_holds_what_comes_from_the_stream_to_the_same(
    database: Database, tmp_path: Any
) -> None:
    """What others publish to NATS is dead-lettered with a reason, and counted.

    An event that ingest has accepted passes however long it waited in the stream, and again when
    its dead letter is replayed before the DLQ forgets it: its age counts from the time that the
    stream stored it, with the days of the DLQ on top.
    """
    large = event(unknown="x" * 256 * 1024)
    waited = (NOW - timedelta(days=90)).isoformat()
    with process_batch(database.writer_url, tmp_path / "log", MAX_EVENT_AGE_DAYS="400") as function:
        found = dead(
            function,
            cloud_event(1, [event(days=440), event(days=399), large], time=NOW.isoformat()),
            cloud_event(2, [event(days=489)], time=waited),
            cloud_event(3, [event(days=429)], time=NOW.isoformat()),
            cloud_event(4, [event(days=5000)]),
        )
        reasons = {
            name: metric(function, f'universe_process_batch_dead_events_total{{reason="{name}"}}')
            for name in ("too_old", "too_large")
        }
    old = "timestamp: it is older than MAX_EVENT_AGE_DAYS allows"
    [first, second] = found.pop("EVENTS:1")
    assert first == (0, old)
    assert second[0] == 2
    assert "at most 262144" in second[1]
    assert found == {"EVENTS:4": [(0, old)]}
    assert reasons == {"too_old": 2, "too_large": 1}
    assert ask(database, "SELECT count(*) FROM events") == [(3,)]


def test_batches_that_break_a_bound_are_counted(database: Database, tmp_path: Any) -> None:
    """Refusals are counted by reason; the connector halves these batches."""
    with process_batch(
        database.writer_url, tmp_path / "log", MAX_BATCH_EVENTS="10", MAX_BATCH_VALUES="1000"
    ) as function:
        assert post(function, [cloud_event(1, [1] * 11)], BATCH).status_code == 413
        assert post(function, [cloud_event(1, [1] * 1000)], BATCH).status_code == 413
        for reason in ("too_many_events", "too_many_values"):
            series = f'universe_process_batch_requests_over_limit_total{{reason="{reason}"}}'
            assert metric(function, series) == 1
