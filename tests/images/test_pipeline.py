"""The whole pipeline in containers, each of which is restarted and killed while events come."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from infra.database.migrate import migrate
from tests.conftest import Database
from tests.images.compose import Compose, composed
from tests.images.engine import Engine, container, wait_ready
from tests.support.net import free_port, plain_http, wait_until
from tests.support.secrets import secrets_folder
from tests.support.stored_events import generated

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EVENTS = 40_000
PART = 50
OURS = ("process-batch", "ingest", "analytics-query", "connector")


def add_our_services(
    compose: Compose, image_of: Callable[[str], str], folder: Path
) -> dict[str, str]:
    """Have the functions and the connector beside the servers; return their addresses."""
    ports = {name: free_port() for name in OURS}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    more = {
        "ingest": {"INGEST_AUTH": "none"},
        "analytics-query": {"ANALYTICS_AUTH": "none"},
        "connector": {"K_SINK": urls["process-batch"], "NATS_BATCH_SIZE": "200"},
    }
    services: dict[str, Any] = {}
    for name, port in ports.items():
        secrets = secrets_folder(
            folder / name,
            nats_url=compose.nats_url(
                "nats-url-connector" if name == "connector" else "functions/nats-url"
            ),
            database_url=f"postgresql://universe_writer:a-writer@{compose.database}",
            database_reader_url=f"postgresql://universe_reader:a-reader@{compose.database}",
        )
        for file in (secrets, *secrets.iterdir()):
            file.chmod(0o755 if file.is_dir() else 0o444)
        common = {"HOST": "127.0.0.1", "PORT": str(port), "MAX_EVENT_AGE_DAYS": "0"}
        services[name] = {
            "image": image_of(name),
            "network_mode": "host",
            "user": "31337:31337",
            "read_only": True,
            "cap_drop": ["ALL"],
            "tmpfs": ["/tmp"],
            "restart": "unless-stopped",
            "environment": {**common, "DRAIN_DELAY": "1", **more.get(name, {})},
            "volumes": [f"{secrets}:/var/openfaas/secrets:ro"],
        }
    compose.add(services)
    return urls


class Sender:
    """Sends parts of the events, each until it is accepted, as senders of webhooks do."""

    def __init__(self, ingest: str) -> None:
        self._url = ingest + "/webhook/event"
        self._stop = threading.Event()
        self.accepted = 0
        self.unexpected: list[str] = []

    def run(self) -> None:
        """Send until it shall stop."""
        events = generated(EVENTS)
        for start in range(0, EVENTS, PART):
            while not self._send(events[start : start + PART]):
                self._stop.wait(0.1)
            self.accepted += PART
            if self._stop.wait(0.05):
                return

    def _send(self, events: list[dict[str, Any]]) -> bool:
        try:
            answer = plain_http.post(self._url, json=events, timeout=30)
        except httpx.TransportError:
            return False
        if answer.status_code not in (202, 503):
            self.unexpected.append(answer.text)
        return answer.status_code == 202

    def goes_on(self) -> None:
        """Wait until some more parts are accepted."""
        before = self.accepted
        wait_until(lambda: self.accepted >= before + 3 * PART, 90)

    def stop(self) -> None:
        """Have it end with the part that it is sending."""
        self._stop.set()


@contextmanager
def sending(ingest: str) -> Iterator[Sender]:
    """Send until the block ends; then all that was begun is accepted."""
    sender = Sender(ingest)
    thread = threading.Thread(target=sender.run, daemon=True)
    thread.start()
    try:
        yield sender
    finally:
        sender.stop()
        thread.join(90)


def test_every_accepted_event_is_stored_once_whatever_is_restarted_or_killed(
    engine: Engine, base: str, image_of: Callable[[str], str]
) -> None:
    """`docker compose restart`, and a kill, of each: NATS and PostgreSQL, functions, connector."""
    with composed(engine, base) as compose:
        owner = f"postgresql://postgres:an-owner@{compose.database}"
        migrate(owner)
        urls = add_our_services(compose, image_of, compose.infra / "of-ours")
        compose.run("up", "--detach", "--wait", *OURS)
        with sending(urls["ingest"]) as sender:
            for service in (*OURS, "nats", "postgres"):
                sender.goes_on()
                compose.run("restart", "--timeout", "30", service)
                sender.goes_on()
                compose.run("kill", "--signal", "KILL", service)
                compose.run("start", service)
            sender.goes_on()
        assert not sender.unexpected

        def stored() -> tuple[Any, ...] | None:
            try:
                with psycopg.connect(owner, connect_timeout=5) as connection:
                    query = "SELECT count(*), count(DISTINCT event_id) FROM events"
                    return connection.execute(query).fetchone()
            except psycopg.OperationalError:
                return None

        wait_until(lambda: stored() == (sender.accepted, sender.accepted), 120)

        def reported() -> int:
            url = urls["analytics-query"] + "/analytics/overview?from=2024-01-01"
            answer = plain_http.get(url, timeout=30)
            return json.loads(answer.content)["totals"]["events"] if answer.is_success else 0

        wait_until(lambda: reported() == sender.accepted)
        told = compose.run("exec", "connector", "python", "-m", "infra.connector", "dlq", "list")
        assert "\n0 dead letters" in told, "nothing is dead: it was all for a moment"
        compose.run("stop", "--timeout", "30")
        ended = compose.run("ps", "--all", "--format", "{{.Service}} {{.ExitCode}}")
        statuses = dict(line.split() for line in ended.splitlines())
        assert {name: statuses[name] for name in OURS} == dict.fromkeys(OURS, "0")


def test_connector_and_exporter_run(
    engine: Engine, image_of: Callable[[str], str], nats_url: str, database: Database
) -> None:
    settings: dict[str, Any] = {
        "NATS_URL": nats_url,
        "K_SINK": "http://127.0.0.1:9",
        "BATCH_AUTH": "none",
    }
    with container(engine, image_of("connector"), **settings) as connector:
        wait_ready(connector, "/health/liveness")
        metrics = connector.get("/metrics")
        assert metrics
        assert "universe_connector" in metrics.text
        helped = engine.run("exec", connector.name, "python", "-m", "infra.connector", "dlq", "-h")
        assert "replay" in helped
        assert connector.stop() == 0
    settings: dict[str, Any] = {"NATS_URL": nats_url, "DATABASE_READER_URL": database.reader_url}
    with container(engine, image_of("exporter"), **settings) as exporter:
        wait_ready(exporter, "/health/liveness")
        wait_until(lambda: "universe_" in getattr(exporter.get("/metrics"), "text", ""))
        assert exporter.stop() == 0
