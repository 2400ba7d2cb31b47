"""The local gateway: whose requests it looks at, and which paths of functions are for operators."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.security.raw_http import exchange, head, refused, status_of
from tests.support.local_gateway import RunningGateway, deployment, running_gateway

PATHS = (
    "/", "/healthz", "/metrics", "/nowhere", "/ui/", "/system/functions", "/function/echo",
    "/function/nothing", "/async-function/echo",
)  # fmt: skip
EVIL = "http://evil.example"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningGateway]:
    async with running_gateway(tmp_path_factory.mktemp("gateway")) as running:
        await running.deploy()
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningGateway]:
    """Without a login, behind a reverse proxy, called by a shop's pages."""
    settings = {"allowed_hosts": "public.example", "allowed_origins": "https://shop.example"}
    folder = tmp_path_factory.mktemp("open-gateway")
    async with running_gateway(folder, basic_auth=False, **settings) as running:
        await running.deploy()
        yield running


def started(gateway: RunningGateway) -> int:
    return gateway.server.registry.get("echo").invocations.started


@pytest.mark.parametrize("login", [True, False])
async def test_a_foreign_host_is_refused_on_every_path(
    gateway: RunningGateway, open_gateway: RunningGateway, login: bool
) -> None:
    """DNS rebinding: a foreign name that leads here reads nothing, on no path."""
    asked = gateway if login else open_gateway
    port = asked.url.rpartition(":")[2]
    started_before, refused_before = started(asked), await refused(asked, "host")
    for path in PATHS:
        for host in (f"evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example"):
            for method in ("GET", "POST"):
                assert await status_of(asked, head(method, path, Host=host)) == 421, (path, host)
    answer = await exchange(asked, head("GET", "/function/echo", Host="evil.example"))
    assert b"ALLOWED_HOSTS" in answer, "it says what to set"
    assert b"evil.example" in answer
    assert started(asked) == started_before
    assert await refused(asked, "host") == refused_before + 6 * len(PATHS) + 1


async def test_rebinding_cannot_deploy_where_no_login_is_asked_for(
    open_gateway: RunningGateway,
) -> None:
    """With BASIC_AUTH=false, a page whose Host and Origin agree deploys no code."""
    body = b'{"service": "evil", "image": "x/echo:1"}'
    request = head(
        "POST",
        "/system/functions",
        Host="evil.example",
        Origin=EVIL,
        Content_Length=str(len(body)),
        X_Forwarded_Host="evil.example",
    )
    assert await status_of(open_gateway, request + body) == 421
    assert [function.name for function in open_gateway.server.registry] == ["echo"]


async def test_own_names_are_let_through(
    gateway: RunningGateway, open_gateway: RunningGateway
) -> None:
    """Host allow-list: loopback names, the address it listens on, ALLOWED_HOSTS."""
    for host in ("127.0.0.1:1", "localhost", "LocalHost.:80", "[::1]:8080", "127.8.8.8"):
        assert await status_of(gateway, head("GET", "/function/echo", Host=host)) == 200
    public = head("GET", "/function/echo", Host="Public.example:443")
    assert await status_of(gateway, public) == 421
    assert await status_of(open_gateway, public) == 200
    assert await status_of(gateway, head("GET", "/healthz").replace(b"Host", b"X-Host")) == 400


@pytest.mark.parametrize("path", ["/function/echo", "/async-function/echo", "/function/echo/x"])
@pytest.mark.parametrize("origin", [EVIL, "null", "http://localhost:3000", "https://127.0.0.1:1"])
async def test_a_foreign_page_calls_no_function(
    gateway: RunningGateway, path: str, origin: str
) -> None:
    """A foreign Origin is refused on function paths, also where no preflight asks before."""
    headers = {"Origin": origin, "Content-Type": "text/plain"}
    started_before, refused_before = started(gateway), await refused(gateway, "origin")
    for method in ("POST", "GET", "OPTIONS", "DELETE"):
        async with gateway.client.request(method, gateway.url + path, headers=headers) as answer:
            assert answer.status == 403
            assert answer.content_type == "application/problem+json"
            assert "ALLOWED_ORIGINS" in (await answer.json())["detail"]
    assert started(gateway) == started_before
    assert await refused(gateway, "origin") == refused_before + 4


