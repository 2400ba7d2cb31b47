"""What the gateway reads from a replica's connection, bytes as they come."""

import asyncio

from infra.local.gateway.http1.upstream import Upstream


async def test_trailers_of_a_response_are_no_header_fields() -> None:
    response = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Own: 1\r\n\r\n"
        b"2\r\nok\r\n0\r\nConnection: close\r\nSet-Cookie: late\r\n\r\n"
    )

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response)  # in one piece: the head has not been passed on before the trailers
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        upstream = Upstream(*server.sockets[0].getsockname()[:2])
        connection = await upstream.connect()
        connection.begin("GET", 30)
        connection.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await connection.wait_for_head()
        names = [name for name, _, _ in connection.headers]
        assert names == [b"transfer-encoding", b"x-own"]
        assert await connection.read() == b"ok"
        assert connection.keep_alive  # whatever the trailer says
        connection.abort()
