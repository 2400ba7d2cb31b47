"""The connector with process-batch behind it: draining a backlog, and the time an event takes.

Everything is real and on one machine: NATS with `sync_interval: always`, PostgreSQL, one replica of
process-batch, one connector. The references of the same run are process-batch fed directly with
the same events, without NATS, and one request per message, as other JetStream triggers deliver.
"""

import asyncio
import http.client
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import nats
import orjson
import psutil
import psycopg
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig
from nats.js.errors import NotFoundError

from functions.common.broker import BrokerSettings, ensure_streams
from infra.cli.load.event_generator import Mix, generate
from infra.database.migrate import migrate
from infra.local.gateway.app import LocalGateway
from infra.local.gateway.settings import GatewaySettings
from infra.local.servers.nats import EmbeddedNats
from infra.local.servers.postgres import WRITER, EmbeddedPostgres
from tests.bench.options import Options
from tests.bench.progress import steps
from tests.support.connector import ConnectorProcess
from tests.support.functions import running
from tests.support.jetstream import drained
from tests.support.secrets import secrets_folder, signed

BATCH = 5000
CONCURRENCY = "2"
"""What stack.yml sets."""
AT_ONCE = 500
TEMPLATE = "bench_template"
MODULE = "functions.process_batch.handler"
PATIENCE = 900.0


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        events: in the backlog; the slower ways take a part of it.
        single: events that are delivered one a request.
        acknowledged: messages that are only acknowledged.
        lone: events that are published one at a time.
        from_zero: how often a function is started by an event.
    """

    events: int
    single: int
    acknowledged: int
    lone: int
    from_zero: int


FULL = Plan(events=200_000, single=10_000, acknowledged=10_000, lone=200, from_zero=3)
QUICK = Plan(events=10_000, single=400, acknowledged=1_000, lone=20, from_zero=1)


def run(options: Options) -> dict[str, Any]:
    """Run the benchmark: events per second, CPU and memory of the connector, milliseconds."""
    plan = QUICK if options.quick else FULL
    with steps() as progress:
        return asyncio.run(_run(plan, progress.prepare))


async def _run(plan: Plan, progress: Callable[[str], None]) -> dict[str, Any]:
    events = plan.events
    with _servers() as bench:
        made = [orjson.dumps(each.event) for each in generate(events, 1, Mix(days=0.005))]
        result: dict[str, Any] = {"events": events}
        progress("the start of a connector")
        await bench.start_once()
        progress("process-batch fed directly")
        direct = await asyncio.to_thread(bench.direct, made)
        result["direct_events_per_second"] = direct
        drains: dict[str, Any] = {}
        for per_message in (500, 100, 1):
            progress(f"backlog in messages of {per_message}")
            backlog = made[: events // 4] if per_message == 1 else made
            drain = await bench.drain(backlog, per_message)
            drain["of_direct"] = drain["events_per_second"] / direct
            drains[f"messages_of_{per_message}"] = drain
        progress("acknowledgements alone")
        acknowledged = await bench.acknowledgements(made[: plan.acknowledged])
        result["server_acknowledgements_per_second"] = acknowledged
        progress("one request per message")
        single = await bench.drain(made[: plan.single], 1, DELIVERY="single")
        drains["one_request_per_message"] = single
        result["drain"] = drains
        for name in ("messages_of_500", "messages_of_1"):
            result[f"{name}_over_one_request_per_message"] = (
                drains[name]["events_per_second"] / single["events_per_second"]
            )
        progress("latency at 10 events per second")
        result["publish_to_stored"] = await bench.latency(made[: plan.lone])
        progress("from zero replicas")
        result["from_zero"] = await bench.from_zero(made[: plan.from_zero])
        return result


@dataclass
class _Bench:
    nats: EmbeddedNats
    postgres: EmbeddedPostgres
    folder: Path
    made: int = field(default=0)
    start_cpu: float = 0.0

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the name of a fresh migrated database."""
        self.made += 1
        name = f"bench_{self.made}"
        with psycopg.connect(self.postgres.url(database="postgres"), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}".encode())
            admin.execute("CHECKPOINT")
            yield name
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[JetStreamContext]:
        """Yield a connection to empty streams."""
        nc = await nats.connect(self.nats.url)
        js = nc.jetstream()
        for stream in ("EVENTS", "EVENTS_DLQ"):
            try:
                await js.delete_stream(stream)
            except NotFoundError:
                continue
        await ensure_streams(js, BrokerSettings())  # type: ignore[call-arg]
        yield js
        await nc.close()

    def direct(self, made: list[bytes]) -> float:
        """Return events per second of process-batch fed without NATS and connector."""
        bodies = [_body(made[at : at + BATCH], 500) for at in range(0, len(made), BATCH)]
        with self.database() as name, self.function(name) as url:
            _send(url, [_body(_renamed(made[::500]), 500)])
            started = time.perf_counter()
            threads = int(CONCURRENCY)
            with ThreadPoolExecutor(threads) as pool:
                for done in [pool.submit(_send, url, bodies[n::threads]) for n in range(threads)]:
                    done.result()
            return len(made) / (time.perf_counter() - started)

    @contextmanager
    def function(self, database: str) -> Iterator[str]:
        """Yield the address of a replica of process-batch."""
        log = self.folder / "process-batch.log"
        with running(MODULE, log, DATABASE_URL=self.postgres.url(WRITER, database)) as function:
            yield function.url + "/"

    async def start_once(self) -> None:
        """Find out how many CPU seconds a connector takes to start."""
        async with self.stream():
            with ConnectorProcess(
                self.folder, self.nats.url, FUNCTION_URL="http://127.0.0.1:1/"
            ) as connector:
                connector.start()
                await asyncio.to_thread(connector.bound)
                assert connector.process
                self.start_cpu = _cpu_seconds(psutil.Process(connector.process.pid))

    async def drain(self, made: Sequence[bytes], per_message: int, **env: str) -> dict[str, Any]:
        """Publish a backlog, then start a connector and measure until all is stored."""
        async with self.stream() as js:
            await _publish(js, _payloads(made, per_message))
            with self.database() as name, self.function(name) as url:
                _send(url, [_body(_renamed(made[::500]), 500)])
                warm = len(made[::500])
                env = {"NATS_CONCURRENCY": CONCURRENCY, "NATS_ACK_WAIT": "30s", **env}
                with ConnectorProcess(
                    self.folder, self.nats.url, FUNCTION_URL=url, **env
                ) as connector:
                    connector.start()
                    assert connector.process
                    process = psutil.Process(connector.process.pid)
                    await asyncio.to_thread(connector.bound)
                    messages = await _backlog(js)
                    left = messages
                    started = time.perf_counter()
                    while left:
                        assert time.perf_counter() - started < PATIENCE, left
                        await asyncio.sleep(0.02)
                        left = await _backlog(js)
                    seconds = time.perf_counter() - started
                    assert await asyncio.to_thread(self.stored, name) == len(made) + warm
                    cpu = _cpu_seconds(process) - self.start_cpu
                    metrics = await asyncio.to_thread(connector.metrics)
                    return {
                        "events_per_second": messages * per_message / seconds,
                        "connector_cpu_seconds_per_million": cpu / len(made) * 1e6,
                        "connector_peak_mib": _peak_mib(process.pid),
                        "events_per_call": metrics["batch_events_sum"]
                        / metrics["batch_events_count"],
                    }

    def stored(self, name: str) -> int:
        """Return how many events the database has."""
        with psycopg.connect(self.postgres.url(database=name)) as connection:
            row = connection.execute("SELECT count(*) FROM events").fetchone()
        assert row
        return row[0]

    async def acknowledgements(self, made: list[bytes]) -> float:
        """Return how many messages per second the server can take off the workqueue."""
        async with self.stream() as js:
            await _publish(js, made)
            config = ConsumerConfig(max_ack_pending=len(made) + 1)
            subscription = await js.pull_subscribe("events.>", "bare", config=config)
            messages: list[Msg] = []
            while len(messages) < len(made):
                messages += await subscription.fetch(1000, timeout=10)
            started = time.perf_counter()
            for message in messages:
                await message.ack()
            await drained(js, PATIENCE)
            return len(made) / (time.perf_counter() - started)

    async def latency(self, made: list[bytes]) -> dict[str, float]:
        """Publish ten events a second, and return how long it takes until each is stored."""
        async with self.stream() as js:
            with (
                self.database() as name,
                self.function(name) as url,
                ConnectorProcess(
                    self.folder, self.nats.url, FUNCTION_URL=url, NATS_CONCURRENCY=CONCURRENCY
                ) as connector,
            ):
                connector.start()
                await asyncio.to_thread(connector.bound)
                owner = self.postgres.url(database=name)
                await self._time_one(js, owner, _renamed(made[:1])[0])
                times = []
                for event in made:
                    started = time.perf_counter()
                    times.append(await self._time_one(js, owner, event))
                    await asyncio.sleep(max(0.1 - (time.perf_counter() - started), 0))
        return _quantiles(times)

    async def from_zero(self, made: list[bytes]) -> dict[str, float]:
        """Return how long an event takes while no replica runs."""
        times = []
        async with self.stream() as js:
            with self.database() as name:
                owner = self.postgres.url(database=name)
                settings = GatewaySettings(state_dir=self.folder / "state", gateway_port=0)
                secrets_folder(settings.secrets_dir)
                async with LocalGateway(settings) as gateway:
                    login = aiohttp.encode_basic_auth("admin", gateway.password or "")
                    async with aiohttp.ClientSession(headers={"Authorization": login}) as client:
                        await _deploy(client, gateway.url, self.postgres.url(WRITER, name))
                        secrets = secrets_folder(
                            self.folder / "connector-secrets",
                            basic_auth_user="admin",
                            basic_auth_password=gateway.password or "",
                        )
                        with ConnectorProcess(
                            self.folder,
                            self.nats.url,
                            GATEWAY_URL=gateway.url,
                            SECRETS_DIR=str(secrets),
                        ) as connector:
                            connector.start()
                            await asyncio.to_thread(connector.bound)
                            for event in made:
                                await _scale(client, gateway.url, 0)
                                times.append(await self._time_one(js, owner, event))
                            # it asks the gateway to its end, which runs in this loop
                            await asyncio.to_thread(connector.stop)
        return {"median_ms": statistics.median(times) * 1e3, "max_ms": max(times) * 1e3}

    async def _time_one(self, js: JetStreamContext, owner: str, event: bytes) -> float:
        event_id = orjson.loads(event)["eventId"]
        connection = await psycopg.AsyncConnection.connect(owner, autocommit=True)
        async with connection:
            started = time.perf_counter()
            await js.publish("events.mixed", event)
            while time.perf_counter() - started < PATIENCE:
                found = await connection.execute(
                    "SELECT 1 FROM events WHERE event_id = %s", [event_id]
                )
                if await found.fetchone():
                    return time.perf_counter() - started
                await asyncio.sleep(0.001)
        raise AssertionError("not stored")