async def test_a_preflight_cannot_ask_for_the_proxys_header(gateway: RunningGateway) -> None:
    """X-Forwarded-Host is believed since no foreign page may send it: its preflight is refused."""
    asks = {
        "Origin": EVIL,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-forwarded-host",
    }
    async with gateway.client.options(f"{gateway.url}/function/echo", headers=asks) as answer:
        assert answer.status == 403
        assert "Access-Control-Allow-Headers" not in answer.headers


async def test_pages_of_the_gateway_itself_work(open_gateway: RunningGateway) -> None:
    """Page and Swagger, same origin: directly, behind a proxy that keeps or replaces the Host."""
    gateway = open_gateway
    url = f"{gateway.url}/function/echo/api"
    ways: tuple[dict[str, str], ...] = (
        {"Origin": gateway.url},
        {"Origin": "https://public.example", "Host": "public.example"},
        {"Origin": "https://front.example:8443", "X-Forwarded-Host": "front.example:8443"},
    )
    for headers in ways:
        async with gateway.client.post(url, data=b"{}", headers=headers) as answer:
            assert answer.status == 200, headers
        scale = f"{gateway.url}/system/scale-function/echo"
        async with gateway.client.post(scale, json={"replicas": 1}, headers=headers) as answer:
            assert answer.status == 202, headers


async def test_allowed_origins_call_functions_and_nothing_else(
    open_gateway: RunningGateway,
) -> None:
    """ALLOWED_ORIGINS is for functions; the system API takes the gateway's own pages only."""
    gateway, headers = open_gateway, {"Origin": "https://shop.example"}
    async with gateway.client.post(f"{gateway.url}/function/echo", headers=headers) as answer:
        assert answer.status == 200
    url = f"{gateway.url}/system/functions"
    async with gateway.client.post(url, json=deployment("x"), headers=headers) as answer:
        assert answer.status == 403


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/metrics/", "/metrics?x=1", "/%6Detrics", "/%6detrics%2F", "/health/readiness"],
)
async def test_what_operators_see_asks_for_the_login(gateway: RunningGateway, path: str) -> None:
    """Metrics and readiness of functions are not for the outside; nor are the gateway's metrics."""
    url = f"{gateway.url}/function/echo{path}"
    started_before, refused_before = started(gateway), await refused(gateway, "login")
    async with aiohttp.ClientSession() as outsider:
        for refused_url in (url, f"{gateway.url}/metrics"):
            async with outsider.get(aiohttp_url(refused_url)) as answer:
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"].startswith("Basic")
        asynchronous = f"{gateway.url}/async-function/echo{path}"
        async with outsider.post(aiohttp_url(asynchronous)) as answer:
            assert answer.status in {403, 501}
    assert started(gateway) == started_before
    assert await refused(gateway, "login") >= refused_before + 2
    async with gateway.client.get(aiohttp_url(url)) as answer:
        assert answer.status == 200


def aiohttp_url(url: str) -> Any:
    """Return a URL that is sent as it is written."""
    from yarl import URL

    return URL(url, encoded=True)


async def test_what_is_for_everybody_stays_open(gateway: RunningGateway) -> None:
    """Functions, their liveness and the gateway's are for the outside."""
    async with aiohttp.ClientSession() as outsider:
        for path in ("/healthz", "/function/echo", "/function/echo/health/liveness"):
            async with outsider.get(gateway.url + path) as answer:
                assert answer.status == 200


async def test_metrics_are_closed_where_the_annotation_says_they_are(
    gateway: RunningGateway,
) -> None:
    """`prometheus.io.path` names the path of a function's metrics."""
    await gateway.deploy("other", annotations={"prometheus.io.path": "/figures"})
    async with aiohttp.ClientSession() as outsider:
        for path, status in (("/figures", 401), ("/metrics", 200)):
            async with outsider.get(f"{gateway.url}/function/other{path}") as answer:
                assert answer.status == status


async def test_functions_do_not_get_the_gateways_login(gateway: RunningGateway) -> None:
    """A function that is scraped through the gateway does not learn the admin's password."""
    for path in ("echo/metrics", "echo"):
        sent = dict(map(tuple, (await gateway.call(path))["headers"]))
        assert "authorization" not in sent
    async with aiohttp.ClientSession() as outsider:
        headers = {"Authorization": "Bearer of-the-function"}
        async with outsider.get(f"{gateway.url}/function/echo", headers=headers) as answer:
            sent = dict(map(tuple, (await answer.json())["headers"]))
    assert sent["authorization"] == "Bearer of-the-function"
