"""The work of the hot paths, counted: a commit that does a third more of it fails here.

Calls of functions are counted, of Python's and of those in C, in the real processes: no clock, and
no difference between a fast machine and a busy one. Python 3.11, 3.12 and 3.13 differ by 1 %. What
a function in C does inside is not seen: `make bench` measures that.

`operations.json` holds what each path did when it was renewed last: after a change that is worth
more calls, or that saves some, run `RENEW_OPERATIONS=1 pytest tests/integration/bench`.
"""

import asyncio
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import nats
import orjson
import pytest

from functions.common.paths import ROOT
from infra.cli.load.event_generator import Mix, generate
from infra.local.servers.nats import EmbeddedNats
from tests.conftest import Database
from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction
from tests.support.functions import running
from tests.support.jetstream import drained, streams
from tests.support.net import wait_until
from tests.support.operations import Operations
from tests.support.secrets import signed
from tests.support.tied_process import TiedProcess

BOUNDS = Path(__file__).with_name("operations.json")
TOLERANCE = 1.2
"""A third more is noticed for certain, what differs from run to run never."""
EVENTS = [orjson.dumps(each.event) for each in generate(2000, 1, Mix(days=0.005))]


def check(path: str, operations: float) -> None:
    """Compare the calls for one event or request with what they were."""
    bounds = json.loads(BOUNDS.read_text())
    if os.environ.get("RENEW_OPERATIONS"):
        bounds[path] = round(operations, 1)
        BOUNDS.write_text(json.dumps(bounds, indent=2, sort_keys=True) + "\n")
        return
    assert operations > bounds[path] / 2, f"{path}: {operations:.1f} calls: are they counted?"
    assert operations < bounds[path] * TOLERANCE, (
        f"{path}: {operations:.1f} calls, where it were {bounds[path]}; see {Path(__file__).name}"
    )


@contextmanager
def connection(url: str) -> Iterator[http.client.HTTPConnection]:
    """Yield a connection that is kept."""
    client = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    yield client
    client.close()


def send(
    client: http.client.HTTPConnection, path: str, body: bytes, expected: int, **headers: str
) -> None:
    client.request("POST", path, body, {"Content-Type": "application/json"} | headers)
    answer = client.getresponse()
    content = answer.read()
    assert answer.status == expected, (answer.status, content[:300])


@pytest.fixture
def operations(tmp_path: Path) -> Operations:
    return Operations(tmp_path / "operations")


def test_ingest(session_nats: EmbeddedNats, tmp_path: Path, operations: Operations) -> None:
    array = b"[" + b",".join(EVENTS[:500]) + b"]"
    with (
        running(
            "functions.ingest.handler",
            tmp_path / "log",
            NATS_URL=session_nats.url,
            **operations.environment,
        ) as function,
        connection(function.url) as client,
    ):
        path = "/webhook/event"
        for event in EVENTS[:20]:  # connects, and fills caches
            send(client, path, event, 202)
        before = operations.count
        for event in EVENTS[20:80]:
            send(client, path, event, 202)
        check("ingest: a request of one event", (operations.count - before) / 60)
        before = operations.count
        send(client, path, array, 202)
        check("ingest: an event of an array", (operations.count - before) / 500)


def test_process_batch(database: Database, tmp_path: Path, operations: Operations) -> None:
    def batch(events: list[bytes]) -> bytes:
        envelope = (
            b'{"specversion":"1.0","id":"EVENTS:1","source":"/jetstream/EVENTS/process-batch"'
        )
        data = b",".join(events)
        return b"[" + envelope + b',"type":"universe.jetstream.message","data":[' + data + b"]}]"

    with (
        running(
            "functions.process_batch.handler",
            tmp_path / "log",
            DATABASE_URL=database.writer_url,
            COMPACTION_INTERVAL="0",
            **operations.environment,
        ) as function,
        connection(function.url) as client,
    ):

        def store(events: list[bytes]) -> None:
            body = batch(events)
            headers = {"Content-Type": "application/cloudevents-batch+json"} | signed(body)
            send(client, "/", body, 200, **headers)

        for event in EVENTS[:3]:
            store([event])
        before = operations.count
        for event in EVENTS[3:13]:
            store([event])
        check("process-batch: a call with one event", (operations.count - before) / 10)
        before = operations.count
        store(EVENTS[13:1013])
        check("process-batch: an event of a thousand", (operations.count - before) / 1000)


async def test_connector(nats_url: str, tmp_path: Path, operations: Operations) -> None:
    client = await nats.connect(nats_url)
    js = await streams(client)
    with (
        FakeFunction(tmp_path).start() as function,
        ConnectorProcess(
            tmp_path,
            nats_url,
            FUNCTION_URL=function.ready().url,
            NATS_CONCURRENCY="1",
            # nothing that is done as time goes by
            NATS_ACK_WAIT="10m",
            SCALE_INTERVAL="1h",
            DISCOVERY_INTERVAL="1h",
            **operations.environment,
        ).start() as connector,
    ):
        await asyncio.to_thread(connector.bound)

        async def publish(events: list[bytes]) -> None:
            headers = {"Event-Count": "1"}
            await asyncio.gather(
                *(
                    js.publish("events.tiktok", event, headers=headers, timeout=60)
                    for event in events
                )
            )

        await publish(EVENTS[:100])
        await drained(js)
        # the others wait while it is busy, so that they make one batch each time
        calls = len(function.calls())
        function.mode(delay=3)
        await publish(EVENTS[100:101])
        await asyncio.to_thread(wait_until, lambda: len(function.calls()) > calls)
        function.mode()
        before = operations.count
        await publish(EVENTS[101:1101])
        await drained(js)
        check("connector: a message of many", (operations.count - before) / 1000)
    await client.close()


def test_gateway(tmp_path: Path, operations: Operations) -> None:
    with TiedProcess(
        [sys.executable, "-m", "tests.bench.bench_proxy", "--serve", str(tmp_path)],
        env={**os.environ, **operations.environment},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stdout
        gateway = json.loads(process.stdout.readline())["gateway"]
        with connection(f"http://127.0.0.1:{gateway}") as client:

            def call(times: int) -> None:
                for _ in range(times):
                    client.request("GET", "/function/echo/health/liveness")
                    client.getresponse().read()

            call(20)
            before = operations.count
            call(200)
            check("gateway: a request", (operations.count - before) / 200)
        process.stdin.close()
        process.wait()
