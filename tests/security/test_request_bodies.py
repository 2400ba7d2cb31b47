"""What a request's body may cost: no thread before it is there, and bounded memory."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import Database
from tests.security.raw_http import connect, exchange, head, metric, refused, unfinished
from tests.support import kinds
from tests.support.local_gateway import RunningGateway, deployment, running_gateway
from tests.support.net import eventually

THREADS = 2
MIB = 1024**2


async def deployed(gateway: RunningGateway) -> RunningGateway:
    """Deploy a function with few threads, and wait until it runs."""
    await gateway.deploy("threads", "threads", envVars={"THREADS": str(THREADS)})
    assert await post(gateway, b"x") == 1
    return gateway


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    async with running_gateway(tmp_path) as running:
        yield await deployed(running)


@pytest.fixture
async def hasty_gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    """A gateway that waits half a second for a body."""
    async with running_gateway(tmp_path, body_timeout=0.5) as running:
        yield await deployed(running)


async def post(gateway: RunningGateway, body: bytes) -> int:
    """Return how much of a body the function has got."""
    url = f"{gateway.url}/function/threads"
    async with asyncio.timeout(20), gateway.client.post(url, data=body) as answer:
        assert answer.status == 200, (answer.status, await answer.text())
        return int(await answer.text())


def in_flight(gateway: RunningGateway) -> int:
    threads = gateway.server.registry.get("threads")
    return sum(replica.in_flight for replica in threads.replicas)


UNFINISHED = {
    "a small body": head("POST", "/function/threads", Content_Length="1000") + b"x",
    "no byte of a body": head("POST", "/function/threads", Content_Length="1000"),
    "chunks": head("POST", "/function/threads", Transfer_Encoding="chunked") + b"3\r\nabc\r\n",
    "half a megabyte": head("POST", "/function/threads", Content_Length=str(MIB)) + b"x" * 50_000,
}


@pytest.mark.parametrize("count", [pytest.param(40, marks=pytest.mark.slow), 400])
@pytest.mark.parametrize("kind", UNFINISHED)
async def test_unfinished_bodies_take_no_threads(
    gateway: RunningGateway, kind: str, count: int
) -> None:
    """40, and 400, sockets with unfinished bodies stop no function from answering."""
    async with unfinished(gateway, count, UNFINISHED[kind]):

        async def waited_for() -> bool:
            return await metric(gateway, "universe_gateway_waiting_bodies") == count

        await eventually(waited_for)
        assert in_flight(gateway) == 0
        assert await post(gateway, b"x" * 1000) == 1000
        assert await post(gateway, b"x" * 3 * MIB) == 3 * MIB
    assert await post(gateway, b"x") == 1


async def test_very_large_bodies_leave_threads_to_others(tmp_path: Path) -> None:
    """Bodies that are too large to be received first stream a few at a time: threads are left."""
    async with running_gateway(tmp_path) as gateway:
        await gateway.deploy("threads", "threads", envVars={"THREADS": "4"})
        assert await post(gateway, b"x") == 1
        large = head("POST", "/function/threads", Content_Length=str(100 * MIB)) + b"x"
        async with unfinished(gateway, 40, large):
            streams = gateway.server.settings.max_streamed_bodies

            async def streaming() -> bool:
                return in_flight(gateway) == streams

            await eventually(streaming)
            assert await post(gateway, b"x" * 1000) == 1000
            assert await post(gateway, b"x" * 3 * MIB) == 3 * MIB
            assert in_flight(gateway) == streams


@pytest.mark.parametrize("count", [pytest.param(40, marks=pytest.mark.slow), 400])
async def test_unfinished_bodies_do_not_stop_the_pipelines_functions(
    tmp_path: Path, database: Database, count: int
) -> None:
    """process-batch and analytics-query, which have 4 threads for each core, go on answering."""
    async with running_gateway(tmp_path) as gateway:
        secrets = {
            "process-batch": {"database-url": database.writer_url, "batch-signing-key": "k" * 32},
            "analytics-query": {"database-reader-url": database.reader_url},
        }
        for name, values in secrets.items():
            for secret, value in values.items():
                (tmp_path / "secrets" / secret).write_text(value)
            body = deployment(
                name,
                secrets=list(values),
                annotations={"com.universe.handler": f"functions/{name.replace('-', '_')}"},
                envVars={"ANALYTICS_AUTH": "none"},
            )
            async with gateway.client.post(f"{gateway.url}/system/functions", json=body) as answer:
                assert answer.status == 202, await answer.text()
        for name in secrets:
            request = head("POST", f"/function/{name}/", Content_Length="1000") + b"["
            async with unfinished(gateway, count, request):
                for path in ("health/liveness", "health/readiness"):
                    async with asyncio.timeout(30):
                        status = (await gateway.call(f"{name}/{path}"))["status"]
                    assert status == "ok"


async def test_a_body_that_does_not_come_is_ended(hasty_gateway: RunningGateway) -> None:
    """408 after BODY_TIMEOUT, the connection is closed, and it is counted."""
    for kind, request in UNFINISHED.items():
        answer = await exchange(hasty_gateway, request.replace(b"close", b"keep-alive"))
        assert answer.startswith(b"HTTP/1.1 408 "), kind
        assert b"connection: close" in answer.lower()
    assert await refused(hasty_gateway, "slow_body") == len(UNFINISHED)
    assert hasty_gateway.server.registry.get("threads").invocations.started == 1


async def test_a_body_that_trickles_is_ended(hasty_gateway: RunningGateway) -> None:
    """A byte now and then does not keep a body alive."""
    pieces, sent = 100, 0
    request = head("POST", "/function/threads", Content_Length="1000")
    reader, writer = await connect(hasty_gateway)
    writer.write(request)

    async def trickle() -> None:
        nonlocal sent
        for sent in range(1, pieces + 1):  # noqa: B007
            await asyncio.sleep(0.1)
            writer.write(b"x")

    trickling = asyncio.create_task(trickle())
    # The head alone: a piece sent after the connection closed is answered with a reset.
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    trickling.cancel()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert sent < pieces, "before all of it had been sent"


async def test_a_stream_that_stops_is_ended(tmp_path: Path) -> None:
    """A very large body, which streams, obeys the same limit."""
    async with running_gateway(tmp_path, body_timeout=0.5, body_buffer_bytes=1000) as gateway:
        await deployed(gateway)
        request = head("POST", "/function/threads", Content_Length="100000") + b"x" * 5000
        assert (await exchange(gateway, request)).startswith(b"HTTP/1.1 408 ")
        assert await refused(gateway, "slow_body") == 1

        async def given_back() -> bool:
            return in_flight(gateway) == 0

        await eventually(given_back)
        assert await post(gateway, b"x" * 3000) == 3000


@pytest.mark.parametrize("buffer_bytes", kinds.quick_first([0, 8 * MIB]))
async def test_a_body_that_makes_progress_is_not_ended(tmp_path: Path, buffer_bytes: int) -> None:
    """BODY_TIMEOUT is no limit for large uploads that keep coming."""
    settings = {"body_timeout": 1.0, "body_buffer_bytes": buffer_bytes}
    async with running_gateway(tmp_path, **settings) as gateway:
        await deployed(gateway)

        async def slowly() -> AsyncIterator[bytes]:
            for _ in range(6):
                yield b"x" * 300_000
                await asyncio.sleep(0.4)

        url = f"{gateway.url}/function/threads"
        async with gateway.client.post(url, data=slowly()) as answer:
            assert (answer.status, await answer.text()) == (200, "1800000")


FLOOD = """
import asyncio, sys

