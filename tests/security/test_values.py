"""One request costs what it may cost: values, events and bytes of a body, and of its answer."""

import asyncio
import base64
import gzip
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from functions.ingest import pace
from functions.ingest.body import iter_events
from functions.ingest.settings import IngestSettings
from functions.ingest.validation import EventValidator, validate
from infra.cli.load.event_generator import generate
from infra.connector.delivery.response import Success, classify
from infra.local.servers.postgres import EmbeddedPostgres
from tests.conftest import Database, fresh_database
from tests.support import kinds
from tests.support.functions import Function
from tests.support.memory import peak_bytes, processor_seconds
from tests.support.net import plain_http
from tests.support.storage import BATCH, ask, cloud_event, post, process_batch

MIB = 1024**2
INGEST_BYTES = 150 * MIB
PROCESS_BATCH_BYTES = 350 * MIB
ANSWER_BYTES = 1_000_000
AT_ONCE = 3


def recent(count: int) -> list[dict[str, Any]]:
    """Return valid events of the last days."""
    return [each.event for each in generate(count, 1)]


def fill(pattern: bytes, size: int, start: bytes = b"[", end: bytes = b"]") -> bytes:
    """Return an array of the same element, so long that it has about `size` bytes."""
    count = (size - len(start) - len(end)) // (len(pattern) + 1)
    return start + (pattern + b",") * (count - 1) + pattern + end


def event_with(field: bytes) -> bytes:
    """Return a valid event with an unknown field."""
    return json.dumps(recent(1)[0]).encode()[:-1] + b',"unknown":' + field + b"}"


def in_object(size: int) -> bytes:
    return fill(b"[]", size, b'{"a":[', b"]}")


