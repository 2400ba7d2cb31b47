"""The images of the three functions, made and run without a container engine."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

import httpx
import pytest

from tests.conftest import Database
from tests.images.build_context import by_faas_cli, by_hand, shrinkwrap
from tests.images.dockerfile import Image, build
from tests.images.watchdog import Served, behind_watchdog, without_watchdog
from tests.support.net import wait_until
from tests.support.secrets import secrets_folder, signed
from tests.support.storage import BATCH, ask, cloud_event
from tests.support.stored_events import generated
from tests.support.tools import tool

# each image's virtual environment is filled on the way
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

Run = Callable[..., AbstractContextManager[Served]]
ANY_AGE = {"MAX_EVENT_AGE_DAYS": "0"}
"""The events of these tests are of 2024."""
SHORT_STOP = {"healthcheck_interval": "1s", "DRAIN_DELAY": "1.5"}


@pytest.fixture(scope="module")
def image_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Image]:
    contexts = shrinkwrap(tmp_path_factory.mktemp("contexts"))
    images = tmp_path_factory.mktemp("images")
    return cache(lambda name: build(contexts[name], images / name))


@pytest.fixture(params=[behind_watchdog, without_watchdog], ids=["of-watchdog", "alone"])
def run(request: pytest.FixtureRequest) -> Run:
    return request.param


def write_secret(folder: Path, name: str, value: str) -> str:
    (folder / name).write_text(value + "\n")
    return str(folder)


def is_healthy(served: Served) -> bool:
    """Whether the function says so; it may be ready to be asked before its broker is connected."""
    assert served.client.get("/health/liveness").json()["status"] == "ok"
    return served.client.get("/health/readiness").status_code == 200


def test_ingest_takes_events_out_of_its_image(
    image_of: Callable[[str], Image], run: Run, nats_url: str
) -> None:
    image = image_of("ingest")
    before = image.files()
    with run(
        image, NATS_URL=nats_url, INGEST_AUTH="none", MAX_EVENT_AGE_DAYS="0", **SHORT_STOP
    ) as ingest:
        wait_until(lambda: is_healthy(ingest))
        answer = ingest.client.post("/webhook/event", json=generated(100))
        assert (answer.status_code, answer.json()) == (202, {"accepted": 100, "rejected": []})
        assert answer.headers["X-Call-Id"]
        # chunked, as the watchdog sends every body on
        answer = ingest.client.post("/", content=iter([b'{"eventId":', b'"x"}']))
        assert answer.status_code == 422
        assert "universe_ingest_" in ingest.client.get("/metrics").text
        ingest.process.terminate()
        assert ingest.process.wait(30) == 0
        assert not ingest.ready_file.exists() or run is without_watchdog
    assert image.files() == before, "only /tmp may be written to"


def test_process_batch_stores_events_out_of_its_image(
    image_of: Callable[[str], Image], run: Run, database: Database, tmp_path: Path
) -> None:
    secrets = str(secrets_folder(tmp_path / "secrets", database_url=database.writer_url))
    image = image_of("process-batch")
    before = image.files()
    with run(image, SECRETS_DIR=secrets, **ANY_AGE, **SHORT_STOP) as process_batch:
        wait_until(lambda: is_healthy(process_batch))
        batch = [cloud_event(n, part) for n, part in enumerate([generated(200), {"eventId": "x"}])]
        body = json.dumps(batch).encode()
        refused = process_batch.client.post("/", content=body, headers=BATCH)
        assert refused.status_code == 401
        answer = process_batch.client.post("/", content=body, headers=BATCH | signed(body))
        assert answer.status_code == 200
        [failure] = answer.json()["batchItemFailures"]
        assert failure["itemIdentifier"] == "EVENTS:1"
    assert ask(database, "SELECT count(*) FROM events") == [(200,)]
    assert image.files() == before, "only /tmp may be written to"


def test_analytics_query_reports_out_of_its_image(
    image_of: Callable[[str], Image], run: Run, database: Database, tmp_path: Path
) -> None:
    secrets = write_secret(tmp_path, "database-reader-url", database.reader_url)
    image = image_of("analytics-query")
    before = image.files()
    open_door = {"ANALYTICS_AUTH": "none"}
    with run(image, SECRETS_DIR=secrets, **open_door, **SHORT_STOP) as analytics:
        wait_until(lambda: is_healthy(analytics))
        answer = analytics.client.get("/analytics/overview", params={"from": "2024-01-01"})
        assert answer.status_code == 200
        assert answer.json()["totals"]["events"] == 0
        for path, text in {
            "/": "<html",
            "/openapi.json": '"openapi"',
            "/metrics": "python",
        }.items():
            answer = analytics.client.get(path)
            assert answer.status_code == 200
            assert text in answer.text
        export = analytics.client.get(
            "/analytics/events", headers={"Accept": "application/x-ndjson"}
        )
        assert export.status_code == 200
    assert image.files() == before, "only /tmp may be written to"


def test_requests_are_answered_while_the_watchdog_still_takes_them(
    image_of: Callable[[str], Image], nats_url: str
) -> None:
    statuses: Counter[int | str] = Counter()
    with behind_watchdog(
        image_of("ingest"),
        NATS_URL=nats_url,
        INGEST_AUTH="none",
        healthcheck_interval="3s",
        DRAIN_DELAY="4",
    ) as ingest:
        wait_until(lambda: is_healthy(ingest))

        def ask_until_refused() -> None:
            while True:
                try:
                    statuses[ingest.client.get("/health/liveness").status_code] += 1
                except httpx.ConnectError:
                    statuses["refused"] += 1
                    return
                except httpx.TransportError:
                    # the watchdog closed an idle connection just as it was used again
                    continue
                time.sleep(0.02)

        asking = threading.Thread(target=ask_until_refused)
        asking.start()
        ingest.process.terminate()
        assert ingest.process.wait(30) == 0
        asking.join(30)
    assert statuses.pop("refused") == 1
    assert set(statuses) == {200}
    assert statuses[200] > 3, "it took requests after SIGTERM"


def test_probes_see_the_function_only_when_it_listens(
    image_of: Callable[[str], Image],
) -> None:
    image = image_of("ingest")
    assert image.health == ["test", "-e", image.environment["READY_FILE"]]
    with behind_watchdog(
        image, NATS_URL="nats://127.0.0.1:1", INGEST_AUTH="none", **SHORT_STOP
    ) as ingest:
        assert ingest.client.get("/_/health").status_code == 200
        assert ingest.client.get("/health/liveness").status_code == 200
        ingest.process.terminate()
        wait_until(lambda: not ingest.ready_file.exists())


def test_watchdog_ends_where_the_handler_cannot_be_loaded(
    image_of: Callable[[str], Image],
) -> None:
    image = image_of("ingest")
    with (
        pytest.raises(AssertionError, match="it ended") as ended,
        behind_watchdog(image, FUNCTION_MODULE="function.nothing"),
    ):
        pass
    assert "function.nothing cannot be loaded: ModuleNotFoundError" in str(ended.value)


def test_faas_cli_makes_the_build_contexts_that_are_tested_without_it(tmp_path: Path) -> None:
    faas_cli = tool("faas-cli")
    for name in ("real", "ours"):
        (tmp_path / name).mkdir()
    real, ours = by_faas_cli(faas_cli, tmp_path / "real"), by_hand(tmp_path / "ours")

    def content(folder: Path) -> dict[str, bytes]:
        files = (file for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc")
        return {str(file.relative_to(folder)): file.read_bytes() for file in files}

    assert real.keys() == ours.keys() == {"ingest", "process-batch", "analytics-query"}
    for name, context in real.items():
        assert content(context) == content(ours[name])
