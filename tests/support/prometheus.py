"""A real Prometheus of a test's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.support.debian import debian_tool
from tests.support.net import free_port, plain_http, wait_until
from tests.support.tied_process import TiedProcess

Sample = dict[str, Any]


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=f"{url}/api/v1", timeout=30, verify=False)

    def query(self, expression: str) -> list[Sample]:
        """Return the samples of an expression now.

        Raises:
            AssertionError: Prometheus does not understand it.
        """
        answer = self._client.post("/query", data={"query": expression})
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        return answer.json()["data"]["result"]

    def targets(self) -> list[dict[str, Any]]:
        """Return the targets that are scraped."""
        return self._get("/targets")["activeTargets"]

    def discovered(self) -> dict[str, Any]:
        """Return the targets, scraped and dropped, once there are any."""

        def any_target() -> dict[str, Any] | None:
            found = self._get("/targets")
            return found if found["activeTargets"] or found["droppedTargets"] else None

        found = wait_until(any_target, 30)
        assert found is not None
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Return the alert rules with their state."""
        return [rule for group in self._get("/rules")["groups"] for rule in group["rules"]]

    def series(self, name: str) -> list[dict[str, str]]:
        """Return the label sets of a metric's series."""
        return self._client.get("/series", params={"match[]": name}).json()["data"]

    def metric_names(self) -> set[str]:
        """Return the names of the metrics that targets declare, with or without a sample."""
        declared = self._get("/metadata")
        sampled = self._get("/label/__name__/values")
        return {*declared, *sampled}

    def _get(self, path: str) -> Any:
        return self._client.get(path).raise_for_status().json()["data"]


@contextmanager
def prometheus(folder: Path, config: dict[str, Any]) -> Iterator[Prometheus]:
    """Run Prometheus with a configuration until the block ends; its data goes below `folder`."""
    program = debian_tool("prometheus", "prometheus")
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = TiedProcess(
            [
                program,
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=output,
            stderr=output,
        )
    try:

        def ready() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return plain_http.get(f"http://{address}/-/ready").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(ready, 60)
        yield Prometheus(f"http://{address}")
    finally:
        process.terminate()
        process.wait(30)
