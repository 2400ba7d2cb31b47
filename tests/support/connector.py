"""The connector, and what it talks to, as real processes."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from nats.aio.client import Client
from nats.js import JetStreamContext
from prometheus_client.parser import text_string_to_metric_families

from functions.common.broker import BrokerSettings, ensure_streams
from tests.support.fake_gateway import replace_file
from tests.support.net import eventually, free_port, plain_http, wait_until

ROOT = Path(__file__).resolve().parents[2]
FAKE_FUNCTION = ("-m", "tests.support.fake_function")
FAKE_GATEWAY = ("-m", "tests.support.fake_gateway")
QUICK = {
    "NATS_ACK_WAIT": "3s",
    "NATS_BACKOFF": "50ms",
    "NATS_MAX_DELIVER": "3",
    "DISCOVERY_INTERVAL": "200ms",
    "SCALE_INTERVAL": "200ms",
    "FUNCTION_TIMEOUT": "20s",
}
"""Settings under which failures take little time."""


class Process:
    """A Python program as a process, which can be started again."""

    def __init__(self, arguments: list[str], log: Path, environment: dict[str, str]) -> None:
        self._arguments = arguments
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        self._watch: threading.Thread | None = None
        self._watching = threading.Event()
        self.log = log
        self.starts = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *self._arguments],
                env=self._environment,
                cwd=ROOT,
                stdout=output,
                stderr=output,
            )
        self.starts += 1
        return self

    def keep_running(self) -> Self:
        """Start it whenever it does not run, as an engine does."""
        self._watching.set()

        def watch() -> None:
            while self._watching.is_set():
                if self.process is None or self.process.poll() is not None:
                    self.start()
                threading.Event().wait(0.02)

        self._watch = threading.Thread(target=watch, daemon=True)
        self._watch.start()
        return self

    def signal(self, signum: int) -> None:
        """Send a signal."""
        assert self.process
        self.process.send_signal(signum)

    def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 40) -> int:
        """Ask it to end, and return its exit status."""
        if self._watch:
            self._watching.clear()
            self._watch.join()
            self._watch = None
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


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
        """Make it answer every call so: `status`, `headers`, `delay`, `drop`; nothing ends it."""
        replace_file(self._mode, mode)

    def entries(self) -> list[dict[str, Any]]:
        """Return the journal."""
        if not self.journal.exists():
            return []
        return [json.loads(line) for line in self.journal.read_text().splitlines()]

    def calls(self) -> list[list[str]]:
        """Return the message ids of each call."""
        return [entry["ids"] for entry in self.entries() if "ids" in entry]

    def requests(self) -> list[dict[str, Any]]:
        """Return each call with its headers and body."""
        return [entry for entry in self.entries() if "ids" in entry]

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

    def asked(self) -> list[int]:
        """Return the replicas that were asked for, in their order."""
        if not self._journal.exists():
            return []
        return [json.loads(line)["replicas"] for line in self._journal.read_text().splitlines()]


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


class ConnectorProcess(Process):
    """The connector."""

    def __init__(self, folder: Path, nats_url: str, name: str = "connector", **env: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(
            ["-m", "infra.connector"],
            folder / f"{name}.log",
            {**QUICK, "NATS_URL": nats_url, "HOST": "127.0.0.1", "PORT": str(self.port), **env},
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
    """Run a connector that delivers `events.>` to one function's address."""
    with ConnectorProcess(folder, nats_url, name, FUNCTION_URL=function.url, **env) as connector:
        connector.start().bound()
        yield connector


async def streams(nc: Client) -> JetStreamContext:
    """Make the streams, and return a context to publish with."""
    js = nc.jetstream()
    await ensure_streams(js, BrokerSettings())  # type: ignore[call-arg]
    return js


def event(name: str, do: str = "", **fields: Any) -> dict[str, Any]:
    """Return an event for the fake function."""
    return {"eventId": name, **({"do": do} if do else {}), **fields}


async def publish(
    js: JetStreamContext,
    *payloads: Any,
    subject: str = "events.facebook",
    counted: bool = False,
) -> None:
    """Publish each payload, an event or a list of events, as one message.

    With `counted`, lists say how many events they hold, as ingest does.
    """
    for payload in payloads:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        headers = {"X-Call-Id": "call-1"}
        if isinstance(payload, list) and counted:
            headers["Event-Count"] = str(len(payload))
        await js.publish(subject, data, headers=headers)


async def backlog(js: JetStreamContext, stream: str = "EVENTS") -> int:
    """Return how many messages a stream holds."""
    return (await js.stream_info(stream)).state.messages


async def drained(js: JetStreamContext, seconds: float = 60, left: int = 0) -> None:
    """Wait until the stream is empty, or until `left` messages are left in it."""

    async def is_drained() -> bool:
        return await backlog(js) == left

    await eventually(is_drained, seconds)


async def dead_letters(js: JetStreamContext, stream: str = "EVENTS_DLQ") -> list[Any]:
    """Return the messages of the dead-letter queue: with `data`, `headers`, `subject`."""
    info = await js.stream_info(stream)
    found = []
    for sequence in range(max(info.state.first_seq, 1), info.state.last_seq + 1):
        found.append(await js.get_msg(stream, sequence))
    return found