async def _backlog(js: JetStreamContext) -> int:
    return (await js.stream_info("EVENTS")).state.messages


async def _deploy(client: aiohttp.ClientSession, url: str, database: str) -> None:
    body = {
        "service": "process-batch",
        "image": "bench/process-batch:1",
        "envVars": {"DATABASE_URL": database},
        "secrets": ["batch-signing-key"],
        "labels": {"com.openfaas.scale.min": "1", "com.openfaas.scale.zero": "true"},
        "annotations": {
            "com.universe.handler": "functions/process_batch",
            "topic": "events.>",
            "jetstream.batch-size": str(BATCH),
            "com.openfaas.ready.http.path": "/health/readiness",
        },
    }
    async with client.post(f"{url}/system/functions", json=body) as answer:
        assert answer.status in {200, 202}, await answer.text()


async def _scale(client: aiohttp.ClientSession, url: str, replicas: int) -> None:
    body = {"serviceName": "process-batch", "replicas": replicas}
    async with client.post(f"{url}/system/scale-function/process-batch", json=body) as answer:
        assert answer.status in {200, 202}, await answer.text()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        async with client.get(f"{url}/system/function/process-batch") as answer:
            if (await answer.json()).get("availableReplicas", 0) == replicas:
                return
        await asyncio.sleep(0.05)
    raise AssertionError("the gateway does not scale")


