"""The system API: what faas-cli and an OpenFaaS gateway in front request."""

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import aiohttp
import pytest

from functions.common.paths import ROOT
from infra.local.errors import PlatformError
from infra.local.gateway.app import LocalGateway
from infra.local.gateway.settings import GatewaySettings
from tests.support.local_gateway import HANDLERS, RunningGateway, deployment, running_gateway
from tests.support.net import eventually

ECHO = ROOT / HANDLERS / "echo"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    async with running_gateway(tmp_path) as running:
        yield running


async def send(
    gateway: RunningGateway, method: str, path: str, json: object = None
) -> tuple[int, str]:
    async with gateway.client.request(method, f"{gateway.url}/system/{path}", json=json) as answer:
        return answer.status, await answer.text()


async def test_a_functions_life(gateway: RunningGateway) -> None:
    body = deployment(
        labels={"a": "b"},
        annotations={"topic": "x"},
        envVars={"A": "1"},
        limits={"memory": "128Mi", "gpu": 1},
        readOnlyRootFilesystem=True,
        unknownField={"x": []},
    )
    assert await send(gateway, "PUT", "functions", body) == (404, "function echo not found\n")
    assert (await send(gateway, "POST", "functions", body))[0] == 202
    status = await gateway.status()
    assert status["name"] == "echo"
    assert status["namespace"] == "openfaas-fn"
    assert status["labels"] == {"a": "b"}
    assert status["annotations"]["topic"] == "x"
    assert status["envVars"] == {"A": "1"}
    assert status["limits"] == {"memory": "128Mi"}
    assert status["readOnlyRootFilesystem"] is True
    assert status["replicas"] == 1
    created = datetime.fromisoformat(status["createdAt"])
    assert created.tzinfo is not None
    assert (await gateway.call())["name"] == "echo"
    assert (await send(gateway, "PUT", "functions", deployment(labels={"a": "c"})))[0] == 200
    async with gateway.client.get(f"{gateway.url}/system/functions") as answer:
        listed = await answer.json()
    assert [function["name"] for function in listed] == ["echo"]
    assert listed[0]["labels"] == {"a": "c"}
    assert datetime.fromisoformat(listed[0]["createdAt"]) == created
    assert (await send(gateway, "DELETE", "functions", {"functionName": "echo"}))[0] == 200
    assert (await send(gateway, "DELETE", "functions", {"functionName": "echo"}))[0] == 404
    assert (await send(gateway, "GET", "function/echo"))[0] == 404
    assert await send(gateway, "GET", "functions") == (200, "[]")


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "text",
        {"service": "UPPER", "image": "x"},
        {"service": "a", "image": "x/nothing:1"},
        {**deployment(), "labels": {"com.openfaas.scale.min": "many"}},
        {**deployment(), "labels": {"com.openfaas.scale.zero-duration": "soon"}},
        {**deployment(), "secrets": ["not-there"]},
        {**deployment(), "secrets": ["../basic-auth-password"]},
        {**deployment(), "namespace": "other"},
    ],
)
async def test_a_deployment_that_cannot_run_is_refused(
    gateway: RunningGateway, body: object
) -> None:
    status, text = await send(gateway, "POST", "functions", body)
    assert status == 400
    assert text.strip()
    assert await send(gateway, "GET", "functions") == (200, "[]")


async def test_a_missing_secret_is_named(gateway: RunningGateway) -> None:
    status, text = await send(gateway, "POST", "functions", deployment(secrets=["database-url"]))
    assert (status, text) == (400, "unable to find secret: database-url\n")


async def test_a_function_sees_its_own_secrets_only(
    gateway: RunningGateway, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / "secrets" / name).write_text(f"secret {name}")
    await gateway.deploy(secrets=["one"])
    assert await gateway.call("echo/secrets") == {"one": "secret one"}
    await gateway.deploy(secrets=["two"])

    async def renewed() -> bool:
        return await gateway.call("echo/secrets") == {"two": "secret two"}

    await eventually(renewed)


@pytest.mark.parametrize(
    "path",
    ["functions", "function/echo", "info", "namespaces", "scale-function/echo"],
)
async def test_the_system_api_asks_for_the_password(gateway: RunningGateway, path: str) -> None:
    async with aiohttp.ClientSession() as client:
        for login in (None, ("admin", "wrong"), ("root", gateway.server.password or "")):
            headers = {"Authorization": aiohttp.encode_basic_auth(*login)} if login else {}
            method = "POST" if "scale" in path else "GET"
            url = f"{gateway.url}/system/{path}"
            async with client.request(method, url, headers=headers) as answer:
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"].startswith("Basic")


async def test_functions_and_health_are_open(gateway: RunningGateway) -> None:
    await gateway.deploy()
    async with aiohttp.ClientSession() as client:
        for path in ("/function/echo", "/healthz"):
            async with client.get(gateway.url + path) as answer:
                assert answer.status == 200


