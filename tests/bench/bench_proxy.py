"""What the local gateway adds to a request, compared with asking the replica directly.

Both are measured in the same run, taking turns, so that a noisy machine hurts both alike. The
gateway is a process of its own, as in production; the load comes from this one.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from functions.common.paths import ROOT
from infra.local.gateway.http1.upstream import Upstream
from tests.bench.options import Options
from tests.support.local_gateway import running_gateway

REQUESTS = 3000
"""How many go each way, per measurement."""
QUICK_REQUESTS = 600
CONNECTIONS = 16
"""In the throughput measurement; latency is measured with one."""
BODY_BYTES = 1024


@dataclass(frozen=True)
class Target:
    """Where a request goes to."""

    host: str
    port: int
    path: str

    def request(self, body: bytes) -> bytes:
        """Return the bytes of a request."""
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def run(options: Options) -> dict[str, Any]:
    """Measure and return figures."""
    requests = QUICK_REQUESTS if options.quick else REQUESTS
    with _served() as (direct, proxied):
        return uvloop.run(_measure(direct, proxied, requests, CONNECTIONS, BODY_BYTES))


async def _measure(
    direct: Target, proxied: Target, requests: int, concurrency: int, body_bytes: int
) -> dict[str, Any]:
    body = b"x" * body_bytes
    for target in (direct, proxied):
        await _latencies(target, body, 200)
    seconds: dict[str, list[float]] = {"direct": [], "proxied": []}
    turns = 20
    for _ in range(turns):
        seconds["direct"] += await _latencies(direct, body, requests // turns)
        seconds["proxied"] += await _latencies(proxied, body, requests // turns)
    rates: dict[str, list[float]] = {"direct": [], "proxied": []}
    for _ in range(5):
        rates["direct"].append(await _rate(direct, body, requests // 5, concurrency))
        rates["proxied"].append(await _rate(proxied, body, requests // 5, concurrency))
    latency = {name: _percentiles(values) for name, values in seconds.items()}
    rate = {name: round(statistics.median(values)) for name, values in rates.items()}
    return {
        "requests": requests,
        "body_bytes": body_bytes,
        "concurrency": concurrency,
        "direct_us": latency["direct"],
        "proxied_us": latency["proxied"],
        "added_us": {
            p: round(latency["proxied"][p] - latency["direct"][p], 1) for p in ("p50", "p99")
        },
        "ratio": {
            p: round(latency["proxied"][p] / latency["direct"][p], 2) for p in ("p50", "p99")
        },
        "requests_per_second": {**rate, "ratio": round(rate["proxied"] / rate["direct"], 2)},
    }


async def _latencies(target: Target, body: bytes, count: int) -> list[float]:
    upstream = Upstream(target.host, target.port)
    request = target.request(body)
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        await _exchange(upstream, request)
        seconds.append(time.perf_counter() - started)
    upstream.close()
    return seconds


async def _rate(target: Target, body: bytes, count: int, concurrency: int) -> float:
    upstream = Upstream(target.host, target.port)
    request = target.request(body)

    async def worker() -> None:
        for _ in range(count // concurrency):
            await _exchange(upstream, request)

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    seconds = time.perf_counter() - started
    upstream.close()
    return count // concurrency * concurrency / seconds


async def _exchange(upstream: Upstream, request: bytes) -> None:
    connection = upstream.idle_connection() or await upstream.connect()
    connection.begin("POST", 30)
    connection.write(request)
    await connection.wait_for_head()
    while await connection.read():
        pass
    assert connection.status == 200, connection.status
    upstream.release(connection)


def _percentiles(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100)
    return {"p50": round(cuts[49] * 1e6, 1), "p99": round(cuts[98] * 1e6, 1)}


@contextmanager
def _served() -> Iterator[tuple[Target, Target]]:
    with tempfile.TemporaryDirectory(prefix="universe-bench-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.bench_proxy", "--serve", folder],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            ports = json.loads(process.stdout.readline())
            yield (
                Target("127.0.0.1", ports["replica"], "/health/liveness"),
                Target("127.0.0.1", ports["gateway"], "/function/echo/health/liveness"),
            )
        finally:
            process.stdin.close()
            process.wait()


async def _serve(folder: Path) -> None:
    """Run a gateway with a function until the standard input ends."""
    async with running_gateway(folder) as gateway:
        await gateway.deploy()
        await gateway.call()
        replica = gateway.server.registry.get("echo").ready[0]
        gateway_port = int(gateway.url.rsplit(":", 1)[1])
        print(json.dumps({"replica": replica.port, "gateway": gateway_port}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        uvloop.run(_serve(Path(sys.argv[2])))
    else:
        print(json.dumps(run(Options()), indent=2))
