"""A function and a gateway that do what a test tells them, as real processes."""

import json
import socket
from pathlib import Path
from typing import Any, Self

from tests.support.fake_gateway import replace_file
from tests.support.net import free_port, wait_until
from tests.support.process import Process


class FakeFunction(Process):
    """See `tests.support.fake_function`."""

    def __init__(self, folder: Path, name: str = "function") -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.journal = folder / f"{name}.journal"
        self._mode = folder / f"{name}.mode"
        super().__init__(
            [
                "-m",
                "tests.support.fake_function",
                str(self.port),
                str(self.journal),
                str(self._mode),
            ],
            folder / f"{name}.log",
            {},
        )

    def ready(self) -> Self:
        """Wait until it takes requests."""
        wait_until(lambda: _listens(self.port))
        return self

    def mode(self, **mode: Any) -> None:
        """Make it answer every call so: `status`, `headers`, `delay`, `drop`; nothing ends it.

        It answers 429 to calls beyond `takes` at the same time.
        """
        replace_file(self._mode, mode)

    def entries(self) -> list[dict[str, Any]]:
        """Return the journal."""
        if not self.journal.exists():
            return []
        complete, _, _ = self.journal.read_text().rpartition("\n")  # the rest is being written
        return [json.loads(line) for line in complete.splitlines()]

    def calls(self) -> list[list[str]]:
        """Return the message ids of each call."""
        return [entry["ids"] for entry in self.entries() if "ids" in entry]

    def requests(self) -> list[dict[str, Any]]:
        """Return each call with its headers and body."""
        return [entry for entry in self.entries() if "ids" in entry]

    def refused(self) -> int:
        """Return how many calls it has refused, since it had as many as it takes."""
        return sum("refused" in entry for entry in self.entries())

    def done(self) -> list[str]:
        """Return the ids of all events that it took, repetitions included."""
        return [
            event
            for entry in self.entries()
            for events in entry.get("done", {}).values()
            for event in events
        ]


class FakeGateway(Process):
    """See `tests.support.fake_gateway`."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._state = folder / "gateway.json"
        self._journal = folder / "gateway.journal"
        replace_file(self._state, {"functions": []})
        super().__init__(
            [
                "-m",
                "tests.support.fake_gateway",
                str(self.port),
                str(self._state),
                str(self._journal),
            ],
            folder / "gateway.log",
            {},
        )

    def ready(self) -> Self:
        """Wait until it takes requests."""
        wait_until(lambda: _listens(self.port))
        return self

    def serve(self, *functions: dict[str, Any], **state: Any) -> None:
        """Set what it knows."""
        replace_file(self._state, {"functions": list(functions), **state})

    def functions(self) -> list[dict[str, Any]]:
        """Return the functions with their replicas."""
        return json.loads(self._state.read_text())["functions"]

    def asked(self, name: str = "") -> list[int]:
        """Return the replicas that were asked for, of all functions or of one, in their order."""
        if not self._journal.exists():
            return []
        entries = [json.loads(line) for line in self._journal.read_text().splitlines()]
        return [entry["replicas"] for entry in entries if name in ("", entry["name"])]


def subscribed(
    name: str,
    function: FakeFunction,
    topic: str | None,
    labels: dict[str, str] | None = None,
    /,
    **options: str,
) -> dict[str, Any]:
    """Return a function of the fake gateway with a topic, and with annotations of the connector.

    Args:
        name: its name.
        function: what it is.
        topic: its subjects; None: it has no such annotation.
        labels: its labels.
        options: its annotations `jetstream....`, their names written with _ for each dash.
    """
    annotations = {f"jetstream.{key.replace('_', '-')}": text for key, text in options.items()}
    if topic is not None:
        annotations["topic"] = topic
    return deployed(name, function.url, labels=labels or {}, annotations=annotations)


def deployed(name: str, url: str, **fields: Any) -> dict[str, Any]:
    """Return a function of the fake gateway that takes batches of `events.>`."""
    annotations = {"topic": "events.>", "jetstream.batch-size": "5000"}
    return {
        "name": name,
        "url": url,
        "namespace": "openfaas-fn",
        "replicas": 1,
        "labels": {},
        **fields,
        "annotations": fields.get("annotations", annotations),
    }


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