def deep(size: int) -> bytes:
    return b"[" + b"[" * (size // 2 - 1) + b"]" * (size // 2 - 1) + b"]"


# made when they are needed: each worker collects all tests, and these are a third of a gigabyte
INGEST_BODIES: dict[str, Callable[[], tuple[bytes, str, int]]] = {
    "arrays in an object": lambda: (in_object(8 * MIB), "", 413),
    "arrays in a valid event": lambda: (event_with(fill(b"[]", 7 * MIB)), "", 413),
    "objects in a valid event": lambda: (event_with(fill(b'{"":0}', 7 * MIB)), "", 413),
    "arrays in arrays": lambda: (deep(8 * MIB), "", 413),
    "deep arrays": lambda: (b"[" + deep(1_000_000) + b",1]", "", 422),
    "empty objects": lambda: (fill(b"{}", 30_000), "", 422),
    "empty arrays": lambda: (fill(b"[]", 30_000), "", 422),
    "events with many faults": lambda: (
        fill(b'{"source":"facebook","funnelStage":"top","data":{"user":{}}}', 600_000),
        "",
        422,
    ),
    "long ids": lambda: (fill(b'{"eventId":"' + b"\\u0000" * 130 + b'"}', 7_900_000), "", 422),
    "one long text": lambda: (event_with(b'"' + b"x" * 7 * MIB + b'"'), "", 422),
    "one long text that is not ASCII": lambda: (
        event_with(b'"\xc3\xa9' + b"x" * 7 * MIB + b'"'),
        "",
        422,
    ),
    "line ends": lambda: (b"\n" * 8 * MIB, "application/x-ndjson", 400),
    "line ends and a line": lambda: (b"\n" * 7 * MIB + b"{}", "application/x-ndjson", 422),
    "lines": lambda: (b"{}\n" * 9999, "application/x-ndjson", 422),
    "blanks": lambda: (b" " * 8 * MIB, "", 400),
}


def gzipped(body: bytes, kind: str) -> dict[str, Any]:
    headers = {"Content-Type": kind or "application/json", "Content-Encoding": "gzip"}
    return {"content": gzip.compress(body, mtime=0), "headers": headers}


def post_at_once(url: str, request: dict[str, Any]) -> list[httpx.Response]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [pool.submit(plain_http.post, url, timeout=60, **request) for _ in range(AT_ONCE)]
        return [future.result() for future in futures]


@pytest.mark.parametrize("name", INGEST_BODIES)
@pytest.mark.slow
def test_a_small_request_does_not_fill_the_memory_of_ingest(ingest: Function, name: str) -> None:
    """8 KB of gzip: ingest stays below 150 MB, and its answers below 1 MB, three at once."""
    body, kind, status = INGEST_BODIES[name]()
    answers = post_at_once(ingest.url, gzipped(body, kind))
    assert [answer.status_code for answer in answers] == [status] * AT_ONCE
    assert max(len(answer.content) for answer in answers) < ANSWER_BYTES
    assert peak_bytes(ingest) < INGEST_BYTES


def test_what_is_refused_for_its_values_takes_hardly_any_time(ingest: Function) -> None:
    """8 KB of gzip took 9.8 seconds of a processor; it is refused before it is parsed."""
    body, kind, _ = INGEST_BODIES["arrays in an object"]()
    before = processor_seconds(ingest)
    post_at_once(ingest.url, gzipped(body, kind))
    assert processor_seconds(ingest) - before < 1


def test_an_answer_describes_a_hundred_rejected_events_and_counts_all(ingest: Function) -> None:
    """At most 100 rejections in detail, the rest counted."""
    rejected = [{}] * 250
    answer = plain_http.post(ingest.url, json=[*rejected, *recent(2)], timeout=60).json()
    assert answer["accepted"] == 2
    assert [each["index"] for each in answer["rejected"]] == list(range(100))
    assert answer["rejectedCount"] == 250
    assert "rejectedCount" not in plain_http.post(ingest.url, json=recent(2), timeout=60).json()


@pytest.mark.slow
def test_honest_requests_of_the_greatest_size_pass(ingest: Function) -> None:
    """The bound on values leaves room for MAX_EVENTS events, with some fields of their own."""
    more = {"traceId": "0af7651916cd43dd8448eb211c80319c", "tags": ["a", "b"], "note": "a, b: c"}
    events = [event | more for event in recent(10_000)]
    answer = plain_http.post(ingest.url, timeout=60, **gzipped(json.dumps(events).encode(), ""))
    assert (answer.status_code, answer.json()["accepted"]) == (202, 10_000)
    assert peak_bytes(ingest) < INGEST_BYTES


@pytest.mark.slow
def test_a_valid_event_does_not_wait_for_large_requests(ingest: Function) -> None:
    """A valid event waited 8 seconds for one such request, and 47 for three.

    How many are answered one after another until all three are done says that none waits for one.
    """
    body, kind, _ = INGEST_BODIES["events with many faults"]()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        request = gzipped(body, kind)
        large = [
            pool.submit(plain_http.post, ingest.url, timeout=60, **request) for _ in range(AT_ONCE)
        ]
        answered = 0
        while not all(future.done() for future in large):
            answer = plain_http.post(ingest.url, json=recent(1)[0], timeout=60)
            assert answer.status_code == 202
            answered += 1
    assert answered > 2 * AT_ONCE


async def test_the_event_loop_serves_others_while_a_large_request_is_checked() -> None:
    """No valid request waits long: the loop turns every few milliseconds."""
    limits = IngestSettings()
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def check(body: bytes) -> int:
        async with pace.Pace() as own_pace:
            events = iter_events(body, ndjson=False, max_events=10_000)
            found = await validate(events, EventValidator(limits, 8 * MIB), own_pace)
            return len(found.rejected) + found.accepted

    other = asyncio.create_task(others())
    bodies = [
        fill(b'{"source":"facebook","data":{}}', 300_000),
        json.dumps(recent(10_000)).encode(),
        b"[" + deep(1_000_000) + b"]",
    ]
    counts = [await check(body) for body in bodies]
    other.cancel()
    assert counts[1:] == [10_000, 1]
    assert turns > 10


@pytest.fixture(scope="module")
def database_of_module(postgres: EmbeddedPostgres, migrated_template: str) -> Iterator[Database]:
    with fresh_database(postgres, migrated_template) as database:
        yield database


@pytest.fixture(scope="module")
def processor(
    database_of_module: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Function]:
    log = tmp_path_factory.mktemp("process-batch") / "log"
    with process_batch(database_of_module.writer_url, log) as function:
        yield function


def batch_of(*payloads: bytes) -> bytes:
    events = [
        json.dumps(cloud_event(number, None)).encode()[:-5] + payload + b"}"
        for number, payload in enumerate(payloads)
    ]
    return b"[" + b",".join(events) + b"]"


BATCHES: dict[str, Callable[[], tuple[bytes, int]]] = {
    "64 MiB of arrays": lambda: (batch_of(in_object(64 * MIB - 1000)), 413),
    "64 MiB of text": lambda: (batch_of(b'"' + b"x" * (64 * MIB - 1000) + b'"'), 413),
    "arrays": lambda: (batch_of(in_object(4 * MIB)), 413),
    "arrays in a valid event": lambda: (batch_of(event_with(fill(b"[]", 700_000))), 200),
    "objects": lambda: (batch_of(event_with(fill(b'{"ab":1}', 1_400_000))), 200),
    "text": lambda: (batch_of(event_with(b'"' + b"x" * 11 * MIB + b'"')), 200),
    "numbers": lambda: (batch_of(event_with(fill(b"1e300", 2_900_000))), 200),
    "many invalid events": lambda: (batch_of(*[fill(b"{}", 15_000)] * 2), 200),
    "too many invalid events": lambda: (batch_of(fill(b"{}", 900_000)), 413),
    "too many messages": lambda: (batch_of(*[b"1"] * 10_001), 413),
    "line ends in base64": lambda: (
        batch_of(b'1,"data_base64":"' + base64.b64encode(in_object(4 * MIB)) + b'"'),
        413,
    ),
}


@pytest.mark.parametrize("name", kinds.quick_first(BATCHES, 3))
def test_a_small_request_does_not_fill_the_memory_of_process_batch(
    processor: Function, name: str
) -> None:
    """65 KB of gzip with a valid signature: process-batch stays below 350 MB, three at once."""
    body, status = BATCHES[name]()
    content = gzip.compress(body, mtime=0)
    headers = {**BATCH, "Content-Encoding": "gzip"}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda _: post(processor, content, headers), range(AT_ONCE)))
    assert [answer.status_code for answer in answers] == [status] * AT_ONCE
    assert max(len(answer.content) for answer in answers) < ANSWER_BYTES
    assert peak_bytes(processor) < PROCESS_BATCH_BYTES