async def test_the_password_is_kept_and_private(tmp_path: Path) -> None:
    async with running_gateway(tmp_path) as gateway:
        first = gateway.server.password
    file = tmp_path / "secrets" / "basic-auth-password"
    assert file.stat().st_mode & 0o077 == 0
    async with running_gateway(tmp_path) as gateway:
        assert gateway.server.password == first == file.read_text()


async def test_authentication_can_be_switched_off(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, basic_auth=False) as gateway:
        assert await send(gateway, "GET", "functions") == (200, "[]")


async def test_info_reads_for_clients_and_for_a_gateway_in_front(gateway: RunningGateway) -> None:
    url = f"{gateway.url}/system/info"
    async with gateway.client.get(url) as answer:
        info = await answer.json()
    assert info["provider"]["provider"] == "universe"
    assert info["provider"]["orchestration"] == "processes"
    assert info["version"]["release"]
    async with gateway.client.get(url, headers={"X-Forwarded-Host": "gateway"}) as answer:
        assert (await answer.json())["provider"] == "universe"
    assert await send(gateway, "GET", "namespaces") == (200, '["openfaas-fn"]')
    assert (await send(gateway, "GET", "namespace/openfaas-fn"))[0] == 200
    assert (await send(gateway, "GET", "namespace/other"))[0] == 404
    assert (await send(gateway, "POST", "namespace/other", {"name": "other"}))[0] == 501


async def test_functions_of_another_namespace_are_not_there(gateway: RunningGateway) -> None:
    await gateway.deploy()
    assert await send(gateway, "GET", "functions?namespace=other") == (200, "[]")
    assert (await send(gateway, "GET", "function/echo?namespace=other"))[0] == 404
    assert (await send(gateway, "GET", "function/echo?namespace=openfaas-fn"))[0] == 200


async def test_what_the_api_deployed_survives_a_restart(tmp_path: Path) -> None:
    stack = tmp_path / "stack.yml"
    stack.write_text(f"functions: {{from-stack: {{handler: {ECHO}, image: x}}}}")
    async with running_gateway(tmp_path / "state") as gateway:
        assert await gateway.server.deploy_stack([stack]) == ["from-stack"]
        await gateway.deploy("by-hand", envVars={"VERSION": "7"})
        created = (await gateway.status("by-hand"))["createdAt"]
        await gateway.deploy("removed")
        await send(gateway, "DELETE", "functions", {"functionName": "removed"})
    async with running_gateway(tmp_path / "state") as gateway:
        names = [function.name for function in gateway.server.registry]
        assert names == ["by-hand"]
        assert (await gateway.call("by-hand"))["version"] == "7"
        assert (await gateway.status("by-hand"))["createdAt"] == created
        await gateway.server.deploy_stack([stack])
        assert (await gateway.call("from-stack"))["name"] == "from-stack"


async def test_what_cannot_be_deployed_at_a_start_stays_on_record(tmp_path: Path) -> None:
    secret = tmp_path / "secrets" / "key"
    names = ("deleted", "kept", "replaced")
    async with running_gateway(tmp_path) as gateway:
        secret.write_text("k")
        for name in names:
            await gateway.deploy(name, secrets=["key"])
        await gateway.deploy("plain")
        created = (await gateway.status("kept"))["createdAt"]
    secret.unlink()
    before = (tmp_path / "functions.json").read_text()
    async with running_gateway(tmp_path) as gateway:
        assert [function.name for function in gateway.server.registry] == ["plain"]
        assert (tmp_path / "functions.json").read_text() == before
        await gateway.deploy("replaced", envVars={"VERSION": "2"})
        delete = {"functionName": "deleted"}
        assert (await send(gateway, "DELETE", "functions", delete))[0] == 200
        assert (await send(gateway, "DELETE", "functions", delete))[0] == 404
    secret.write_text("k")
    async with running_gateway(tmp_path) as gateway:
        restored = sorted(function.name for function in gateway.server.registry)
        assert restored == ["kept", "plain", "replaced"]
        assert (await gateway.status("kept"))["createdAt"] == created
        assert (await gateway.call("replaced"))["version"] == "2"


async def test_the_platforms_environment_goes_before_the_deployments(tmp_path: Path) -> None:
    stack = tmp_path / "stack.yml"
    stack.write_text(
        f"functions: {{echo: {{handler: {ECHO}, environment: {{VERSION: '${{V:-1}}'}}}}}}"
    )
    async with running_gateway(tmp_path / "a") as gateway:
        await gateway.server.deploy_stack([stack], {"V": "2"})
        assert (await gateway.call())["version"] == "2"
    async with running_gateway(tmp_path / "b", function_env={"VERSION": "3"}) as gateway:
        await gateway.server.deploy_stack([stack], {"V": "2"})
        assert (await gateway.call())["version"] == "3"


