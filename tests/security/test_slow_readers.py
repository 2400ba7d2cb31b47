"""A client that does not read its response keeps no thread of a function."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.security.raw_http import head, refused
from tests.support.local_gateway import RunningGateway, running_gateway
from tests.support.net import eventually

MIB = 1024**2
THREADS = 2


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    """A gateway that waits a second for a client to read, and a function with two threads."""
    async with running_gateway(tmp_path, response_timeout=1.0) as running:
        await running.deploy("threads", "threads", envVars={"THREADS": str(THREADS)})
        await running.call("threads")
        yield running


async def ask_and_do_not_read(gateway: RunningGateway, size: int) -> socket.socket:
    """Ask for a response of so many bytes, and leave it unread."""
    host, port = gateway.url.removeprefix("http://").split(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, (host, int(port)))
    await loop.sock_sendall(sock, head("GET", f"/function/threads?size={size}"))
    return sock


async def test_responses_that_nobody_reads_are_ended(gateway: RunningGateway) -> None:
    """After RESPONSE_TIMEOUT the connection is closed, the thread is free, and it is counted."""
    sockets = [await ask_and_do_not_read(gateway, 50 * MIB) for _ in range(2 * THREADS)]
    try:

        async def ended() -> bool:
            return await refused(gateway, "slow_response") == len(sockets)

        await eventually(ended, 30)
        async with asyncio.timeout(20):
            assert await gateway.call("threads") == 0
        threads = gateway.server.registry.get("threads")
        assert threads.invocations.in_flight == 0
    finally:
        for each in sockets:
            each.close()


async def test_a_client_that_reads_slowly_gets_all(gateway: RunningGateway) -> None:
    """RESPONSE_TIMEOUT is no limit for long downloads, as long as the client goes on reading."""
    size = 20 * MIB
    sock = await ask_and_do_not_read(gateway, size)
    loop = asyncio.get_running_loop()
    received = 0
    with sock:
        for part_number in range(1, 11):
            await asyncio.sleep(0.2)
            while received < part_number * MIB:
                received += len(await loop.sock_recv(sock, MIB))
        while part := await loop.sock_recv(sock, MIB):
            received += len(part)
    assert received > size
    assert await refused(gateway, "slow_response") == 0
