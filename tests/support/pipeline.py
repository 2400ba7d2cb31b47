"""Ingest, connector and process-batch as processes, under load, between any servers."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg

from infra.cli.load.event_generator import Mix, generate
from tests.conftest import Database
from tests.support.connector import ConnectorProcess
from tests.support.functions import Function, running
from tests.support.net import wait_until
from tests.support.storage import assert_rollups_exact

EVENTS_PER_REQUEST = 20
PAUSE_SECONDS = 0.02
"""Between two requests: neighbours on the machine need some of it too."""


class Sender(threading.Thread):
    """Sends events to ingest without an end, each request again until it is accepted.

    Attributes:
        accepted: the ids of the events that were answered with 202.
        sent: the ids of all that were sent at least once.
    """

    def __init__(self, ingest_url: str, seed: int) -> None:
        super().__init__(daemon=True)
        self._url = f"{ingest_url}/webhook/event"
        self._events = generate(1_000_000, seed, Mix(duplicates=0, invalid=0, days=2))
        self._stopping = threading.Event()
        self.accepted: set[str] = set()
        self.sent: set[str] = set()

    def run(self) -> None:
        """Send until stopped; the request that is under way then is accepted still."""
        with httpx.Client(timeout=30, verify=False) as client:
            while not self._stopping.wait(PAUSE_SECONDS):
                events = [next(self._events).event for _ in range(EVENTS_PER_REQUEST)]
                ids = {event["eventId"] for event in events}
                self.sent |= ids
                body = json.dumps(events).encode()
                while not self._is_accepted(client, body):
                    threading.Event().wait(0.1)
                self.accepted |= ids

    def _is_accepted(self, client: httpx.Client, body: bytes) -> bool:
        try:
            answer = client.post(
                self._url, content=body, headers={"Content-Type": "application/json"}
            )
        except httpx.TransportError:
            return False
        assert answer.status_code in {202, 503}, (answer.status_code, answer.text)
        return answer.status_code == 202

    def stop(self) -> None:
        """End it, and wait until every event that it sent is accepted."""
        self._stopping.set()
        self.join(120)
        assert not self.is_alive(), "ingest does not accept"
        assert self.accepted == self.sent


@dataclass
class Pipeline:
    """What runs, and where it stores."""

    database: Database
    ingest: Function
    process_batch: Function
    connectors: list[ConnectorProcess]
    sender: Sender

    def stored(self, url: str | None = None) -> list[str]:
        """Return the ids of all rows, of this database or another."""
        with psycopg.connect(url or self.database.url) as connection:
            return [row[0] for row in connection.execute("SELECT event_id FROM events")]

    def progress(self, url: str | None = None, events: int = 200) -> None:
        """Wait until so many more events are stored."""
        before = len(self.stored(url))
        wait_until(lambda: len(self.stored(url)) >= before + events, 120, every=0.2)

    def everything_is_stored_once(self, url: str | None = None) -> None:
        """Stop sending; wait until all that was accepted is stored, and nothing else or twice."""
        self.sender.stop()
        accepted = self.sender.accepted
        wait_until(lambda: accepted <= set(self.stored(url)), 120, every=0.2)
        stored = self.stored(url)
        assert len(stored) == len(accepted)
        assert set(stored) == accepted
        database = self.database
        assert_rollups_exact(Database(database.name, url or database.url, "", ""))
        for connector in self.connectors:
            assert connector.metrics().get("dead_messages_total", 0) == 0


@contextmanager
def pipeline(
    folder: Path,
    database: Database,
    nats_url: str,
    connector_url: str | None = None,
    seed: int = 7,
    partitions: Sequence[Mapping[str, str]] = ({},),
    **settings: str,
) -> Iterator[Pipeline]:
    """Run ingest, process-batch and connectors between NATS and a database, and send events.

    Args:
        folder: for logs and secrets.
        database: process-batch connects with `writer_url`, the test with `url`.
        nats_url: of NATS, as ingest logs in.
        connector_url: the same as the connector logs in; by default as ingest does.
        seed: of the events; the same events come with the same seed.
        partitions: the settings of each connector besides those; there are as many connectors.
        settings: variables of each of the three.
    """
    with ExitStack() as stack:
        ingest = stack.enter_context(
            running(
                "functions.ingest.handler", folder / "ingest.log", NATS_URL=nats_url, **settings
            )
        )
        process_batch = stack.enter_context(
            running(
                "functions.process_batch.handler",
                folder / "process-batch.log",
                DATABASE_URL=database.writer_url,
                **settings,
            )
        )
        connectors = [
            stack.enter_context(
                ConnectorProcess(
                    folder,
                    connector_url or nats_url,
                    f"connector-{number}",
                    **{"FUNCTION_URL": f"{process_batch.url}/", **settings, **own},
                )
            ).start()
            for number, own in enumerate(partitions)
        ]
        sender = Sender(ingest.url, seed)
        sender.start()  # with the first events ingest makes the streams
        stack.callback(sender.stop)
        for connector in connectors:
            connector.bound()
        yield Pipeline(database, ingest, process_batch, connectors, sender)