def test_the_answer_to_a_batch_names_every_dead_event(
    processor: Function, database_of_module: Database
) -> None:
    """Answers are below 1 MB, and the connector still learns of each event."""
    poison = {"eventId": "\0" * 150, "source": "facebook", "funnelStage": "top", "data": {}}
    [good] = recent(1)
    body = [cloud_event(1, [*[poison] * 4999, good]), cloud_event(2, [poison] * 5000)]
    answer = post(processor, body, BATCH)
    assert len(answer.content) < ANSWER_BYTES
    first, second = answer.json()["batchItemFailures"]
    assert [each["index"] for each in first["events"]] == list(range(4999))
    assert [each["index"] for each in second["events"]] == list(range(5000))
    assert "timestamp" in first["reason"]
    assert "timestamp" in first["events"][0]["reason"]
    ids = {each: [each] for each in ("EVENTS:1", "EVENTS:2")}
    understood = classify(200, {}, answer.content, ids, batch=True, now=0.0)
    assert isinstance(understood, Success)
    assert {name: len(events) for name, events in understood.dead_events.items()} == {
        "EVENTS:1": 4999,
        "EVENTS:2": 5000,
    }
    assert ask(database_of_module, "SELECT count(*) FROM events WHERE event_id = %s",
               good["eventId"]) == [(1,)]  # fmt: skip
