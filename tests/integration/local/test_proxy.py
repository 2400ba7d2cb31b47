"""The gateway passes on requests and answers as they are."""

import asyncio
import gzip
import hashlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.support.fake_gateway import replace_file
from tests.support.local_gateway import RunningGateway, running_gateway
from tests.support.net import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def marker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("marker") / "marker"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(
    marker: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("gateway")
    async with running_gateway(folder, allowed_hosts="h, some.host") as running:
        await running.deploy(envVars={"MARKER": str(marker)})
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def streaming_gateway(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[RunningGateway]:
    """A gateway that receives no body before it has picked a replica, as with very large ones."""
    folder = tmp_path_factory.mktemp("streaming-gateway")
    async with running_gateway(folder, allowed_hosts="h", body_buffer_bytes=0) as running:
        await running.deploy()
        await running.call()  # it runs before a body begins
        yield running


async def raw(gateway: RunningGateway, request: bytes) -> tuple[bytes, bytes]:
    """Send bytes on a connection of its own; return head and body of the answer."""
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


def read(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def fields(described: dict[str, Any], name: str) -> list[str]:
    """Return the values of a request header that the function saw."""
    return [value for key, value in described["headers"] if key == name]


async def test_path_query_and_header_bytes_are_kept(gateway: RunningGateway) -> None:
    head, body = await raw(
        gateway,
        b"GET /function/echo/a%2Fb/../%7e//c;d?x=%20+&&y=%zz&x HTTP/1.1\r\nHost: some.host:1\r\n"
        b"X-Twice: 1\r\nX-Twice: 2\r\nX-Latin: caf\xe9\r\nX-Hop: gone\r\nTE: trailers\r\n"
        b"Proxy-Authorization: secret\r\nConnection: close, X-Hop\r\n\r\n",
    )
    assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
    described = json.loads(body)
    assert described["rawPath"] == "/a%2Fb/../%7e//c;d"
    assert described["query"] == "x=%20+&&y=%zz&x"
    assert fields(described, "x-twice") == ["1", "2"]
    assert fields(described, "x-latin") == ["caf\xe9"]
    assert fields(described, "x-hop") == fields(described, "te") == []
    assert fields(described, "proxy-authorization") == []
    assert fields(described, "x-forwarded-host") == ["some.host:1"]
    assert fields(described, "x-forwarded-for") == ["127.0.0.1"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_any_method_is_passed_on(gateway: RunningGateway, method: str) -> None:
    body = None if method == "GET" else b"\x00\xffbody"
    described = await gateway.call("echo/p", method, data=body)
    assert (described["method"], described["rawPath"]) == (method, "/p")
    assert described["body"] == (body or b"").decode("latin-1")


async def test_answers_without_a_body_leave_the_connection_usable(gateway: RunningGateway) -> None:
    for _ in range(2):
        async with gateway.client.head(f"{gateway.url}/function/echo/gzip") as answer:
            assert answer.status == 200
            assert int(answer.headers["Content-Length"]) > 0
        for code in (204, 304, 404, 500):
            url = f"{gateway.url}/function/echo/status?code={code}"
            async with gateway.client.get(url) as answer:
                assert answer.status == code
                assert await answer.read() == (b"" if code in {204, 304} else b"x")
    assert (await gateway.call())["method"] == "GET"


async def test_the_call_id_is_made_passed_on_and_returned(gateway: RunningGateway) -> None:
    url = f"{gateway.url}/function/echo"
    async with gateway.client.get(url) as answer:
        made = answer.headers["X-Call-Id"]
        assert fields(await answer.json(), "x-call-id") == [made]
        assert int(answer.headers["X-Start-Time"]) <= time.time_ns()
        assert float(answer.headers["X-Duration-Seconds"]) > 0
    async with gateway.client.get(url, headers={"X-Call-Id": "given"}) as answer:
        assert answer.headers.getall("X-Call-Id") == ["given"]
        assert fields(await answer.json(), "x-call-id") == ["given"]


async def test_encoded_bodies_are_not_touched(gateway: RunningGateway) -> None:
    packed = gzip.compress(b"hello " * 100)
    async with aiohttp.ClientSession(auto_decompress=False) as client:
        async with client.get(f"{gateway.url}/function/echo/gzip") as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert gzip.decompress(await answer.read()) == b"hello " * 100
        headers = {"Content-Encoding": "gzip"}
        url = f"{gateway.url}/function/echo"
        async with client.post(url, data=packed, headers=headers) as answer:
            described = await answer.json()
    assert described["body"] == packed.decode("latin-1")


async def test_repeated_answer_headers_are_kept(gateway: RunningGateway) -> None:
    async with gateway.client.get(f"{gateway.url}/function/echo/cookies") as answer:
        assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]


async def test_answers_stream(gateway: RunningGateway, tmp_path: Path) -> None:
    # the function makes a line only after the one before it has arrived here
    allowed = tmp_path / "lines"
    allowed.write_text("1")
    arrived = 0
    url = f"{gateway.url}/function/echo/stream"
    async with gateway.client.get(url, params={"n": 4, "allowed": str(allowed)}) as answer:
        async for line in answer.content:
            assert line == b"%d\n" % arrived
            arrived += 1
            replace_file(allowed, arrived + 1)
    assert arrived == 4


async def test_requests_stream(streaming_gateway: RunningGateway) -> None:
    gateway = streaming_gateway

    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"x" * 1000
            await asyncio.sleep(1)  # far more than a busy machine delays a piece

    url = f"{gateway.url}/function/echo/upload"
    async with gateway.client.post(url, data=slowly()) as answer:
        counted = json.loads(await answer.text())
    assert counted["length"] == 4000
    assert counted["seconds"] > 0.3  # the function saw the first piece long before the last


async def test_large_bodies_go_both_ways_at_once(gateway: RunningGateway) -> None:
    sent, size = hashlib.sha256(), 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal size
        for number in range(320):
            piece = bytes([number % 256]) * 100_003
            sent.update(piece)
            size += len(piece)
            yield piece

    received = hashlib.sha256()
    async with gateway.client.post(f"{gateway.url}/function/echo/mirror", data=pieces()) as answer:
        assert answer.status == 200
        async for chunk in answer.content.iter_any():
            received.update(chunk)
    assert size > 32_000_000
    assert received.digest() == sent.digest()


async def test_a_fixed_length_upload_arrives_whole(gateway: RunningGateway) -> None:
    described = await gateway.call("echo/x", "POST", data=b"y" * 3_000_000)
    assert described["length"] == 3_000_000
    assert fields(described, "content-length") == ["3000000"]


async def test_old_clients_get_unframed_answers(gateway: RunningGateway) -> None:
    head, body = await raw(gateway, b"GET /function/echo/stream?n=2 HTTP/1.0\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert len(body.splitlines()) == 2


async def test_clients_that_ask_before_sending_are_told_to_go_on(gateway: RunningGateway) -> None:
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /function/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n"
        b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    assert (await asyncio.wait_for(reader.readline(), 30)).startswith(b"HTTP/1.1 100")
    writer.write(b"body")
    answer = await asyncio.wait_for(reader.read(), 30)
    assert b"HTTP/1.1 200" in answer
    assert b'"body": "body"' in answer
    writer.close()


async def test_an_early_answer_does_not_wait_for_the_upload(gateway: RunningGateway) -> None:
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /function/echo/status?code=413 HTTP/1.1\r\nHost: h\r\n"
        b"Content-Length: 100000000\r\n\r\nbeginning"
    )
    assert (await asyncio.wait_for(reader.readline(), 30)).startswith(b"HTTP/1.1 413")
    writer.close()
    assert (await gateway.call())["method"] == "GET"


async def test_pipelined_requests_are_answered_in_order(gateway: RunningGateway) -> None:
    requests = b"".join(
        b"POST /function/echo/%d HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n%s\r\n%d"
        % (number, b"Connection: close\r\n" if number == 3 else b"", number)
        for number in range(4)
    )
    head, rest = await raw(gateway, requests)
    answers = head + rest
    positions = [answers.index(b'"rawPath": "/%d"' % number) for number in range(4)]
    assert positions == sorted(positions)


async def test_an_answer_that_breaks_off_is_not_taken_for_whole(gateway: RunningGateway) -> None:
    async with gateway.client.get(f"{gateway.url}/function/echo/cut") as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_a_client_that_goes_away_cancels_the_call(
    gateway: RunningGateway, marker: Path
) -> None:
    echo = gateway.server.registry.get("echo")
    before = echo.invocations.by_code[499].count if 499 in echo.invocations.by_code else 0

    async def marked(text: str) -> bool:
        return read(marker) == text

    call = asyncio.create_task(gateway.call("echo/wait-until-gone"))
    await eventually(lambda: marked("waiting"))
    call.cancel()
    await eventually(lambda: marked("gone"))

    async def idle() -> bool:
        return echo.invocations.in_flight == 0

    await eventually(idle)
    assert echo.invocations.by_code[499].count == before + 1


async def test_a_malformed_body_ends_with_its_connection(
    streaming_gateway: RunningGateway,
) -> None:
    gateway = streaming_gateway
    host, port = gateway.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = b"POST /function/echo/upload HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write(head + b"3\r\nabc\r\n")
    echo = gateway.server.registry.get("echo")

    async def busy() -> bool:
        return any(replica.in_flight for replica in echo.ready)

    await eventually(busy)
    writer.write(b"no length\r\n")
    writer.close()

    async def idle() -> bool:
        return echo.invocations.in_flight == 0 and not any(r.in_flight for r in echo.ready)

    await eventually(idle)
    assert (await gateway.call())["method"] == "GET"


async def test_an_unknown_function_is_a_problem(gateway: RunningGateway) -> None:
    async with gateway.client.get(f"{gateway.url}/function/nothing/x") as answer:
        assert answer.status == 404
        assert answer.content_type == "application/problem+json"
        assert "nothing" in (await answer.json())["detail"]


async def test_a_function_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    # long enough for the quick call below, on a busy machine too
    async with running_gateway(tmp_path, upstream_timeout=2) as gateway:
        await gateway.deploy()
        async with gateway.client.get(f"{gateway.url}/function/echo/sleep?s=4") as answer:
            assert answer.status == 504
            assert (await answer.json())["callId"] == answer.headers["X-Call-Id"]
        assert (await gateway.call("echo/sleep?s=0"))["method"] == "GET"


async def test_the_namespace_may_be_named(gateway: RunningGateway) -> None:
    assert (await gateway.call("echo.openfaas-fn/x"))["rawPath"] == "/x"
