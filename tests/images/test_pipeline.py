"""The whole pipeline in containers, each of which is killed while events come."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local.servers.nats import EmbeddedNats
from tests.conftest import Database
from tests.images.engine import Container, Engine, container, wait_ready
from tests.support.net import plain_http, wait_until
from tests.support.secrets import secrets_folder
from tests.support.storage import ask
from tests.support.stored_events import generated

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EVENTS = 3000
PART = 100


def test_every_accepted_event_is_stored_once_whatever_is_killed(
    engine: Engine,
    image_of: Callable[[str], str],
    nats_server: EmbeddedNats,
    database: Database,
    servers_folder: Path,
) -> None:
    secrets = secrets_folder(
        servers_folder / "pipeline",
        nats_url=nats_server.url,
        database_url=database.writer_url,
        database_reader_url=database.reader_url,
    )
    common = {"secrets": secrets, "MAX_EVENT_AGE_DAYS": "0", "DRAIN_DELAY": "0"}
    with ExitStack() as running:

        def serve(name: str, **environment: str) -> Container:
            image = image_of(name)
            started = container(engine, image, **common, **environment)  # type: ignore[arg-type]
            return running.enter_context(started)

        process_batch = serve("process-batch")
        ingest = serve("ingest", INGEST_AUTH="none")
        analytics = serve("analytics-query", ANALYTICS_AUTH="none")
        connector = serve("connector", K_SINK=process_batch.url, NATS_BATCH_SIZE="200")
        for each in (process_batch, ingest, analytics):
            wait_ready(each)
        wait_ready(connector, "/health/readiness")
        kills = {5: process_batch, 10: ingest, 15: connector, 20: process_batch}
        events = generated(EVENTS)
        for number in range(EVENTS // PART):
            part = events[number * PART : (number + 1) * PART]
            wait_until(lambda part=part: accepted(ingest, part), 90, every=0.2)
            if killed := kills.get(number):
                killed.kill()
        wait_until(lambda: ask(database, "SELECT count(*) FROM events") == [(EVENTS,)], 120)

        def reported() -> int:
            answer = analytics.get("/analytics/overview?from=2024-01-01")
            return (
                json.loads(answer.content)["totals"]["events"]
                if answer and answer.is_success
                else 0
            )

        wait_until(lambda: reported() == EVENTS)
        for each in (ingest, connector, process_batch, analytics):
            assert each.stop() == 0, each.log()


def accepted(ingest: Container, events: list[dict]) -> bool:
    """Send events, as a sender that sends again what was not answered."""
    try:
        answer = plain_http.post(ingest.url + "/webhook/event", json=events, timeout=30)
    except httpx.TransportError:
        return False
    assert answer.status_code in (202, 503), answer.text
    return answer.status_code == 202


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