@contextmanager
def _servers() -> Iterator[_Bench]:
    folder = Path(tempfile.mkdtemp(prefix="universe-bench-"))
    folder.chmod(0o755)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        postgres = EmbeddedPostgres(folder / "postgres")
        postgres.start()
        stack.callback(postgres.stop)
        postgres.ensure_database(TEMPLATE)
        migrate(postgres.url(database=TEMPLATE))
        postgres.set_role_passwords()
        server = EmbeddedNats(folder / "nats")
        server.start()
        stack.callback(server.stop)
        yield _Bench(server, postgres, folder)


def _payloads(made: Sequence[bytes], per_message: int) -> list[bytes]:
    if per_message == 1:
        return list(made)
    return [
        b"[" + b",".join(made[at : at + per_message]) + b"]"
        for at in range(0, len(made), per_message)
    ]


async def _publish(js: JetStreamContext, payloads: list[bytes]) -> None:
    for at in range(0, len(payloads), AT_ONCE):
        await asyncio.gather(
            *(js.publish("events.mixed", payload) for payload in payloads[at : at + AT_ONCE])
        )


def _renamed(made: Sequence[bytes]) -> list[bytes]:
    events = [orjson.loads(event) for event in made]
    return [orjson.dumps(event | {"eventId": f"warm-{event['eventId']}"}) for event in events]


def _body(made: Sequence[bytes], per_message: int) -> bytes:
    head = orjson.dumps(
        {
            "specversion": "1.0",
            "id": "EVENTS:1",
            "source": "/jetstream/EVENTS/bench",
            "type": "universe.jetstream.message",
            "datacontenttype": "application/json",
        }
    )[:-1]
    return (
        b"["
        + b",".join(head + b',"data":' + payload + b"}" for payload in _payloads(made, per_message))
        + b"]"
    )


def _send(url: str, bodies: list[bytes]) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
    for body in bodies:
        headers = {"Content-Type": "application/cloudevents-batch+json"} | signed(body)
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        content = answer.read()
        assert (answer.status, content) == (200, b""), (answer.status, content[:300])
    connection.close()


def _quantiles(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "p50_ms": statistics.median(ordered) * 1e3,
        "p99_ms": ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)] * 1e3,
    }


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _peak_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