async def main(host, port, count, size):
    head = b"POST /function/threads HTTP/1.1\\r\\nHost: localhost\\r\\n"
    head += b"Content-Length: %d\\r\\n\\r\\n" % (size + 1)
    body = b"x" * size
    sockets = [await asyncio.open_connection(host, port) for _ in range(count)]
    for _, writer in sockets:
        writer.write(head + body)
    print("sent", flush=True)
    await asyncio.to_thread(sys.stdin.read)

asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
"""


@pytest.mark.slow
async def test_memory_for_bodies_is_bounded(tmp_path: Path) -> None:
    """100 sockets with 3 MiB each: their total is bounded, and others get through."""
    total, count = 16 * MIB, 100
    async with running_gateway(tmp_path, body_buffer_total_bytes=total) as gateway:
        await deployed(gateway)
        own = psutil.Process(os.getpid())  # the gateway runs in this process
        before = own.memory_info().rss
        host, port = gateway.url.removeprefix("http://").split(":")
        flood = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", FLOOD, host, port, str(count), str(3 * MIB)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert flood.stdout is not None
            assert await flood.stdout.readline() == b"sent\n"
            for _ in range(3):
                assert await post(gateway, b"x" * 2 * MIB) == 2 * MIB
                assert await metric(gateway, "universe_gateway_body_buffer_bytes") <= total
            ended = await refused(gateway, "slow_body") + await refused(gateway, "buffers_full")
            assert ended > 0
            # what each connection has read ahead comes on top of the total
            assert own.memory_info().rss - before < total + count * MIB
        finally:
            flood.terminate()
            await flood.wait()

        async def freed() -> bool:
            return await metric(gateway, "universe_gateway_body_buffer_bytes") == 0

        await eventually(freed)


async def test_the_gateway_stops_with_unfinished_bodies(tmp_path: Path) -> None:
    """Unfinished bodies do not hold up the end of the platform."""
    async with running_gateway(tmp_path, term_timeout=60.0) as gateway:
        await deployed(gateway)
        sockets = [await connect(gateway) for _ in range(5)]
        for _, writer in sockets:
            writer.write(UNFINISHED["a small body"])

        async def waited_for() -> bool:
            return await metric(gateway, "universe_gateway_waiting_bodies") == len(sockets)

        await eventually(waited_for)
    # not the 408 of a body that took all the time it may take
    for reader, writer in sockets:
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        writer.close()


async def test_bodies_of_the_system_api_may_come_in_pieces(gateway: RunningGateway) -> None:
    """`POST /system/functions` in two TCP pieces is taken, as are secrets and scaling."""
    login = gateway.client.headers["Authorization"]
    requests = {
        ("POST", "/system/functions"): deployment("pieces"),
        ("POST", "/system/secrets"): {"name": "one", "value": "v" * 100_000},
        ("PUT", "/system/secrets"): {"name": "one", "value": "w"},
        ("POST", "/system/scale-function/threads"): {"serviceName": "threads", "replicas": 1},
        ("DELETE", "/system/functions"): {"functionName": "pieces"},
    }
    for (method, path), body in requests.items():
        sent = json.dumps(body).encode()
        fields = {"Authorization": login, "Content-Length": str(len(sent))}
        begin = head(method, path, **fields)
        answer = await exchange(gateway, begin, sent[:9], sent[9:-1], sent[-1:])
        assert answer.split(b" ")[1] in {b"200", b"201", b"202"}, (method, path, answer)


async def test_bodies_of_the_system_api_are_bounded(
    gateway: RunningGateway, hasty_gateway: RunningGateway
) -> None:
    """A deployment is at most 1 MiB, and has to come."""
    body = json.dumps(deployment("large", envVars={"A": "x" * MIB})).encode()
    url = f"{gateway.url}/system/functions"
    async with gateway.client.post(url, data=body) as answer:
        assert answer.status == 413
    assert await refused(gateway, "body_too_large") == 1
    login = hasty_gateway.client.headers["Authorization"]
    request = head("POST", "/system/functions", Authorization=login, Content_Length="100") + b"{"
    assert (await exchange(hasty_gateway, request)).startswith(b"HTTP/1.1 408 ")
