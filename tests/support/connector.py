"""The connector as a real process."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.fakes import FakeFunction
from tests.support.net import free_port, plain_http, wait_until
from tests.support.process import Process
from tests.support.secrets import secrets_folder

QUICK = {
    "NATS_ACK_WAIT": "3s",
    "NATS_BACKOFF": "50ms",
    "NATS_MAX_DELIVER": "3",
    "DISCOVERY_INTERVAL": "200ms",
    "SCALE_INTERVAL": "200ms",
    "FUNCTION_TIMEOUT": "20s",
}
"""Settings under which failures take little time."""


class ConnectorProcess(Process):
    """The connector."""

    def __init__(self, folder: Path, nats_url: str, name: str = "connector", **env: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        secrets = env.get("SECRETS_DIR") or str(secrets_folder(folder / f"{name}-secrets"))
        super().__init__(
            ["-m", "infra.connector"],
            folder / f"{name}.log",
            {
                **QUICK,
                "NATS_URL": nats_url,
                "HOST": "127.0.0.1",
                "PORT": str(self.port),
                **env,
                "SECRETS_DIR": secrets,
            },
        )

    def bound(self, bindings: int = 1) -> Self:
        """Wait until it has bound so many functions."""
        wait_until(lambda: len(self.bindings()) == bindings)
        return self

    def bindings(self) -> list[dict[str, Any]]:
        """Return the bindings that work."""
        return [b for b in self.state().get("bindings", []) if b["fault"] is None]

    def state(self) -> dict[str, Any]:
        """Return what it tells of itself; nothing while it does not answer."""
        try:
            return plain_http.get(f"{self.url}/bindings", timeout=5).json()
        except httpx.TransportError:
            return {}

    def health(self, kind: str = "readiness") -> tuple[int, dict[str, Any]]:
        """Return the status and body of a health question; status 0 for no answer."""
        try:
            answer = plain_http.get(f"{self.url}/health/{kind}", timeout=5)
        except httpx.TransportError:
            return 0, {}
        return answer.status_code, answer.json()

    def metrics(self) -> dict[str, float]:
        """Return the sum of each metric over its labels, without the common prefix."""
        text = plain_http.get(f"{self.url}/metrics", timeout=5).text
        sums: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name.removeprefix("universe_connector_")
                sums[name] = sums.get(name, 0.0) + sample.value
        return sums

    def lines(self) -> list[dict[str, Any]]:
        """Return its log."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def connector_to(
    function: FakeFunction, folder: Path, nats_url: str, name: str = "connector", **env: str
) -> Iterator[ConnectorProcess]:
    """Run a connector that delivers `events.>` to one function's address.

    Where the test fails, what the connector says of itself is printed.
    """
    with ConnectorProcess(folder, nats_url, name, FUNCTION_URL=function.url, **env) as connector:
        connector.start().bound()
        try:
            yield connector
        except Exception:
            print(connector.state(), *connector.log.read_text().splitlines()[-40:], sep="\n")
            raise
