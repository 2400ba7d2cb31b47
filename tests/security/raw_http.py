"""Requests as an attacker writes them: byte by byte, on sockets of their own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.support.local_gateway import RunningGateway


async def connect(gateway: RunningGateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = gateway.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def exchange(gateway: RunningGateway, *pieces: bytes, pause: float = 0.05) -> bytes:
    """Send pieces, each in a TCP segment of its own; return all that comes until the end."""
    reader, writer = await connect(gateway)
    for number, piece in enumerate(pieces):
        if number:
            await asyncio.sleep(pause)
        writer.write(piece)
        await writer.drain()
    try:
        return await asyncio.wait_for(reader.read(), 60)
    finally:
        writer.close()


async def status_of(gateway: RunningGateway, request: bytes) -> int:
    """Send a request that asks to close the connection; return the status of the answer."""
    answer = await exchange(gateway, request)
    return int(answer.split(b" ", 2)[1])


def head(method: str, path: str, **fields: str) -> bytes:
    """Return the head of a request; `Connection: close` unless told otherwise."""
    fields = {"Host": "127.0.0.1", "Connection": "close"} | fields
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()


@asynccontextmanager
async def unfinished(
    gateway: RunningGateway, count: int, request: bytes
) -> AsyncIterator[list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]:
    """Hold sockets open on which a request was begun."""
    sockets = [await connect(gateway) for _ in range(count)]
    try:
        for _, writer in sockets:
            writer.write(request)
        yield sockets
    finally:
        for _, writer in sockets:
            writer.close()
        for _, writer in sockets:
            with suppress(ConnectionError):
                await writer.wait_closed()


async def refused(gateway: RunningGateway, reason: str) -> float:
    """Return how many requests the gateway counts as refused for a reason."""
    return await metric(gateway, f'universe_gateway_refused_requests_total{{reason="{reason}"}}')


async def metric(gateway: RunningGateway, name: str) -> float:
    """Return a metric of the gateway."""
    async with gateway.client.get(f"{gateway.url}/metrics") as answer:
        assert answer.status == 200
        lines = (await answer.text()).splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))
