"""What is measured of a service: throughput, lone events, and the way from zero replicas."""

import asyncio
import http.client
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import orjson

from functions.common.paths import ROOT
from tests.bench.e2e import templates
from tests.bench.e2e.load import Load, Loaded
from tests.bench.e2e.services import Service
from tests.support.net import wait_until

CONNECTIONS = 64
FUNCTIONS = ("ingest", "process-batch", "analytics-query")
DRAIN_SECONDS = 180.0
_BACKLOG_POLL = 0.025
_FOLDED_POLL = 0.1
_STORED_POLL = 0.001


@dataclass(frozen=True)
class Scenario:
    """A kind of load.

    Attributes:
        name: names it.
        per_request: events in a request; 1: an object, else an array.
        days: over how many days back the events' times are spread.
        templates: how many different events requests are made of.
    """

    name: str
    per_request: int
    days: float
    templates: int


SINGLES = Scenario("single events", 1, templates.LIVE_DAYS, 10_000)
ARRAYS = Scenario("arrays of 100", 100, templates.LIVE_DAYS, 20_000)
BACKFILL = Scenario("arrays of 100, 30 days", 100, 30.0, 40_000)
SCENARIOS = (SINGLES, ARRAYS, BACKFILL)


@dataclass
class Throughput:
    """One run of a scenario.

    Attributes:
        events: how many were accepted.
        accepted_rate: events accepted per second.
        stored_rate: events per second from the first request until all were stored.
        folded_rate: the same until all were in the sums that reports read.
        p50_ms: median time of an answer.
        p99_ms: its 99th percentile.
        batch: events in a batch of process-batch, on average; 0 where there is none.
        cpu_us: processor time per event of each part until all were folded, in microseconds.
        load_us: that of the load generator.
        refused: requests that were not accepted.
    """

    events: int
    accepted_rate: float
    stored_rate: float
    folded_rate: float
    p50_ms: float
    p99_ms: float
    batch: float
    cpu_us: dict[str, float]
    load_us: float
    refused: int


@dataclass
class Lone:
    """Events one at a time, with nothing else to do: medians in milliseconds from the request."""

    answered_ms: list[float] = field(default_factory=list)
    stored_ms: list[float] = field(default_factory=list)


@dataclass
class FromZero:
    """First requests to functions without a replica.

    Attributes:
        ingest_ms: an event's answer.
        stored_ms: the same event, until it was stored; process-batch had no replica either.
        report_ms: the answer to a report.
        cpu_ms: processor time of the platform for one replica's start and its first request.
    """

    ingest_ms: list[float] = field(default_factory=list)
    stored_ms: list[float] = field(default_factory=list)
    report_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)


def write_templates(scenarios: tuple[Scenario, ...], folder: Path) -> dict[str, Path]:
    """Write the bodies of requests of each scenario, and return their files."""
    files = {}
    for number, each in enumerate(scenarios):
        files[each.name] = folder / f"templates-{number}"
        templates.write(files[each.name], each.templates, each.per_request, each.days)
    return files


@dataclass(frozen=True)
class WarmUp:
    """The load before what is measured.

    Attributes:
        seconds: of load.
        folded: whether its events are waited for until they are in the sums, which takes seconds.
            Otherwise what that costs is part of what is measured.
    """

    seconds: float = 1.0
    folded: bool = True


NO_WARM_UP = WarmUp(seconds=0.0)
QUICK_WARM_UP = WarmUp(seconds=0.3, folded=False)


async def throughput(
    service: Service, scenario: Scenario, bodies: Path, seconds: float, warm_up: WarmUp
) -> Throughput:
    """Load a service for some seconds, and wait until it has done what it accepted.

    Raises:
        AssertionError: an accepted event was not stored, or one twice.
    """
    if warm_up.seconds:
        await _load(service, bodies, warm_up.seconds)
        await _until_stored(service)
    if warm_up.folded:
        await _until_folded(service)
    stored_before, batches_before = service.stored(), service.batches()
    before = service.tree.snapshot()
    loaded = await _load(service, bodies, seconds)
    await _until_stored(service)
    stored_at = time.monotonic()
    await _until_folded(service)
    folded_at = time.monotonic()
    spent = service.tree.snapshot().since(before)
    events = loaded.accepted * scenario.per_request
    assert events, f"{service.name} accepted nothing: {loaded}"
    stored = service.stored() - stored_before
    # a refused request may be stored all the same: its answer does not say that it is not
    assert events <= stored <= loaded.requests * scenario.per_request, (events, stored, loaded)
    in_batches, batches = (
        after - earlier for after, earlier in zip(service.batches(), batches_before, strict=True)
    )
    return Throughput(
        events=events,
        accepted_rate=events / loaded.seconds,
        stored_rate=events / (stored_at - loaded.started),
        folded_rate=events / (folded_at - loaded.started),
        p50_ms=loaded.p50 * 1e3,
        p99_ms=loaded.p99 * 1e3,
        batch=in_batches / batches if batches else 0.0,
        cpu_us={part: spent_there / events * 1e6 for part, spent_there in spent.items()},
        load_us=loaded.cpu_seconds / events * 1e6,
        refused=sum(loaded.refused.values()),
    )


