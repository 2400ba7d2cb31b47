"""The exporter of database and stream metrics, as a real process."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from functions.common.paths import ROOT
from infra.monitoring.exporter.database import DatabaseCollector
from tests.support.net import free_port, plain_http, wait_until
from tests.support.tied_process import TiedProcess


class Samples(dict[tuple[str, frozenset[tuple[str, str]]], float]):
    """Samples by name and labels."""

    def value(self, name: str, **labels: str) -> float | None:
        """Return a sample's value, None where there is no such sample."""
        return self.get((name, frozenset(labels.items())))

    def all(self, name: str) -> dict[frozenset[tuple[str, str]], float]:
        """Return a metric's values by labels."""
        return {labels: value for (each, labels), value in self.items() if each == name}


def collected(reader_url: str) -> Samples:
    """Collect the metrics of a database in this process, as the exporter does."""
    collector = DatabaseCollector(reader_url, 4)
    try:
        return Samples(
            {
                (sample.name, frozenset(sample.labels.items())): sample.value
                for metric in collector.collect()
                for sample in metric.samples
            }
        )
    finally:
        collector.close()


class Exporter:
    """A running exporter."""

    def __init__(self, url: str, process: TiedProcess) -> None:
        self.url = url
        self.process = process

    def scrape(self) -> Samples:
        """Scrape it."""
        answer = plain_http.get(f"{self.url}/metrics", timeout=30).raise_for_status()
        return Samples(
            {
                (sample.name, frozenset(sample.labels.items())): sample.value
                for family in text_string_to_metric_families(answer.text)
                for sample in family.samples
            }
        )


@contextmanager
def exporter(log: Path, **environment: str) -> Iterator[Exporter]:
    """Run the exporter until the block ends.

    Args:
        log: a file for what it writes.
        environment: DATABASE_READER_URL, NATS_URL and the like.
    """
    port = free_port()
    with log.open("ab") as output:
        process = TiedProcess(
            [sys.executable, "-m", "infra.monitoring.exporter"],
            env={**os.environ, "HOST": "127.0.0.1", "PORT": str(port), **environment},
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
    running = Exporter(f"http://127.0.0.1:{port}", process)

    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return plain_http.get(f"{running.url}/health/readiness").status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(ready, 60)
        yield running
    finally:
        process.terminate()
        process.wait(30)
