"""Connector, process-batch and PostgreSQL under load while one of them is killed or away.

`OUTAGE_SECONDS` says for how long (3 by default, to be quick; 60 is what was promised).
"""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import nats.errors
import orjson
import psutil
import psycopg
import pytest
from nats.js import JetStreamContext

from functions.common.paths import ROOT
from infra.cli.load.event_generator import Mix, generate
from infra.database.migrate import migrate
from infra.local.servers.nats import EmbeddedNats
from infra.local.servers.postgres import WRITER, EmbeddedPostgres
from tests.support.connector import ConnectorProcess, connector_to
from tests.support.jetstream import dead_letters, drained, streams
from tests.support.net import free_port, wait_until
from tests.support.process import Process
from tests.support.secrets import secrets_folder

OUTAGE = float(os.environ.get("OUTAGE_SECONDS", "3"))
EVENTS_PER_MESSAGE = 20

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180 + 3 * OUTAGE)]


class ProcessBatch(Process):
    """process-batch, run as in an image."""

    def __init__(self, folder: Path, database_url: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/"
        super().__init__(
            [str(ROOT / "templates" / "python3-functions-framework" / "index.py")],
            folder / "process-batch.log",
            {
                "FUNCTION_MODULE": "functions.process_batch.handler",
                "HOST": "127.0.0.1",
                "PORT": str(port),
                "DATABASE_URL": database_url,
                "SECRETS_DIR": str(secrets_folder(folder / "process-batch-secrets")),
            },
        )

    def kill_all(self) -> None:
        """Kill it with its workers."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)  # it would start a worker for each that is killed
        workers = psutil.Process(self.process.pid).children(recursive=True)
        self.kill()
        for worker in workers:
            worker.kill()
        psutil.wait_procs(workers, timeout=10)

    def kill_worker(self) -> None:
        """Kill what handles requests."""
        assert self.process
        for child in psutil.Process(self.process.pid).children():
            child.send_signal(signal.SIGKILL)


class Load:
    """Publishes events without a pause, some of them twice and some against the contract."""

    def __init__(self, js: JetStreamContext) -> None:
        self._js = js
        self._made = generate(1_000_000, 5, Mix(duplicates=0.05, invalid=0.01, days=1))
        self.good: set[str] = set()
        self.bad = 0
        self.messages = 0
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Publish until stopped; what is not acknowledged is published again."""
        while not self._stopped.is_set():
            made = [next(self._made) for _ in range(EVENTS_PER_MESSAGE)]
            payload = orjson.dumps([each.event for each in made])
            identity = f"load-{self.messages}"
            while True:
                try:
                    await self._js.publish(
                        "events.mixed", payload, timeout=3, headers={"Nats-Msg-Id": identity}
                    )
                    break
                except (nats.errors.Error, TimeoutError):
                    await asyncio.sleep(0.1)
            self.good |= {each.event["eventId"] for each in made if each.kind != "invalid"}
            self.bad += sum(each.kind == "invalid" for each in made)
            self.messages += 1
            await asyncio.sleep(0.002)

    def stop(self) -> None:
        """End it."""
        self._stopped.set()


@pytest.fixture
def own_postgres(postgres_server: EmbeddedPostgres) -> EmbeddedPostgres:
    """A server of the test's own with a migrated database `universe`."""
    postgres_server.ensure_database("universe")
    migrate(postgres_server.url(database="universe"))
    postgres_server.set_role_passwords()
    return postgres_server


class Pipeline:
    """All of it, running."""

    def __init__(self, nats_server: EmbeddedNats, postgres: EmbeddedPostgres, folder: Path) -> None:
        self.nats = nats_server
        self.postgres = postgres
        self.folder = folder
        self.function = ProcessBatch(folder, postgres.url(WRITER, "universe"))
        self.connector: ConnectorProcess | None = None
        self.load: Load | None = None
        self.js: JetStreamContext | None = None

    def stored(self) -> list[str]:
        """Return the ids of all rows."""
        with psycopg.connect(self.postgres.url(database="universe")) as connection:
            return [row[0] for row in connection.execute("SELECT event_id FROM events")]

    @asynccontextmanager
    async def under_load(self, **env: str) -> AsyncIterator[None]:
        """Run it all under load for the block, then check that nothing is lost or doubled."""

        async def quiet(_: Exception) -> None:
            pass

        nc = await nats.connect(
            self.nats.url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, error_cb=quiet
        )
        self.js = await streams(nc)
        self.load = Load(self.js)
        env = {"NATS_ACK_WAIT": "2s", "NATS_CONCURRENCY": "2", "NATS_BATCH_SIZE": "500", **env}
        with (
            self.function.start(),
            connector_to(
                self.function,  # type: ignore[arg-type]
                self.folder,
                self.nats.url,
                **env,
            ) as connector,
        ):
            self.connector = connector
            loading = asyncio.create_task(self.load.run())
            await self.progress()
            yield
            await self.progress()
            self.load.stop()
            await loading
            await self.check()
        await nc.close()

    async def progress(self) -> None:
        """Wait until more events are stored than were."""
        before = len(await asyncio.to_thread(self.stored))

        def more() -> bool:
            return len(self.stored()) > before

        await asyncio.to_thread(wait_until, more, 90)

    async def check(self) -> None:
        """Check that what was accepted is stored once or dead once, and nothing else."""
        assert self.js
        assert self.load
        js, load = self.js, self.load

        try:
            await drained(js, 120)
        except AssertionError as error:
            raise AssertionError(await self.account(js)) from error
        stored = self.stored()
        assert len(stored) == len(set(stored)), "nothing is stored twice"
        assert set(stored) == load.good, "everything good is stored"
        letters = await dead_letters(js)
        assert len(letters) == load.bad, "everything else is dead, once"
        assert len({letter.headers["Nats-Msg-Id"] for letter in letters}) == load.bad

    async def account(self, js: JetStreamContext) -> str:
        """Return what is known of messages that did not go away."""
        assert self.connector
        with psycopg.connect(self.postgres.url(database="universe")) as connection:
            sessions = connection.execute(
                "SELECT state, wait_event, query FROM pg_stat_activity WHERE usename = %s",
                (WRITER,),
            ).fetchall()
        return "\n".join(
            [
                "the stream was not drained",
                str(await js.stream_info("EVENTS")),
                *map(str, await js.consumers_info("EVENTS")),
                str(self.connector.metrics()),
                str(sessions),
                self.connector.log.read_text()[-4000:],
                self.function.log.read_text()[-4000:],
            ]
        )


@pytest.fixture
def pipeline(nats_server: EmbeddedNats, own_postgres: EmbeddedPostgres, tmp_path: Path) -> Pipeline:
    return Pipeline(nats_server, own_postgres, tmp_path)


async def in_thread(work: Callable[[], Any]) -> None:
    await asyncio.to_thread(work)


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_the_database_is_away(pipeline: Pipeline, how: str) -> None:
    async with pipeline.under_load():
        await in_thread(getattr(pipeline.postgres, how))
        assert pipeline.connector
        connector = pipeline.connector
        await asyncio.sleep(OUTAGE)
        await in_thread(lambda: wait_until(lambda: connector.metrics()["paused_state"] == 1))
        m = connector.metrics()
        assert m["inflight_events"] <= 500 * 3 + EVENTS_PER_MESSAGE, "what is in flight is bounded"
        assert m["redelivered_messages_total"] == 0, "heartbeats keep the server from redelivering"
        assert m["dead_messages_total"] == 0
        await in_thread(pipeline.postgres.start)


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_the_broker_is_away(pipeline: Pipeline, how: str) -> None:
    async with pipeline.under_load():
        await in_thread(getattr(pipeline.nats, how))
        await asyncio.sleep(OUTAGE)
        await in_thread(pipeline.nats.start)


async def test_the_function_is_away(pipeline: Pipeline) -> None:
    async with pipeline.under_load():
        await in_thread(pipeline.function.kill_all)
        await asyncio.sleep(OUTAGE)
        pipeline.function.start()


async def test_everything_is_killed_in_turn(pipeline: Pipeline) -> None:
    """Also in the middle of a COPY, between commit and answer, and between answer and ack."""
    chance = random.Random(11)
    # the workers are killed several times, which is no fault of the messages they had
    async with pipeline.under_load(NATS_MAX_DELIVER="10"):
        assert pipeline.connector
        for step in range(9):
            await asyncio.sleep(chance.random() * 0.8)
            match step % 3:
                case 0:
                    pipeline.function.kill_worker()
                case 1:
                    await in_thread(pipeline.connector.kill)
                    pipeline.connector.start()
                case _:
                    await in_thread(pipeline.function.kill_all)
                    pipeline.function.start()
            await pipeline.progress()
