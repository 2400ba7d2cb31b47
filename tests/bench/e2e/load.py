"""The load generator, a program of its own: `python -m tests.bench.e2e.load`.

It keeps a number of connections busy with prebuilt HTTP/1.1 requests for some seconds. All that it
does for a request is to put a new tag into the ids, to write the bytes and to find the end of the
answer, so that it takes little of the processors that the measured service needs.

Reads a `Load` as JSON from its standard input and prints a `Loaded` as JSON.
"""

import asyncio
import gc
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import httptools
import orjson
import uvloop

from tests.bench.e2e.templates import TAG

ACCEPTED = 202
_GOLDEN = 2654435761
"""Odd, so that multiplying 32-bit numbers by it is a permutation of them: tags in no order."""


@dataclass(frozen=True)
class Load:
    """What to send.

    Attributes:
        url: where to.
        templates: file of bodies, as `templates.write` makes it.
        seconds: how long new requests are started.
        connections: requests at the same time.
        first: number of the first request: numbers used once give events that are used once.
        headers: sent with each request.
    """

    url: str
    templates: str
    seconds: float
    connections: int
    first: int
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Loaded:
    """What became of it.

    Attributes:
        requests: how many were answered.
        accepted: how many of them with 202.
        refused: the others, by status.
        started: when the first request was sent, on the system's monotonic clock.
        seconds: from then to the last answer.
        p50: median of the time from writing a request to the end of its answer, in seconds.
        p99: 99th percentile of it.
        cpu_seconds: processor time of this program meanwhile.
    """

    requests: int
    accepted: int
    refused: dict[int, int]
    started: float
    seconds: float
    p50: float
    p99: float
    cpu_seconds: float


class _Sender:
    """The bytes of the requests, one after the other, until the time is up."""

    def __init__(self, load: Load) -> None:
        self._templates = Path(load.templates).read_bytes().splitlines()
        url = urlsplit(load.url)
        self.host, self.port = url.hostname or "127.0.0.1", url.port or 80
        lines = [f"POST {url.path} HTTP/1.1", f"Host: {url.netloc}"]
        headers = {"Content-Type": "application/json"} | load.headers
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._head = ("\r\n".join(lines) + "\r\nContent-Length: ").encode()
        self._number = load.first
        self.until = 0.0
        self.statuses: Counter[int] = Counter()
        self.latencies: list[float] = []

    def next(self) -> bytes:
        """Return the next request."""
        number = self._number
        self._number += 1
        tag = b"%08x" % (number * _GOLDEN & 0xFFFFFFFF)
        body = self._templates[number % len(self._templates)].replace(TAG, tag)
        return b"%b%d\r\n\r\n%b" % (self._head, len(body), body)


class _Connection(asyncio.Protocol):
    """Sends a request, waits for the answer, sends the next."""

    def __init__(self, sender: _Sender) -> None:
        self._sender = sender
        self._parser = httptools.HttpResponseParser(self)
        self._written = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def send(self) -> None:
        """Send a request."""
        self._written = time.perf_counter()
        self._transport.write(self._sender.next())

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self._sender.latencies.append(now - self._written)
        self._sender.statuses[self._parser.get_status_code()] += 1
        if now < self._sender.until:
            self.send()
        else:
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the service closed the connection"))


async def run(load: Load) -> Loaded:
    """Send the requests and return what became of them.

    Raises:
        OSError: a connection failed or was closed.
    """
    sender = _Sender(load)
    loop = asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(lambda: _Connection(sender), sender.host, sender.port))[1]
        for _ in range(load.connections)
    ]
    gc.freeze()
    gc.disable()
    cpu_seconds = time.process_time()
    started, began = time.monotonic(), time.perf_counter()
    sender.until = began + load.seconds
    for connection in connections:
        connection.send()
    await asyncio.gather(*(connection.done for connection in connections))
    seconds = time.perf_counter() - began
    ordered = sorted(sender.latencies)
    accepted = sender.statuses.pop(ACCEPTED, 0)
    return Loaded(
        requests=len(ordered),
        accepted=accepted,
        refused=dict(sender.statuses),
        started=started,
        seconds=seconds,
        p50=ordered[len(ordered) // 2],
        p99=ordered[len(ordered) * 99 // 100],
        cpu_seconds=time.process_time() - cpu_seconds,
    )


def main() -> None:
    """Do what the standard input says."""
    loaded = uvloop.run(run(Load(**orjson.loads(sys.stdin.buffer.read()))))
    print(orjson.dumps(asdict(loaded), option=orjson.OPT_NON_STR_KEYS).decode())


if __name__ == "__main__":
    main()
