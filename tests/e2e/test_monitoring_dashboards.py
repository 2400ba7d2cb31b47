"""A real Prometheus scrapes the platform under load: every panel of every dashboard has data."""

import json
import math
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import nats
import pytest
import yaml

from functions.common.paths import ROOT
from infra.local import state_dir
from infra.monitoring.dashboards.__main__ import FOLDER
from tests.support.net import wait_until
from tests.support.platform import UNIVERSE, RunningPlatform
from tests.support.prometheus import Prometheus, prometheus
from tests.support.tied_process import TiedProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MONITORING = ROOT / "infra/monitoring"
FUNCTIONS = {"ingest", "process-batch", "analytics-query"}
VARIABLES = {"$__rate_interval": "15s", "$__range": "2m", "$function": ".*"}
REPORTS = ("overview", "timeseries", "funnel", "countries", "campaigns", "users", "revenue")
NAMES = re.compile(r"\b(?:universe|gateway|process)_\w+")
UNLIMITED = {"universe_jetstream_storage_limit_bytes"}
"""Metrics of limits, which a server without the limit does not have."""


@dataclass(frozen=True)
class Asked:
    """A query of a panel, with values for the dashboard's variables."""

    dashboard: str
    panel: str
    expression: str


def queries() -> list[Asked]:
    """Return the queries of all panels, and of the annotations, of the files."""
    found: list[Asked] = []
    for file in sorted(FOLDER.glob("*.json")):
        dashboard = json.loads(file.read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"]
                for name, value in VARIABLES.items():
                    expression = expression.replace(name, value)
                assert "$" not in expression, expression
                found.append(Asked(dashboard["title"], panel["title"], expression))
    return found


@pytest.fixture(scope="module")
def watched(up: RunningPlatform) -> Iterator[Prometheus]:
    """Prometheus as the repository configures it, but for the platform's place and the pace."""
    config = yaml.safe_load((MONITORING / "prometheus/prometheus.yml").read_text())
    of_gateway, of_others = config["scrape_configs"]
    assert of_gateway["http_sd_configs"] == of_others["http_sd_configs"]
    assert "basic_auth" not in of_others, "no function is sent the gateway's password"
    (discovery,) = of_gateway["http_sd_configs"]
    assert discovery["url"] == "http://127.0.0.1:8080/system/http-sd"
    discovery["url"] = f"{up.gateway}/system/http-sd"
    discovery["refresh_interval"] = "1s"
    discovery["basic_auth"]["password_file"] = str(up.state_dir / "secrets/basic-auth-password")
    of_gateway["basic_auth"] = discovery["basic_auth"]
    of_others["http_sd_configs"] = of_gateway["http_sd_configs"]
    config["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
    config["global"]["evaluation_interval"] = "2s"
    config["rule_files"] = [str(MONITORING / "prometheus/alerts.yml")]
    folder = up.state_dir.parent / "prometheus"
    folder.mkdir()
    with prometheus(folder, config) as server:
        yield server


@contextmanager
def load(up: RunningPlatform) -> Iterator[None]:
    """Send events, some of them twice or invalid, and ask for reports, until the block ends."""
    stop = threading.Event()
    publisher = TiedProcess(
        [
            UNIVERSE, "publish", "--events=10000000", "--rate=400", "--batch=40",
            "--concurrency=2", "--duplicates=0.05", "--invalid=0.02", "--days=3",
        ],
        env=up.variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def ask() -> None:
        with httpx.Client(
            base_url=f"{up.gateway}/function/analytics-query", timeout=60, verify=False
        ) as client:
            while not stop.is_set():
                for report in REPORTS:
                    client.get(f"/analytics/{report}")
                    client.get(f"/analytics/{report}?from=tomorrow")
                    if stop.wait(0.05):
                        break

    with ThreadPoolExecutor(1) as asking:
        done = asking.submit(ask)
        try:
            yield
        finally:
            stop.set()
            publisher.terminate()
            publisher.wait(60)
            done.result(60)


async def make_dead_letters(up: RunningPlatform, count: int) -> None:
    """Put invalid events into the stream past ingest, as a bug in a producer of messages would."""
    nc = await nats.connect(state_dir.read_secret(up.state_dir, "nats-url"))
    for number in range(count):
        await nc.jetstream().publish("events.facebook", b'{"eventId": "dead-%d"}' % number)
    await nc.close()


def has_data(samples: list[dict[str, Any]]) -> bool:
    return any(math.isfinite(float(sample["value"][1])) for sample in samples)


async def test_every_panel_has_data_under_load(up: RunningPlatform, watched: Prometheus) -> None:
    asked = queries()
    assert len(asked) > 150
    with load(up):
        wait_until(lambda: up.status()["rowsStored"] > 0, 60, every=0.5)
        await make_dead_letters(up, 5)
        left = set(asked)
        deadline = time.monotonic() + 110
        while left and time.monotonic() < deadline:
            time.sleep(2)
            left = {each for each in left if not has_data(watched.query(each.expression))}
        assert not left, "\n".join(f"{e.dashboard}: {e.panel}: {e.expression}" for e in left)

        # also what has no series yet, and is zero on a panel, is a metric of somebody
        expressions = [each.expression for each in asked]
        expressions += [rule["query"] for rule in watched.rules()]
        assert set(NAMES.findall(" ".join(expressions))) - watched.metric_names() <= UNLIMITED

        # everybody is scraped, each under its job, each replica by itself
        targets = watched.targets()
        assert {each["labels"]["job"] for each in targets} == {
            "gateway", "connector", "exporter", "function",
        }  # fmt: skip
        running = {each["labels"].get("function") for each in targets} - {None}
        assert running == FUNCTIONS
        down = wait_until_up(watched)
        assert not down, down
        # what the variable `function` offers
        names = {each["function"] for each in watched.series("gateway_service_count")}
        assert names == FUNCTIONS


def wait_until_up(watched: Prometheus) -> list[str]:
    """Return what is wrong with targets, once that is nothing or has lasted."""
    faults: list[str] = []
    for _ in range(20):
        faults = [
            f"{each['scrapeUrl']}: {each['lastError']}"
            for each in watched.targets()
            if each["health"] != "up"
        ]
        if not faults:
            return []
        time.sleep(0.5)
    return faults


def test_the_figures_are_the_platforms_own(up: RunningPlatform, watched: Prometheus) -> None:
    status = up.wait_until_processed()

    def agree() -> bool:
        (stored,) = watched.query("sum(universe_database_stored_events)")
        (dead,) = watched.query("sum(universe_dlq_messages)")
        (waiting,) = watched.query("sum(universe_consumer_pending_messages)")
        return (int(stored["value"][1]), int(dead["value"][1]), int(waiting["value"][1])) == (
            status["rowsStored"], status["deadLetters"], 0,
        )  # fmt: skip

    wait_until(agree, 30, every=0.5)
    (unaccounted,) = watched.query(
        "sum(universe_connector_fetched_events_total) - sum(universe_connector_done_events_total)"
        " - sum(universe_connector_dead_events_total)"
        " - sum(universe_connector_returned_events_total)"
    )
    assert unaccounted["value"][1] == "0"
    (died,) = watched.query("sum(universe_connector_dead_events_total)")
    assert died["value"][1] == "5"


def test_the_rules_can_be_evaluated(watched: Prometheus) -> None:
    assert {rule["health"] for rule in watched.rules()} == {"ok"}


def test_scraping_lets_functions_sleep(up: RunningPlatform, watched: Prometheus) -> None:
    def function_targets() -> list[str]:
        return [
            each["scrapeUrl"] for each in watched.targets() if each["labels"]["job"] == "function"
        ]

    def asleep() -> bool:
        return all(each["replicas"] == 0 for each in up.status()["functions"])

    wait_until(asleep, 60, every=0.5)
    wait_until(lambda: not function_targets(), 30, every=0.5)
    started = watched.query("sum(gateway_function_invocation_started)")[0]["value"][1]
    scraped = watched.query('scrape_samples_scraped{job="gateway"}')[0]["value"][0]
    wait_until(
        lambda: watched.query('scrape_samples_scraped{job="gateway"}')[0]["value"][0] > scraped + 5,
        30,
    )
    assert asleep()
    assert not up.replicas("ingest")
    assert watched.query("sum(gateway_function_invocation_started)")[0]["value"][1] == started
    # what depends on processes that sleep still has an answer, or had one in the last minutes
    assert watched.query('sum(up{job="function"}) or vector(0)')[0]["value"][1] == "0"
