"""A page of raw events takes a bounded number of bytes, whatever is stored."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import psutil
import psycopg
import pytest
from psycopg.types.json import Jsonb

from infra.local.servers.postgres import EmbeddedPostgres
from tests.support import kinds
from tests.support.analytics import Analytics, analytics
from tests.support.net import wait_until
from tests.support.stored_events import UNTIL, generated, store

MIB = 1024**2
LARGE = 12
"""Events with an unknown field of 7.5 MB: they were stored before ingest had a bound."""
MIDDLE = 60
"""Events of 100 kB, as ingest accepts them."""
SMALL = 40


@pytest.fixture(scope="module")
def live(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Analytics]:
    folder = tmp_path_factory.mktemp("analytics")
    with analytics(postgres, migrated_template, folder) as running:
        events = generated(SMALL + MIDDLE + LARGE)
        store(running.owner_url, events)
        _grow(running.owner_url, events[SMALL : SMALL + MIDDLE], 100_000)
        _grow(running.owner_url, events[SMALL + MIDDLE :], 7_500_000)
        yield running


def _grow(url: str, events: list[dict[str, Any]], size: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "UPDATE events SET extra = %s WHERE event_id = ANY (%s)",
            [Jsonb({"x": "x" * size}), [event["eventId"] for event in events]],
        )


def _peak(live: Analytics) -> int:
    """Return the most memory that the process which serves has had so far, in bytes."""
    process = psutil.Process(live.function.process.pid)
    # the first process only starts the other, which shares most of its pages
    return max(_high_water_mark(each.pid) for each in (process, *process.children(recursive=True)))


def _high_water_mark(pid: int) -> int:
    with Path(f"/proc/{pid}/status").open(encoding="ascii") as lines:
        [line] = [line for line in lines if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def test_twelve_large_events_do_not_break_the_card(live: Analytics) -> None:
    """Section 4, "12 events with a 7.5 MB unknown field": pages are bounded by bytes.

    The card "latest events" asks for twelve. It shows them, without the field that is too large,
    and the function stays below its 256 MiB.
    """
    answer = live.get("events", limit=LARGE)
    assert answer.status_code == 200
    assert len(answer.content) < MIB
    items = answer.json()["items"]
    assert len(items) == LARGE
    assert all(item["omitted"] == ["extra"] for item in items)
    assert all(item["extra"] is None and item["data"]["user"] for item in items)
    assert _peak(live) < 150 * MIB


@pytest.mark.parametrize("limit", kinds.quick_first([12, 1000]))
@pytest.mark.parametrize(
    "question", kinds.quick_first([{"where": "{}"}, {}]), ids=["containing", "all"]
)
def test_every_event_is_on_one_of_the_pages(
    live: Analytics, limit: int, question: dict[str, str]
) -> None:
    """Pages end before 2 MiB and the cursor goes on: none is left out, none comes twice."""
    seen: list[str] = []
    pages = 0
    cursor: dict[str, str] = {}
    while True:
        answer = live.get("events", limit=limit, **question, **cursor)
        assert len(answer.content) <= 2 * MIB
        page = answer.json()
        assert page["items"]
        seen += [item["eventId"] for item in page["items"]]
        pages += 1
        if page["nextCursor"] is None:
            break
        cursor = {"cursor": page["nextCursor"]}
    assert len(seen) == len(set(seen)) == SMALL + MIDDLE + LARGE
    # at least the 100 kB events alone take that many
    assert pages >= MIDDLE * 100_000 / (2 * MIB)


def test_event_with_too_much_data_is_listed_without(live: Analytics) -> None:
    """An event is listed even where `data` itself is larger than a page."""
    [event] = generated(1, seed=9, until=UNTIL - timedelta(days=30))
    event["data"]["user"]["note"] = "x" * 3 * MIB
    event["other"] = "kept"
    store(live.owner_url, [event])
    moment = datetime.fromisoformat(event["timestamp"]).astimezone(UTC)
    answer = live.get(
        "events", **{"from": moment.isoformat()}, to=(moment + timedelta(seconds=1)).isoformat()
    )
    assert len(answer.content) < 10_000
    [item] = answer.json()["items"]
    assert (item["data"], item["extra"], item["omitted"]) == (None, {"other": "kept"}, ["data"])


@pytest.mark.parametrize("form", ["json", "ndjson", "csv"])
def test_a_number_of_any_size_is_answered_as_it_was_sent(live: Analytics, form: str) -> None:
    """One event with an integer of more than 64 bits made every list of events a 500."""
    [event] = generated(1, seed=11, until=UNTIL - timedelta(days=60))
    event |= {"eventId": "large-number", "other": 10**30}
    store(live.owner_url, [event])
    moment = datetime.fromisoformat(event["timestamp"]).astimezone(UTC)
    question = {"from": moment.isoformat(), "to": (moment + timedelta(seconds=1)).isoformat()}
    answer = live.get("events", **question, **({} if form == "json" else {"format": form}))
    assert answer.status_code == 200
    assert "large-number" in answer.text
    assert str(10**30) in answer.text


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_exports_are_whole_and_streamed_in_bounded_memory(live: Analytics, form: str) -> None:
    """An export has what a page leaves out, and holds no more than an event at a time."""
    read = large = 0
    with live.client.stream("GET", "/analytics/events", params={"format": form}) as answer:
        assert answer.status_code == 200
        for line in answer.iter_lines():
            read += 1
            large += len(line) > 7_500_000
            if form == "ndjson":
                assert orjson.loads(line)["eventId"]
    assert read >= SMALL + MIDDLE + LARGE
    assert large == LARGE
    assert _peak(live) < 230 * MIB


def test_contract_says_it(live: Analytics) -> None:
    """The OpenAPI document names the bound and `omitted`."""
    document = wait_until(lambda: live.client.get("/openapi.json").json())
    assert "nextCursor" in json.dumps(document["components"]["schemas"]["EventPage"])
    stored = document["components"]["schemas"]["StoredEvent"]
    assert "omitted" in stored["properties"]
    assert "omitted" not in stored["required"]
    assert "2 MiB" in document["paths"]["/analytics/events"]["get"]["description"]
