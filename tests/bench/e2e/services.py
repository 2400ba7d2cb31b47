"""The services that are measured: each runs from nothing, with servers, folder and ports its own.

They are driven only by what a user has too: a command that starts them, HTTP, NATS and PostgreSQL.
So a commit of long ago can be measured as well as this one.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, TimeoutExpired

import nats
import psycopg
from nats.js import JetStreamContext

from functions.common.paths import ROOT
from tests.bench.e2e.parts import Part, Tree, platform_part, usual_part
from tests.bench.e2e.revision import Revision
from tests.support.net import free_port, plain_http, wait_until
from tests.support.tied_process import TiedProcess

START_SECONDS = 180.0
STOP_SECONDS = 60.0
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""No other variable of this process reaches a service: settings there would change what it does."""


def kept_environment() -> dict[str, str]:
    """Return the variables that reach a service."""
    return {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}


async def _no_error(*_: Exception) -> None:
    """Say nothing."""


@dataclass
class Service:
    """A service that runs.

    Attributes:
        name: what the figures call it.
        process: its first process, whose children the others are.
        tree: its processes by part.
        events_url: where events are posted.
        nats_url: its NATS server, with the login.
        table: where events are stored.
        database_url: its PostgreSQL, as the owner.
        database: a connection to it.
        folds: whether it sums events up after they are stored.
        gateway: the gateway's address, where it has one.
        password: the gateway's, of the user admin.
        connector_url: the connector's health and metrics, where it has one.
    """

    name: str
    process: TiedProcess
    tree: Tree
    events_url: str
    nats_url: str
    table: str
    database_url: str
    database: psycopg.Connection
    folds: bool = False
    gateway: str = ""
    password: str = ""
    connector_url: str = ""
    requests: int = 0
    """How many requests were sent, so that no event is sent twice."""
    _js: JetStreamContext | None = field(default=None, repr=False)

    async def backlog(self) -> int:
        """Return how many messages are not done yet."""
        if self._js is None:
            # the server ends before this program does, which is no error
            client = await nats.connect(
                self.nats_url, allow_reconnect=False, error_cb=_no_error, closed_cb=_no_error
            )
            self._js = client.jetstream()
        return (await self._js.stream_info("EVENTS")).state.messages

    def stored(self) -> int:
        """Count the rows."""
        return self.number(f"SELECT count(*) FROM {self.table}")

    def unfolded(self) -> bool:
        """Return whether there are rows that are not in the sums that reports read."""
        return self.folds and bool(
            self.number("SELECT EXISTS (SELECT FROM rollup_deltas)::integer")
        )

    def batches(self) -> tuple[float, float]:
        """Return the events and the number of batches that process-batch was given so far."""
        if not self.connector_url:
            return 0.0, 0.0
        lines = plain_http.get(f"{self.connector_url}/metrics").text.splitlines()
        events, calls = (
            sum(
                float(line.rpartition(" ")[2])
                for line in lines
                if line.startswith(f"universe_connector_batch_events_{each}{{")
                and 'function="process-batch"' in line
            )
            for each in ("sum", "count")
        )
        return events, calls

    def number(self, sql: str) -> int:
        """Return the number that a query gives."""
        row = self.database.execute(sql.encode()).fetchone()
        assert row is not None
        return row[0]


class Starting:
    """A service that was started: several start beside each other."""

    def __init__(
        self, name: str, command: list[str], root: Path, folder: Path, **more: str
    ) -> None:
        """Start it.

        Args:
            name: what the figures call it.
            command: starts it.
            root: where its code is.
            folder: for its output.
            more: its environment, besides `KEPT_VARIABLES`.
        """
        self.name = name
        self._log = folder / "output.log"
        with self._log.open("wb") as log:
            self.process = TiedProcess(
                command,
                env=kept_environment() | {"PYTHONPATH": str(root)} | more,
                cwd=root,
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
            )

    def said(self, mark: str) -> str:
        """Wait until its output has the mark, and return the output.

        Raises:
            AssertionError: it ended, or took too long.
        """

        def output() -> str | None:
            text = self._log.read_text(errors="replace")
            assert self.process.poll() is None, f"{self.name} ended: {text[-2000:]}"
            return text if mark in text else None

        return wait_until(output, START_SECONDS) or ""

    def tree(self, part: Part, root_part: str) -> Tree:
        """Return its processes."""
        return Tree(self.process.pid, root_part, part)

    def stop(self) -> None:
        """Stop it, and wait until it has ended."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def universe(revision: Revision, folder: Path, **settings: str) -> Iterator["UniverseStart"]:
    """Start the platform of a revision; it ends with the block.

    Args:
        revision: its code.
        folder: for its state; PostgreSQL's user has to be able to enter it.
        settings: of the platform.
    """
    folder.mkdir()
    starting = UniverseStart(revision, folder, **settings)
    try:
        yield starting
    finally:
        starting.stop()


class UniverseStart(Starting):
    """`universe up`."""

    def __init__(self, revision: Revision, folder: Path, **settings: str) -> None:
        self._state = folder / "state"
        super().__init__(
            revision.name,
            revision.command("up"),
            revision.root,
            folder,
            STATE_DIR=str(self._state),
            GATEWAY_PORT=str(free_port()),
            **settings,
        )

    def service(self) -> Service:
        """Return it once it is up."""
        self.said("Universe is up")
        addresses = json.loads((self._state / "platform.json").read_text())
        gateway, url = addresses["gateway_url"], self._secret("database-owner-url")
        return Service(
            name=self.name,
            process=self.process,
            tree=self.tree(platform_part, "gateway"),
            events_url=f"{gateway}/function/ingest/webhook/event",
            nats_url=self._secret("nats-url"),
            table="events",
            database_url=url,
            database=psycopg.connect(url, autocommit=True),
            folds=True,
            gateway=gateway,
            password=self._secret("basic-auth-password"),
            connector_url=addresses["connector_url"],
        )

    def _secret(self, name: str) -> str:
        return (self._state / "secrets" / name).read_text().strip()


@contextmanager
def usual(name: str, folder: Path, *options: str) -> Iterator["UsualStart"]:
    """Start the usual service; it ends with the block."""
    folder.mkdir()
    command = [sys.executable, "-m", "tests.bench.usual", str(folder), *options]
    starting = UsualStart(name, command, ROOT, folder)
    try:
        yield starting
    finally:
        starting.stop()


class UsualStart(Starting):
    """The usual service."""

    def service(self) -> Service:
        """Return it once it is up."""
        addresses = json.loads(self.said("}"))
        return Service(
            name=self.name,
            process=self.process,
            tree=self.tree(usual_part, "launcher"),
            events_url=addresses["events"],
            nats_url=addresses["nats"],
            table="usual",
            database_url=addresses["database"],
            database=psycopg.connect(addresses["database"], autocommit=True),
        )
