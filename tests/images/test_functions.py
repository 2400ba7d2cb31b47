"""The images of the functions, run by a real container engine."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.common.paths import ROOT
from infra.local.functions.stack import read_stack
from tests.conftest import Database
from tests.images.build_context import by_faas_cli, by_hand
from tests.images.engine import Container, Engine, container, wait_ready
from tests.support.net import plain_http, wait_until
from tests.support.secrets import secrets_folder, signed
from tests.support.storage import BATCH, ask, cloud_event
from tests.support.stored_events import generated
from tests.support.tools import tool

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ANY_AGE = {"MAX_EVENT_AGE_DAYS": "0"}
"""The events of these tests are of 2024."""
SHORT_STOP: dict[str, Any] = {"DRAIN_DELAY": "0"}
OPEN: dict[str, dict[str, Any]] = {
    "ingest": {"INGEST_AUTH": "none", "NATS_URL": "nats://127.0.0.1:1"},
    "process-batch": {"BATCH_AUTH": "none", "DATABASE_URL": "postgresql://a@127.0.0.1:1/x"},
    "analytics-query": {
        "ANALYTICS_AUTH": "none",
        "DATABASE_READER_URL": "postgresql://a@127.0.0.1:1/x",
    },
}
MB = 1_000_000


def changed_files(served: Container) -> list[str]:
    """Return what changed in its file system, /tmp left out."""
    found = served.engine.run("diff", served.name).splitlines()
    return [each for each in found if not each.startswith(("C /var", "A /var/openfaas", "C /tmp"))]


def test_ingest_takes_events(engine: Engine, image_of: Callable[[str], str], nats_url: str) -> None:
    settings: dict[str, Any] = {"NATS_URL": nats_url, "INGEST_AUTH": "none", **ANY_AGE}
    with container(engine, image_of("ingest"), **settings) as ingest:
        wait_until(lambda: ingest.is_ready("/health/readiness"))
        answer = plain_http.post(ingest.url + "/webhook/event", json=generated(100))
        assert (answer.status_code, answer.json()) == (202, {"accepted": 100, "rejected": []})
        answer = plain_http.post(ingest.url, content=iter([b'{"eventId":', b'"x"}']))
        assert answer.status_code == 422
        metrics = ingest.get("/metrics")
        assert metrics
        assert "universe_ingest_" in metrics.text
        assert ingest.stop() == 0
        assert not changed_files(ingest)


def test_process_batch_stores_events(
    engine: Engine, image_of: Callable[[str], str], database: Database, servers_folder: Path
) -> None:
    secrets = secrets_folder(servers_folder / "process-batch", database_url=database.writer_url)
    settings = ANY_AGE | SHORT_STOP
    image = image_of("process-batch")
    with container(engine, image, secrets=secrets, **settings) as process_batch:
        wait_until(lambda: process_batch.is_ready("/health/readiness"))
        batch = [cloud_event(n, part) for n, part in enumerate([generated(200), {"eventId": "x"}])]
        body = json.dumps(batch).encode()
        refused = plain_http.post(process_batch.url, content=body, headers=BATCH)
        assert refused.status_code == 401
        headers = BATCH | signed(body)
        answer = plain_http.post(process_batch.url, content=body, headers=headers, timeout=30)
        assert answer.status_code == 200
        [failure] = answer.json()["batchItemFailures"]
        assert failure["itemIdentifier"] == "EVENTS:1"
        assert process_batch.stop() == 0
        assert not changed_files(process_batch)
    assert ask(database, "SELECT count(*) FROM events") == [(200,)]


def test_analytics_query_reports(
    engine: Engine, image_of: Callable[[str], str], database: Database, servers_folder: Path
) -> None:
    secrets = secrets_folder(servers_folder / "analytics", database_reader_url=database.reader_url)
    settings: dict[str, Any] = {"ANALYTICS_AUTH": "none"} | SHORT_STOP
    image = image_of("analytics-query")
    with container(engine, image, secrets=secrets, **settings) as analytics:
        wait_until(lambda: analytics.is_ready("/health/readiness"))
        overview = analytics.get("/analytics/overview?from=2024-01-01")
        assert overview
        assert overview.json()["totals"]["events"] == 0
        for path, text in {"/": "<html", "/openapi.json": '"openapi"'}.items():
            answer = analytics.get(path)
            assert answer
            assert text in answer.text
        # the job that judges alerts is the same image
        job = ("env", "PYTHONPATH=/home/app/function", "python", "-m", "function.alerts", "check")
        assert analytics.engine.run("exec", analytics.name, *job) == ""
        assert analytics.stop() == 0
        assert not changed_files(analytics)


COMPILED = """
import contextlib, os, sys
sys.path.insert(0, "function")
import function.handler, functions_framework._http.gunicorn
with contextlib.suppress(ImportError):
    import functions_framework.aio, uvicorn_worker