async def test_the_projects_own_stack_is_understood(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    for secret in ("nats-url", "database-url", "database-reader-url", "batch-signing-key"):
        (tmp_path / "secrets" / secret).touch()
    async with running_gateway(tmp_path) as gateway:
        names = await gateway.server.deploy_stack([Path("stack.yml")])
        assert sorted(names) == ["analytics-query", "ingest", "process-batch"]
        annotations = (await gateway.status("process-batch"))["annotations"]
        assert annotations["topic"] == "events.>"


async def test_two_platforms_run_side_by_side(tmp_path: Path) -> None:
    async with running_gateway(tmp_path / "a") as one, running_gateway(tmp_path / "b") as two:
        await asyncio.gather(one.deploy(envVars={"VERSION": "a"}), two.deploy())
        assert (await one.call())["version"] == "a"
        assert (await two.call())["version"] == "1"


async def test_a_port_in_use_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = GatewaySettings(state_dir=tmp_path, gateway_port=taken.getsockname()[1])
        with pytest.raises(PlatformError, match=r"is in use: set GATEWAY_PORT"):
            await LocalGateway(settings).start()


async def test_a_state_folder_that_is_a_file_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(PlatformError, match="state folder"):
        await LocalGateway(GatewaySettings(state_dir=tmp_path / "state", gateway_port=0)).start()


async def test_a_secrets_life(gateway: RunningGateway, tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "api-key"
    assert await send(gateway, "GET", "secrets") == (200, "[]")
    secret = {"name": "api-key", "value": "one"}
    assert (await send(gateway, "PUT", "secrets", secret))[0] == 404
    assert (await send(gateway, "POST", "secrets", secret))[0] == 201
    assert (await send(gateway, "POST", "secrets", secret))[0] == 409
    assert file.read_text() == "one"
    assert file.stat().st_mode & 0o077 == 0
    listed = await send(gateway, "GET", "secrets")
    assert listed == (200, '[{"name": "api-key", "namespace": "openfaas-fn"}]')
    await gateway.deploy(secrets=["api-key"])
    assert await gateway.call("echo/secrets") == {"api-key": "one"}
    raw = {"name": "api-key", "rawValue": "AP9/", "namespace": "openfaas-fn"}
    assert (await send(gateway, "PUT", "secrets", raw))[0] == 200
    assert file.read_bytes() == b"\x00\xff\x7f"
    assert (await send(gateway, "DELETE", "secrets", {"name": "api-key"}))[0] == 200
    assert (await send(gateway, "DELETE", "secrets", {"name": "api-key"}))[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("name", "status"),
    [("../functions.json", 400), ("", 400), ("a/b", 400), ("basic-auth-password", 403)],
)
async def test_secrets_keep_to_their_folder(
    gateway: RunningGateway, method: str, name: str, status: int
) -> None:
    assert (await send(gateway, method, "secrets", {"name": name, "value": "x"}))[0] == status
    assert (await send(gateway, "GET", "secrets"))[1] == "[]"


async def test_other_sites_cannot_use_a_browsers_login(gateway: RunningGateway) -> None:
    url = f"{gateway.url}/system/functions"
    for origin, front, status in (
        ("http://evil.example", "", 403),
        ("null", "", 403),
        (gateway.url, "", 202),
        ("http://front:8080", "front:8080", 200),
    ):
        headers = {"Origin": origin, "X-Forwarded-Host": front}
        async with gateway.client.post(url, json=deployment(), headers=headers) as answer:
            assert answer.status == status


async def test_prometheus_is_told_live_replicas_only(gateway: RunningGateway) -> None:
    await gateway.deploy()
    await gateway.deploy("asleep", "slow_start", labels={"com.openfaas.scale.min": "0"})
    await gateway.call()
    gateway.server.services["connector"] = "127.0.0.1:1"
    async with gateway.client.get(f"{gateway.url}/system/http-sd") as answer:
        groups = await answer.json()
    replica = gateway.server.registry.get("echo").ready[0]
    assert {"targets": ["127.0.0.1:1"], "labels": {"job": "connector"}} in groups
    told = [group for group in groups if group["labels"].get("function")]
    labels = {"job": "function", "function": "echo", "replica": replica.name}
    assert told == [{"targets": [replica.address], "labels": labels}]


async def test_the_page_and_its_state_are_served(gateway: RunningGateway) -> None:
    await gateway.deploy()
    await gateway.call()
    for path, kind in (
        ("/", "text/html"),
        ("/ui/page.js", "text/javascript"),
        ("/ui/page.css", "text/css"),
        ("/ui/look.css", "text/css"),
        ("/ui/theme.js", "text/javascript"),
        ("/ui/icon.svg", "image/svg+xml"),
    ):
        async with gateway.client.get(gateway.url + path) as answer:
            assert answer.status == 200
            assert answer.content_type == kind
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Frame-Options"] == "DENY"
    async with gateway.client.get(f"{gateway.url}/ui/other") as answer:
        assert answer.status == 404
    async with gateway.client.get(f"{gateway.url}/ui/state") as answer:
        state = await answer.json()
    (echo,) = state["functions"]
    assert (echo["name"], echo["desired"], echo["invocations"]) == ("echo", 1, 1)
    assert state["events"][0]["reason"] == "deploy"
    async with aiohttp.ClientSession() as client, client.get(f"{gateway.url}/ui/") as answer:
        assert answer.status == 401
