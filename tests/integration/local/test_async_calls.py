"""Asynchronous calls: stored durably, made later, told to a callback."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from multidict import CIMultiDictProxy

from infra.local.async_calls.call import AsyncCall, RetryRule
from infra.local.servers.nats import EmbeddedNats
from tests.support.local_gateway import RunningGateway, running_gateway
from tests.support.net import eventually


@dataclass
class Receiver:
    """A server that callbacks are sent to."""

    url: str = ""
    fail: int = 0
    """Answer so many with 503 first."""
    received: list[tuple[CIMultiDictProxy[str], bytes]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        if self.fail:
            self.fail -= 1
            return web.Response(status=503)
        self.received.append((request.headers, await request.read()))
        return web.Response(status=202)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/done", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/done"
    yield receiver
    await runner.cleanup()


@pytest.fixture
async def gateway(tmp_path: Path, nats_url: str) -> AsyncIterator[RunningGateway]:
    settings = {"allowed_callback_hosts": "127.0.0.1", "allowed_hosts": "*.example"}
    async with running_gateway(tmp_path, nats_url=nats_url, **settings) as running:
        yield running


async def post(
    gateway: RunningGateway, path: str, receiver: Receiver | None, body: bytes = b"", **headers: str
) -> str:
    """Send an asynchronous call once the queue is there; return its call id."""
    if receiver is not None:
        headers["X-Callback-Url"] = receiver.url
    url = f"{gateway.url}/async-function/{path}"

    async def accepted() -> str:
        async with gateway.client.post(url, data=body, headers=headers) as answer:
            if answer.status == 503:
                return ""
            assert answer.status == 202, await answer.text()
            assert await answer.read() == b""
            return answer.headers["X-Call-Id"]

    return await eventually(accepted)


def got(receiver: Receiver, count: int = 1):
    async def check() -> bool:
        return len(receiver.received) >= count

    return check


async def test_a_call_is_made_later_and_its_result_posted(
    gateway: RunningGateway, receiver: Receiver
) -> None:
    await gateway.deploy(labels={"com.openfaas.scale.min": "0"})
    body = bytes(range(256))
    call_id = await post(gateway, "echo/a%2Fb?x=%20", receiver, body, **{"X-Own": "1"})
    await eventually(got(receiver))
    headers, result = receiver.received[0]
    assert headers["X-Call-Id"] == call_id
    assert headers["X-Function-Name"] == "echo"
    assert headers["X-Function-Status"] == "200"
    assert float(headers["X-Duration-Seconds"]) > 0
    assert headers["Content-Type"] == "application/json"
    described = json.loads(result)
    assert described["method"] == "POST"
    assert (described["rawPath"], described["query"]) == ("/a%2Fb", "x=%20")
    assert described["body"] == body.decode("latin-1")
    seen = dict(map(tuple, described["headers"]))
    assert (seen["x-call-id"], seen["x-own"]) == (call_id, "1")
    assert "x-callback-url" not in seen


async def test_a_host_of_any_bytes_is_passed_on(
    gateway: RunningGateway, receiver: Receiver
) -> None:
    await gateway.deploy()
    url = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)

    async def accepted() -> bool:
        writer.write(
            b"POST /async-function/echo HTTP/1.1\r\nHost: m\xe2\x82\xac.example\r\n"
            b"X-Callback-Url: " + receiver.url.encode() + b"\r\nContent-Length: 0\r\n\r\n"
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 202 " in head.splitlines()[0]:
            return True
        length = next(x for x in head.lower().splitlines() if x.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        return False

    await eventually(accepted)
    await eventually(got(receiver))
    assert receiver.received[0][0]["X-Function-Status"] == "200"
    writer.close()


async def test_many_calls_are_each_made_once(gateway: RunningGateway, receiver: Receiver) -> None:
    await gateway.deploy()
    ids = [await post(gateway, f"echo/{number}", receiver) for number in range(30)]
    await eventually(got(receiver, 30))
    await asyncio.sleep(0.3)
    assert sorted(headers["X-Call-Id"] for headers, _ in receiver.received) == sorted(ids)
    assert (await gateway.status())["invocationCount"] == 30


async def test_a_failed_call_is_tried_again(
    gateway: RunningGateway, receiver: Receiver, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    await gateway.deploy(
        envVars={"MARKER": str(marker), "FAILURES": "2"},
        annotations={"com.openfaas.retry.min_wait": "50ms"},
    )
    await post(gateway, "echo/fail-once", receiver)
    await eventually(got(receiver))
    assert receiver.received[0][0]["X-Function-Status"] == "200"
    assert marker.read_text().count("\n") == 3


async def test_a_call_that_keeps_failing_is_given_up(
    gateway: RunningGateway, receiver: Receiver, tmp_path: Path
) -> None:
    await gateway.deploy(
        envVars={"MARKER": str(tmp_path / "marker"), "FAILURES": "99"},
        annotations={"com.openfaas.retry.attempts": "3", "com.openfaas.retry.min_wait": "50ms"},
    )
    await post(gateway, "echo/fail-once", receiver)
    await eventually(got(receiver))
    assert receiver.received[0][0]["X-Function-Status"] == "500"
    assert (tmp_path / "marker").read_text().count("\n") == 3


async def test_a_clients_error_is_not_tried_again(
    gateway: RunningGateway, receiver: Receiver
) -> None:
    await gateway.deploy()
    await post(gateway, "echo/status?code=404", receiver)
    await eventually(got(receiver))
    assert receiver.received[0][0]["X-Function-Status"] == "404"
    assert (await gateway.status())["invocationCount"] == 1


async def test_a_callback_is_tried_again(gateway: RunningGateway, receiver: Receiver) -> None:
    await gateway.deploy()
    receiver.fail = 2
    await post(gateway, "echo/x", receiver)
    await eventually(got(receiver))
    assert (await gateway.status())["invocationCount"] == 1


@pytest.mark.slow
async def test_stored_calls_survive_platform_and_broker(
    tmp_path: Path, nats_server: EmbeddedNats, receiver: Receiver
) -> None:
    annotations = {"com.openfaas.retry.min_wait": "50ms", "com.openfaas.retry.attempts": "200"}
    settings = {"nats_url": nats_server.url, "allowed_callback_hosts": "127.0.0.1"}
    async with running_gateway(tmp_path, **settings) as gateway:
        await gateway.deploy("echo", "broken", annotations=annotations)
        ids = [await post(gateway, f"echo/{number}", receiver) for number in range(5)]
    nats_server.kill()
    nats_server.start()
    async with running_gateway(tmp_path, **settings) as gateway:
        await gateway.deploy("echo", "echo", annotations=annotations)
        await eventually(got(receiver, 5), 60)
    assert {headers["X-Call-Id"] for headers, _ in receiver.received} == set(ids)
    assert {headers["X-Function-Status"] for headers, _ in receiver.received} == {"200"}


async def test_what_cannot_be_stored_is_refused(
    tmp_path: Path, gateway: RunningGateway, nats_server: EmbeddedNats
) -> None:
    async def status(gateway: RunningGateway, path: str, body: bytes = b"", **headers: str) -> int:
        url = f"{gateway.url}/async-function/{path}"
        async with gateway.client.post(url, data=body, headers=headers) as answer:
            return answer.status

    await gateway.deploy()
    await post(gateway, "echo", None)
    assert await status(gateway, "nothing") == 404
    assert await status(gateway, "echo", b"x" * (8 * 1024**2 + 1)) == 413
    assert await status(gateway, "echo", b"", **{"X-Callback-Url": "file:///etc/passwd"}) == 400
    async with running_gateway(tmp_path / "without") as without:
        await without.deploy()
        assert await status(without, "echo") == 501
    nats_server.stop()
    async with running_gateway(tmp_path / "away", nats_url=nats_server.url) as away:
        await away.deploy()
        assert await status(away, "echo") == 503
        assert (await away.call())["method"] == "GET"


def test_calls_are_stored_byte_for_byte() -> None:
    call = AsyncCall("f", "POST", "/x?y=%20", "id", [("A", "\xe9")], b"\n\x00{}\n", "http://x/")
    assert AsyncCall.decode(call.encode()) == call


def test_retry_annotations_are_read() -> None:
    prefix = "com.openfaas.retry."
    rule = RetryRule.read(
        {
            prefix + "attempts": "5",
            prefix + "min_wait": "2s",
            prefix + "max_wait": "1m",
            prefix + "codes": "500, 429",
        }
    )
    assert rule == RetryRule(5, 2, 60, frozenset({500, 429}))
    assert 2 <= rule.wait(1) <= 2.4
    assert 60 <= rule.wait(50) <= 72
    assert RetryRule.read({prefix + "attempts": "x", prefix + "codes": "a"}) == RetryRule()