files = [getattr(each, "__cached__", None) for each in list(sys.modules.values())]
print(*(each for each in files if each and not os.path.exists(each)))
"""


@pytest.mark.parametrize("name", OPEN)
def test_nothing_is_compiled_at_a_start(
    engine: Engine, image_of: Callable[[str], str], name: str
) -> None:
    """Images of Python have no bytecode of the standard library, and nothing is written later."""
    variables = [part for each in OPEN[name].items() for part in ("--env", "=".join(each))]
    image, program = image_of(name), ["python", "-c", COMPILED]
    found = engine.run("run", "--rm", "--read-only", *variables, image, *program).split()
    missing = [each for each in found if each.endswith(".pyc")]
    assert all("/lib/python3" in each for each in missing), "of the image's own files"
    assert len(missing) < 8, missing


@pytest.mark.parametrize("name", OPEN)
def test_liveness_is_answered_before_the_handler_is_loaded(
    engine: Engine, image_of: Callable[[str], str], name: str
) -> None:
    """With a tenth of a processor a start takes many seconds: probes that fail thrice kill it."""
    limits = ["--cpus", "0.1", "--memory", "256m"]
    with container(engine, image_of(name), *limits, **OPEN[name], **SHORT_STOP) as served:
        wait_until(lambda: served.get("/_/health"), every=0.02)
        first = served.get("/_/ready")
        assert first
        assert (first.status_code, first.json()) == (503, {"status": "starting"})
        # a request that comes now is answered later, and not refused
        waiting = Counter[int]()
        path = {"analytics-query": "/openapi.json"}.get(name, "/metrics")
        early = threading.Thread(
            target=lambda: waiting.update([(served.get(path, 90) or first).status_code])
        )
        early.start()
        failed = 0
        while not served.is_ready():
            alive = served.get("/_/health", 5)
            failed = 0 if alive and alive.is_success else failed + 1
            assert failed < 3, "it would have been killed"
            time.sleep(0.2)
        early.join(90)
        assert waiting == {200: 1}


def memory_limit(name: str) -> list[str]:
    """Return the options of `docker run` for the memory that stack.yml allows a function."""
    limits = {each.service: each.limits for each in read_stack(ROOT / "stack.yml", {})}[name]
    assert limits
    assert limits.memory
    megabytes = limits.memory.removesuffix("Mi") + "m"
    return ["--memory", megabytes, "--memory-swap", megabytes]


def all_at_once(target: Container, requests: list[tuple[bytes, dict[str, str]]]) -> Counter[int]:
    """Send requests at the same time, and return how many had which status."""
    with ThreadPoolExecutor(len(requests)) as threads:
        return Counter(
            threads.map(
                lambda each: (
                    plain_http.post(
                        target.url, content=each[0], headers=each[1], timeout=120
                    ).status_code
                ),
                requests,
            )
        )


def test_the_largest_requests_at_once_fit_into_the_memory(
    engine: Engine,
    image_of: Callable[[str], str],
    nats_url: str,
    database: Database,
    servers_folder: Path,
) -> None:
    """What stack.yml allows is enough for the largest bodies that are taken, several at a time."""
    events = generated(10_000)
    body = json.dumps(events).encode()
    body = body if len(body) < 8 * MB else json.dumps(events[:8_000]).encode()
    settings: dict[str, Any] = {"NATS_URL": nats_url, "INGEST_AUTH": "none", **ANY_AGE}
    with container(engine, image_of("ingest"), *memory_limit("ingest"), **settings) as ingest:
        wait_ready(ingest)
        for _ in range(3):
            statuses = all_at_once(ingest, [(body, {"Content-Type": "application/json"})] * 6)
            assert statuses.keys() <= {202, 429, 503}, statuses
            assert statuses[202]
        state = ingest.state()
        assert (state["OOMKilled"], state["Running"]) == (False, True)
    secrets = secrets_folder(servers_folder / "memory", database_url=database.writer_url)
    image, limit = image_of("process-batch"), memory_limit("process-batch")
    with container(
        engine, image, *limit, secrets=secrets, **(ANY_AGE | SHORT_STOP)
    ) as process_batch:
        wait_ready(process_batch)
        batch = json.dumps([cloud_event(0, events[:5_000])]).encode()
        for _ in range(3):
            statuses = all_at_once(process_batch, [(batch, BATCH | signed(batch))] * 4)
            assert statuses.keys() <= {200, 429, 503}, statuses
            assert statuses[200]
        state = process_batch.state()
        assert (state["OOMKilled"], state["Running"]) == (False, True)
    assert ask(database, "SELECT count(*) FROM events") == [(5_000,)]


def test_requests_are_answered_after_sigterm(
    engine: Engine, image_of: Callable[[str], str]
) -> None:
    """While whoever balances the load learns of it, and the lock file is gone at once."""
    with container(engine, image_of("ingest"), DRAIN_DELAY="3", **OPEN["ingest"]) as ingest:
        wait_ready(ingest)
        statuses: Counter[int | str] = Counter()
        ready: list[bool] = []

        def ask_until_refused() -> None:
            with httpx.Client(verify=False) as client:
                while True:
                    try:
                        statuses[client.get(ingest.url + "/metrics").status_code] += 1
                        ready.append(client.get(ingest.url + "/_/ready").is_success)
                    except httpx.ConnectError:
                        return
                    except httpx.TransportError:
                        statuses["cut"] += 1
                    time.sleep(0.02)

        asking = threading.Thread(target=ask_until_refused)
        asking.start()
        assert ingest.stop() == 0
        asking.join(30)
        assert statuses.keys() - {"cut"} == {200}
        assert statuses["cut"] <= 1, "the connection that was open at the end"
        assert ready[0] or ready.count(False) > 3
        assert not ready[-1]


def test_sigterm_ends_what_is_still_loading(engine: Engine, image_of: Callable[[str], str]) -> None:
    with container(engine, image_of("ingest"), "--cpus", "0.1", **OPEN["ingest"]) as ingest:
        wait_until(lambda: ingest.get("/_/health"), every=0.02)
        assert ingest.stop(20) == 0


def test_a_handler_that_cannot_be_loaded_says_why(
    engine: Engine, image_of: Callable[[str], str]
) -> None:
    settings: dict[str, Any] = {"FUNCTION_MODULE": "function.nothing"}
    with container(engine, image_of("ingest"), **settings) as broken:
        wait_until(lambda: not broken.state()["Running"])
        said = engine.run("logs", broken.name, check=False) or broken.log()
        assert broken.state()["ExitCode"] == 1
    assert "Traceback" not in said


def test_images_hold_little_besides_their_base(
    engine: Engine, base: str, image_of: Callable[[str], str]
) -> None:
    bound = {"ingest": 60, "process-batch": 65, "analytics-query": 120}
    ours = {name: (engine.size(image_of(name)) - engine.size(base)) / MB for name in bound}
    print("megabytes over the base:", ours)
    assert all(ours[name] < bound[name] for name in bound), ours


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