async def _load(service: Service, bodies: Path, seconds: float) -> Loaded:
    load = Load(service.events_url, str(bodies), seconds, CONNECTIONS, service.requests)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.bench.e2e.load"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        output, _ = await process.communicate(orjson.dumps(asdict(load)))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, "the load generator failed"
    answer = orjson.loads(output)
    loaded = Loaded(**answer)
    service.requests += loaded.requests
    return loaded


async def _until_stored(service: Service) -> None:
    deadline = time.monotonic() + DRAIN_SECONDS
    while left := await service.backlog():
        assert service.process.poll() is None, f"{service.name} ended with {left} messages left"
        assert time.monotonic() < deadline, f"{service.name}: {left} messages are left"
        await asyncio.sleep(_BACKLOG_POLL)


async def _until_folded(service: Service) -> None:
    deadline = time.monotonic() + DRAIN_SECONDS
    while service.unfolded():
        assert time.monotonic() < deadline, f"{service.name} does not fold its deltas"
        await asyncio.sleep(_FOLDED_POLL)


@contextmanager
def _connection(url: str) -> Iterator[Callable[[bytes], float]]:
    """Yield what posts a body over one kept connection and returns when it was sent."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    connection.connect()

    def post(body: bytes) -> float:
        started = time.perf_counter()
        connection.request("POST", parts.path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 202, (answer.status, content[:300])
        return started

    try:
        yield post
    finally:
        connection.close()


def lone(service: Service, bodies: Path, count: int) -> Lone:
    """Send events one at a time.

    Args:
        service: where to.
        bodies: templates of single events.
        count: how many.
    """
    lines = bodies.read_bytes().splitlines()
    result = Lone()
    with _connection(service.events_url) as post:
        for number in range(count + 1):
            answered, stored = _store_one(service, post, lines[number])
            if number:  # the first finds connections closed and code not yet loaded
                result.answered_ms.append(answered)
                result.stored_ms.append(stored)
            time.sleep(0.05)
    return result


def _store_one(
    service: Service, post: Callable[[bytes], float], template: bytes
) -> tuple[float, float]:
    """Send one event, and return the milliseconds to its answer and until it was stored."""
    event = orjson.loads(template)
    now = datetime.now(UTC)
    event["eventId"], event["timestamp"] = str(uuid4()), now.isoformat()
    body = orjson.dumps(event)
    day = f" AND day = '{now:%Y-%m-%d}'" if service.table == "events" else ""
    select = f"SELECT 1 FROM {service.table} WHERE event_id = %s{day}".encode()
    started = post(body)
    answered = time.perf_counter() - started
    deadline = started + 60
    while service.database.execute(select, [event["eventId"]], prepare=True).fetchone() is None:
        assert time.perf_counter() < deadline, f"{service.name} does not store an event"
        time.sleep(_STORED_POLL)
    return answered * 1e3, (time.perf_counter() - started) * 1e3


def from_zero(service: Service, bodies: Path, count: int) -> FromZero:
    """Send first requests to functions without a replica.

    Args:
        service: a platform.
        bodies: templates of single events.
        count: how often.
    """
    lines = bodies.read_bytes().splitlines()
    result = FromZero()
    login = httpx.BasicAuth("admin", service.password)
    report = f"{service.gateway}/function/analytics-query/analytics/overview"
    with httpx.Client(base_url=service.gateway, auth=login, timeout=60) as client:
        for number in range(count):
            _scale_to_zero(client)
            with _connection(service.events_url) as post:
                answered, stored = _store_one(service, post, lines[-number])
            result.ingest_ms.append(answered)
            result.stored_ms.append(stored)
            time.sleep(0.2)
            before = service.tree.snapshot()
            started = time.perf_counter()
            client.get(report).raise_for_status()
            result.report_ms.append((time.perf_counter() - started) * 1e3)
            spent = service.tree.snapshot().since(before)
            result.cpu_ms.append(sum(spent.values()) * 1e3)
    return result


def _scale_to_zero(client: httpx.Client) -> None:
    for name in FUNCTIONS:
        wanted = {"serviceName": name, "replicas": 0}
        client.post(f"/system/scale-function/{name}", json=wanted).raise_for_status()

    def gone() -> bool:
        functions = client.get("/system/functions").raise_for_status().json()
        return not any(each.get("replicas") or each.get("availableReplicas") for each in functions)

    wait_until(gone, 60)
    time.sleep(0.5)  # replicas that are counted no more are ending


def median(values: list[float]) -> float:
    """Return the median, 0 of nothing."""
    return statistics.median(values) if values else 0.0
