"""`X-Callback-Url` is no open proxy: results go where ALLOWED_CALLBACK_HOSTS says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from infra.local.async_calls.callback_rule import CallbackRule
from infra.local.async_calls.callbacks import CheckedResolver
from infra.local.errors import CallbackRefusedError
from tests.security.raw_http import metric, refused
from tests.support.local_gateway import RunningGateway, running_gateway
from tests.support.net import eventually


@dataclass
class Target:
    """A server that an attacker would like the gateway to call."""

    port: int = 0
    paths: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        if request.path == "/redirect":
            raise web.HTTPTemporaryRedirect(f"http://127.0.0.1:{self.port}/secret")
        return web.Response()


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    target = Target()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", target.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    target.port = runner.addresses[0][1]
    yield target
    await runner.cleanup()


@asynccontextmanager
async def gateway_with(folder: Path, nats_url: str, allowed: str) -> AsyncIterator[RunningGateway]:
    async with running_gateway(
        folder, nats_url=nats_url, allowed_callback_hosts=allowed
    ) as running:
        await running.deploy()
        yield running


async def call(gateway: RunningGateway, callback: str) -> tuple[int, str]:
    """Make an asynchronous call once the queue is there; return status and text of the answer."""
    url = f"{gateway.url}/async-function/echo"

    async def answered() -> tuple[int, str] | None:
        async with gateway.client.post(url, headers={"X-Callback-Url": callback}) as answer:
            return None if answer.status == 503 else (answer.status, await answer.text())

    done = await eventually(answered)
    assert done is not None
    return done


def outcome(gateway: RunningGateway, name: str):
    async def counted() -> bool:
        try:
            return await metric(gateway, f'universe_async_callbacks_total{{outcome="{name}"}}') > 0
        except RuntimeError:  # not there yet
            return False

    return counted


async def test_callbacks_are_off(tmp_path: Path, nats_url: str, target: Target) -> None:
    """Off by default: refused at the time of the call, with what to set, and nothing is stored."""
    async with gateway_with(tmp_path, nats_url, "") as gateway:
        for url in (f"http://127.0.0.1:{target.port}/x", "https://hooks.example/x"):
            status, text = await call(gateway, url)
            assert status == 403
            assert "ALLOWED_CALLBACK_HOSTS" in text
        assert await refused(gateway, "callback") == 2
        assert gateway.server.registry.get("echo").invocations.started == 0
    assert target.paths == []


async def test_redirects_are_not_followed(tmp_path: Path, nats_url: str, target: Target) -> None:
    """A listed target cannot send the gateway on to another one."""
    async with gateway_with(tmp_path, nats_url, f"127.0.0.1:{target.port}") as gateway:
        assert (await call(gateway, f"http://127.0.0.1:{target.port}/redirect"))[0] == 202
        await eventually(outcome(gateway, "lost"))
        assert (await call(gateway, f"http://127.0.0.1:{target.port}/done"))[0] == 202
        await eventually(outcome(gateway, "delivered"))
    assert target.paths == ["/redirect", "/done"]


async def test_a_name_that_leads_inside_is_not_connected_to(
    tmp_path: Path, nats_url: str, target: Target
) -> None:
    """DNS rebinding: what counts is the address at the time of the connection."""
    async with gateway_with(tmp_path, nats_url, "*") as gateway:
        # `*` allows the name; what it resolves to is looked at when it is connected to
        assert (await call(gateway, f"http://localhost:{target.port}/x"))[0] == 202
        assert (await call(gateway, f"http://0x7f000001:{target.port}/x"))[0] == 202
        await eventually(outcome(gateway, "refused"))
        assert (await call(gateway, f"http://127.0.0.1:{target.port}/x"))[0] == 403
        await asyncio.sleep(0.3)
    assert target.paths == []


async def test_a_list_that_was_changed_holds_for_stored_calls(
    tmp_path: Path, nats_url: str, target: Target
) -> None:
    """What was stored before an entry was taken off the list is not posted any more."""
    annotations = {"com.openfaas.retry.min_wait": "50ms", "com.openfaas.retry.attempts": "500"}
    async with gateway_with(tmp_path, nats_url, "127.0.0.1") as gateway:
        await gateway.deploy("echo", "broken", annotations=annotations)
        assert (await call(gateway, f"http://127.0.0.1:{target.port}/x"))[0] == 202
    async with gateway_with(tmp_path, nats_url, "") as gateway:
        await eventually(outcome(gateway, "refused"), 60)
    assert target.paths == []


@pytest.mark.parametrize(
    ("allowed", "url", "is_allowed"),
    [
        ("hooks.example", "https://hooks.example/x", True),
        ("hooks.example", "https://HOOKS.example.:443/x", True),
        ("hooks.example", "https://hooks.example.evil.example/x", False),
        ("hooks.example", "https://hooks.example@evil.example/x", False),
        ("hooks.example", "https://evil.example#@hooks.example/x", False),
        ("hooks.example:8443", "https://hooks.example/x", False),
        ("hooks.example:8443", "https://hooks.example:8443/x", True),
        ("*.hooks.example", "https://a.hooks.example/x", True),
        ("*.hooks.example", "https://hooks.example/x", False),
        ("*", "https://any.example/x", True),
        ("*", "https://93.184.215.14/x", True),
        ("hooks.example", "https://93.184.215.14/x", False),
        ("*", "http://127.0.0.1/x", False),
        ("*", "http://[::1]/x", False),
        ("*", "http://[::ffff:127.0.0.1]/x", False),
        ("*", "http://[64:ff9b::7f00:1]/x", False),
        ("*", "http://169.254.169.254/latest/meta-data", False),
        ("*", "http://10.0.0.1/x", False),
        ("*", "http://[fd00::1]/x", False),
        ("*", "http://[fe80::1]/x", False),
        ("*", "http://100.64.0.1/x", False),
        ("*", "http://0.0.0.0/x", False),
        ("*", "http://224.0.0.1/x", False),
        ("10.0.0.0/8", "http://10.1.2.3/x", True),
        ("10.0.0.0/8", "http://11.1.2.3/x", False),
        ("127.0.0.1:9000", "http://127.0.0.1:9000/x", True),
        ("127.0.0.1:9000", "http://127.0.0.1:4222/x", False),
        ("[::1]:9000", "http://[::1]:9000/x", True),
        ("localhost", "http://localhost:1/x", True),
        ("hooks.example", "http:///x", False),
    ],
)
def test_what_is_listed_is_allowed(allowed: str, url: str, is_allowed: bool) -> None:
    """No loopback, link-local or private target unless it is listed."""
    rule = CallbackRule([allowed])
    if is_allowed:
        rule.check(url)
    else:
        with pytest.raises(CallbackRefusedError, match="ALLOWED_CALLBACK_HOSTS"):
            rule.check(url)


@pytest.mark.parametrize(
    ("allowed", "is_allowed"),
    [
        (["*"], False),
        (["localhost"], True),
        (["localhost:80"], False),
        (["*", "127.0.0.0/8"], True),
        (["*", "::1"], False),
    ],
)
async def test_names_resolve_to_listed_or_public_addresses(
    allowed: list[str], is_allowed: bool
) -> None:
    """The address that is connected to is checked, not the one that a check before it saw."""
    resolver = CheckedResolver(CallbackRule(allowed))
    if is_allowed:
        found = await resolver.resolve("localhost", 9000)
        assert {each["host"] for each in found} == {"127.0.0.1"}
    else:
        with pytest.raises(CallbackRefusedError, match="neither public nor listed"):
            await resolver.resolve("localhost", 9000)
    await resolver.close()
