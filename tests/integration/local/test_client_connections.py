"""What clients may do with a connection to the gateway: keep it, pipeline, break off, ask first."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.local.gateway.http1.client import MAX_HEADER_BYTES, MAX_PIPELINED
from tests.security.raw_http import connect, exchange, head, status_of
from tests.support.local_gateway import RunningGateway, running_gateway
from tests.support.net import eventually

KEPT = {"Connection": "keep-alive"}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    async with running_gateway(tmp_path) as running:
        await running.deploy()
        yield running


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return status and body of the next answer on a connection."""
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    lines = answer.lower().split(b"\r\n")
    lengths = [line.partition(b":")[2] for line in lines if line.startswith(b"content-length:")]
    body = await asyncio.wait_for(reader.readexactly(int(lengths[0])), 30) if lengths else b""
    return int(answer.split(b" ", 2)[1]), body


def statuses(answers: bytes) -> list[int]:
    """Return the status of each of the answers."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", answers)]


async def test_one_connection_reaches_functions_and_the_system_api(gateway: RunningGateway) -> None:
    """Both are behind one port, and a client that keeps its connection need not care."""
    reader, writer = await connect(gateway)
    for path, status in (
        ("/healthz", 200), ("/function/echo", 200), ("/system/functions", 401),
        ("/function/nothing", 404), ("/nowhere", 404), ("/function/echo/x", 200),
    ):  # fmt: skip
        writer.write(head("GET", path, **KEPT))
        assert (await read_answer(reader))[0] == status, path
    writer.close()


async def test_pipelined_requests_to_both_are_answered_in_order(gateway: RunningGateway) -> None:
    requests = head("GET", "/function/echo/sleep?s=0.2", **KEPT) + head("GET", "/healthz", **KEPT)
    last = head("GET", "/function/nothing")
    assert statuses(await exchange(gateway, requests + last)) == [200, 200, 404]


async def test_what_is_pipelined_is_bounded(gateway: RunningGateway) -> None:
    """A connection takes so many requests at a time, answers them, and is closed."""
    one = head("GET", "/healthz", **KEPT)
    answers = statuses(await exchange(gateway, one * (MAX_PIPELINED * 3)))
    assert set(answers) == {200}
    assert MAX_PIPELINED <= len(answers) <= MAX_PIPELINED + 2


async def test_pieces_of_a_request_may_come_one_by_one(gateway: RunningGateway) -> None:
    request = head("POST", "/function/echo/p?q=1", Content_Length="4") + b"body"
    answer = await exchange(gateway, *(bytes([each]) for each in request), pause=0)
    assert statuses(answer) == [200]
    assert b'"body": "body"' in answer


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01 is TLS\r\n\r\n", 400),
        (b"GET /function/echo HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n", 400),
        (b"GET /function/echo HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n", 400),
        (b"CONNECT example.com:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
        (
            b"POST /function/echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            b"POST /function/echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n"
            b"Content-Length: 4\r\n\r\nabcd",
            400,
        ),
        (
            b"POST /function/echo HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Transfer-Encoding: chunked\r\n\r\nno length\r\n",
            400,
        ),
        (
            b"POST /function/echo HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            b"POST /function/echo HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (head("POST", "/function/echo", Expect="a miracle", Content_Length="1"), 417),
    ],
)
async def test_what_is_not_http_ends_with_its_connection(
    gateway: RunningGateway, request_bytes: bytes, status: int
) -> None:
    """Nothing that follows is taken for another request."""
    answer = await exchange(gateway, request_bytes + head("GET", "/function/echo/smuggled"))
    assert statuses(answer) == [status]
    assert b"smuggled" not in answer
    assert gateway.server.registry.get("echo").invocations.started == 0


CHUNKED = head("POST", "/function/echo", Transfer_Encoding="chunked", **KEPT)


async def test_trailers_are_no_fields_of_the_next_request(gateway: RunningGateway) -> None:
    trailed = CHUNKED + b"2\r\nab\r\n0\r\nX-Trailer: smuggled\r\nX-Other: smuggled\r\n\r\n"
    answers = await exchange(gateway, trailed + head("GET", "/function/echo"))
    assert statuses(answers) == [200, 200]
    assert b"smuggled" not in answers


@pytest.mark.parametrize("end", [b"0\r\n" + b"X: y\r\n" * 1000, b"1;" + b"x" * 1000])
async def test_what_frames_a_body_is_bounded(gateway: RunningGateway, end: bytes) -> None:
    """Trailers and extensions of chunks without an end, of which no limit of bodies knows."""
    reader, writer = await connect(gateway)
    writer.write(CHUNKED + b"2\r\nab\r\n" + end)
    sent = 0
    with contextlib.suppress(ConnectionError):
        while not writer.transport.is_closing() and not reader.at_eof() and sent < 64 * 1024 * 1024:
            piece = end.removeprefix(b"0\r\n").removeprefix(b"1;") * 50
            writer.write(piece)
            sent += len(piece)
            await writer.drain()
            await asyncio.sleep(0)
    writer.close()
    assert sent < 64 * 1024 * 1024
    assert gateway.server.registry.get("echo").invocations.started == 0


async def test_heads_are_bounded(gateway: RunningGateway) -> None:
    """As one piece and in pieces, in one field, in many and in the path."""
    most = MAX_HEADER_BYTES
    assert await status_of(gateway, head("GET", "/function/echo", X="x" * (most - 200))) == 200
    assert await status_of(gateway, head("GET", "/function/echo", X="x" * most)) == 431
    assert await status_of(gateway, head("GET", "/function/echo?" + "x" * most)) == 431
    many = {f"X_{number}": "x" * 50 for number in range(most // 50)}
    assert await status_of(gateway, head("GET", "/function/echo", **many)) == 431
    reader, writer = await connect(gateway)
    writer.write(head("GET", "/function/echo")[:-2] + b"X: ")
    with contextlib.suppress(ConnectionError):  # closed while it is still being sent
        async with asyncio.timeout(30):
            while not reader.at_eof():
                writer.write(b"x" * 10_000)
                await writer.drain()
                await asyncio.sleep(0)
                if writer.is_closing():
                    break
    writer.close()
    assert gateway.server.registry.get("echo").invocations.started == 1


async def test_an_absolute_url_is_a_path(gateway: RunningGateway) -> None:
    for url in ("http://127.0.0.1/function/echo/x?y", "HTTPS://other/function/echo/x?y"):
        answer = await exchange(gateway, head("GET", url))
        assert b'"rawPath": "/x"' in answer


async def test_an_upgrade_is_not_taken(gateway: RunningGateway) -> None:
    """The request is answered as if it had not been asked for, and so is what follows."""
    asking = head("GET", "/function/echo", Connection="Upgrade", Upgrade="h2c")
    answers = await exchange(gateway, asking + head("GET", "/function/nothing"))
    assert statuses(answers) == [200, 404]
    assert b"h2c" not in answers


@pytest.mark.parametrize("path", ["/function/nothing", "/system/secrets"])
async def test_a_refused_body_is_not_taken_for_a_request(
    gateway: RunningGateway, path: str
) -> None:
    """The connection goes on after it, where the client sends it nevertheless."""
    hidden = head("GET", "/function/echo/smuggled")
    refused = head("POST", path, Content_Length=str(len(hidden)), **KEPT)
    answers = await exchange(gateway, refused, hidden, head("GET", "/function/echo/after"))
    assert b"smuggled" not in answers
    assert statuses(answers)[0] in {401, 404}
    assert statuses(answers)[1:] in ([], [200])


async def test_a_client_that_asks_first_learns_of_a_refusal(gateway: RunningGateway) -> None:
    """It is not told to go on, and the connection is closed: its body may follow or not."""
    asking = {"Expect": "100-continue", "Content_Length": "4"} | KEPT
    for fields in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        answer = await exchange(gateway, head("POST", "/function/echo", **asking, **fields))
        assert statuses(answer)[0] in {403, 421}
        assert b"connection: close" in answer.lower()


async def test_a_body_for_the_system_api_may_be_asked_for(gateway: RunningGateway) -> None:
    reader, writer = await connect(gateway)
    login = gateway.client.headers["Authorization"]
    fields = {"Expect": "100-continue", "Content_Length": "29", "Authorization": login}
    writer.write(head("POST", "/system/secrets", **fields))
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).startswith(b"HTTP/1.1 100")
    writer.write(b'{"name": "one", "value": "v"}')
    assert (await read_answer(reader))[0] in {200, 201}
    writer.close()


async def test_requests_in_hand_are_finished_at_the_end(tmp_path: Path) -> None:
    """The gateway stops, idle connections are closed at once, and a running call is answered."""
    async with running_gateway(tmp_path) as gateway:
        await gateway.deploy()
        await gateway.call()
        idle, idle_writer = await connect(gateway)
        busy, busy_writer = await connect(gateway)
        busy_writer.write(head("GET", "/function/echo/sleep?s=1", **KEPT))
        echo = gateway.server.registry.get("echo")

        async def running() -> bool:
            return echo.invocations.in_flight == 1

        await eventually(running)
    assert await asyncio.wait_for(idle.read(), 30) == b""
    assert statuses(await asyncio.wait_for(busy.read(), 30)) == [200]
    idle_writer.close()
    busy_writer.close()


async def test_a_system_client_that_goes_away_ends_its_stream(gateway: RunningGateway) -> None:
    """Following logs ends in the application too."""
    login = gateway.client.headers["Authorization"]
    reader, writer = await connect(gateway)
    writer.write(head("GET", "/system/logs?name=echo&follow=true", Authorization=login))
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).startswith(b"HTTP/1.1 200")
    log = gateway.server.registry.log("echo")

    async def followed() -> bool:
        return len(log._followers) == 1

    async def left() -> bool:
        return not log._followers

    await eventually(followed)
    writer.close()
    await eventually(left)
