"""How many connections the gateway keeps: a bounded number, and idle ones give way to new ones."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.security.raw_http import connect, exchange, head, metric, refused, unfinished
from tests.support.local_gateway import RunningGateway, running_gateway
from tests.support.net import eventually

MOST = 20
BUSY = head("POST", "/function/echo", Content_Length="1000") + b"x"
ALIVE = head("GET", "/healthz")


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    async with running_gateway(tmp_path, max_connections=MOST) as running:
        await running.deploy()
        yield running


async def test_idle_connections_give_way(gateway: RunningGateway) -> None:
    """Sockets on which nothing comes, or half a head, keep nobody out."""
    async with unfinished(gateway, 3 * MOST, b"GET / HT") as sockets:
        for _ in range(3):
            assert (await exchange(gateway, ALIVE)).startswith(b"HTTP/1.1 200 ")
        closed, _ = sockets[0]
        assert await closed.read() == b"", "the oldest have been closed"
        assert await metric(gateway, "universe_gateway_connections") <= MOST
    assert await refused(gateway, "connections") == 0


async def test_a_kept_alive_connection_is_idle_between_its_requests(
    gateway: RunningGateway,
) -> None:
    """So it gives way as well, and a request on its way does not."""
    kept, writer = await connect(gateway)
    writer.write(ALIVE.replace(b"close", b"keep-alive"))
    assert await kept.readline() == b"HTTP/1.1 200 OK\r\n"
    async with unfinished(gateway, MOST, b""):
        rest = await asyncio.wait_for(kept.read(), 30)
        assert b"HTTP" not in rest
    writer.close()


async def test_more_than_may_be_are_refused(gateway: RunningGateway) -> None:
    """503 with Retry-After where all are in use; it is counted, and the others go on."""

    async def waited_for() -> bool:
        return await metric(gateway, "universe_gateway_waiting_bodies") == MOST - 1

    async with unfinished(gateway, MOST - 1, BUSY) as busy:
        await eventually(waited_for)  # and the client that asks has the last connection
        last: list[asyncio.StreamWriter] = []

        async def refuses() -> bytes:
            answer = b""
            with suppress(ConnectionError):
                answer = await exchange(gateway, ALIVE)
            if answer.startswith(b"HTTP/1.1 503 "):
                return answer
            _, writer = await connect(gateway)
            writer.write(BUSY)
            last.append(writer)
            return b""

        assert b"Retry-After: 1\r\n" in await eventually(refuses)
        assert not any(reader.at_eof() for reader, _ in busy)
        for writer in last:
            writer.close()
    assert await refused(gateway, "connections") >= 1
    assert (await exchange(gateway, ALIVE)).startswith(b"HTTP/1.1 200 ")


async def test_a_burst_is_bounded_as_well(gateway: RunningGateway) -> None:
    """All at once, before the event loop has looked at one of them."""
    sockets = await asyncio.gather(*(connect(gateway) for _ in range(10 * MOST)))
    assert await metric(gateway, "universe_gateway_connections") <= MOST
    for _, writer in sockets:
        writer.close()
