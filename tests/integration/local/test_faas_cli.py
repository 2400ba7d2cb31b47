"""The real faas-cli against the local gateway."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from functions.common.paths import ROOT
from infra.local.functions.stack import read_stack
from infra.local.servers.nats import nats_server_binary
from scripts.page_commands import commands, section
from tests.support.local_gateway import HANDLERS, RunningGateway, running_gateway
from tests.support.net import eventually
from tests.support.tools import tool

STACK = f"""
version: 1.0
provider: {{name: openfaas, gateway: "http://127.0.0.1:8080"}}
functions:
  echo:
    lang: python3-functions-framework
    handler: {ROOT / HANDLERS / "echo"}
    image: x/echo:${{TAG:-1}}
    annotations: {{com.universe.handler: {HANDLERS}/echo}}
    environment: {{VERSION: "${{V:-1}}"}}
    secrets: [api-key]
"""


@dataclass(frozen=True)
class Cli:
    """faas-cli, with a home and a stack file of its own."""

    program: Path
    home: Path
    gateway: RunningGateway

    async def run(self, *args: str, stdin: str = "", status: int = 0, **env: str) -> str:
        """Run a command to its end and return what it wrote."""
        process = await self.start(*args, **env)
        said, _ = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
        assert process.returncode == status, said.decode()
        return said.decode()

    async def start(self, *args: str, **env: str) -> asyncio.subprocess.Process:
        """Start a command."""
        environment = {
            **os.environ,
            "HOME": str(self.home),
            "OPENFAAS_CONFIG": str(self.home / "config"),
            "OPENFAAS_URL": self.gateway.url,
            **env,
        }
        return await asyncio.create_subprocess_exec(
            str(self.program),
            *args,
            cwd=self.home,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )


@pytest.fixture
async def cli(tmp_path: Path, nats_url: str) -> AsyncIterator[Cli]:
    program = tool("faas-cli")
    home = tmp_path / "home"
    home.mkdir()
    (home / "template").symlink_to(ROOT / "templates")
    (home / "stack.yml").write_text(STACK)
    async with running_gateway(tmp_path / "state", nats_url=nats_url) as gateway:
        cli = Cli(program, home, gateway)
        assert "Unauthorized" in await cli.run("list", status=1)
        password = gateway.server.password or ""
        assert "credentials saved" in await cli.run("login", "--password-stdin", stdin=password)
        yield cli


async def test_functions_are_deployed_described_and_removed(cli: Cli) -> None:
    assert "unable to find secret: api-key" in await cli.run("deploy", status=1)
    assert "201" in await cli.run("secret", "create", "api-key", "--from-literal", "one")
    assert "202 Accepted" in await cli.run("deploy")
    await cli.run("ready", "echo", "--attempts", "30", "--interval", "1s")
    listed = await cli.run("list", "-v")
    assert "x/echo:1" in listed
    described = await cli.run("describe", "echo")
    assert "Ready" in described
    assert "api-key" in described
    assert "no differences" in await cli.run("diff")
    assert "rolling-update" in await cli.run("deploy", V="2", TAG="2")
    assert "x/echo:2" in await cli.run("list", "-v")
    assert "Differences found" in await cli.run("diff", status=1)
    assert "Removing" in await cli.run("remove", "echo")
    assert "echo" not in await cli.run("list")
    assert "No existing function" in await cli.run("remove", "echo", status=1)


async def test_functions_are_invoked(cli: Cli) -> None:
    await cli.gateway.deploy()
    assert '"body": "hello"' in await cli.run("invoke", "echo", stdin="hello")
    got = await cli.run(
        "invoke", "echo", "--method", "GET", "--query", "a=b", "--header", "X-Own: 1"
    )
    assert '"method": "GET"' in got
    assert '"query": "a=b"' in got
    assert '["x-own", "1"]' in got

    async def submitted() -> bool:
        process = await cli.start("invoke", "echo", "--async")
        said, _ = await process.communicate(b"later")
        return b"submitted asynchronously" in said

    await eventually(submitted)
    echo = cli.gateway.server.registry.get("echo")

    async def made() -> bool:
        return echo.invocations.completed >= 3

    await eventually(made)


async def test_logs_are_read_and_followed(cli: Cli) -> None:
    await cli.gateway.deploy()

    async def say(text: str) -> None:
        url = f"{cli.gateway.url}/function/echo/print?text={text}"
        async with cli.gateway.client.get(url) as answer:
            assert answer.status == 200

    for number in range(3):
        await say(f"line{number}")

    async def read() -> bool:
        return "line2" in await cli.run("logs", "echo", "--tail=false")

    await eventually(read)
    assert "line1" not in await cli.run("logs", "echo", "--tail=false", "--lines", "1")
    assert "line0" in await cli.run("logs", "echo", "--tail=false", "--since", "10m")
    following = await cli.start("logs", "echo", "--lines", "1")
    assert following.stdout is not None
    assert b"line2" in await asyncio.wait_for(following.stdout.readline(), 30)
    await say("fresh")
    assert b"fresh" in await asyncio.wait_for(following.stdout.readline(), 30)
    following.terminate()
    await following.wait()


async def test_secrets_namespaces_and_versions_are_told(cli: Cli) -> None:
    await cli.run("secret", "create", "api-key", "--from-literal", "one")
    await cli.run("secret", "update", "api-key", "--from-literal", "two")
    assert "api-key" in await cli.run("secret", "list")
    assert "Removed" in await cli.run("secret", "remove", "api-key")
    assert "api-key" not in await cli.run("secret", "list")
    assert "openfaas-fn" in await cli.run("namespace", "list")
    told = await cli.run("version", "--warn-update=false")
    assert "universe" in told
    assert "processes" in told
    assert "kind: Function" in await cli.run("generate")


NO_SERVER = ("^sudo", "^SERVER_NAME", "roles.sh$", "^createdb", "^DATABASE_URL", "^faas-cli deploy")
"""Commands of the page's section on faasd that need one, a server, or its host."""


async def test_secrets_by_the_page_are_those_that_the_stack_names(cli: Cli) -> None:
    page = section((ROOT / "docs/deploy.md").read_text(), "faasd")
    variables = {
        **os.environ,
        "HOME": str(cli.home),
        "OPENFAAS_CONFIG": str(cli.home / "config"),
        "OPENFAAS_URL": cli.gateway.url,
        "PATH": f"{cli.program.parent}{os.pathsep}{os.environ['PATH']}",
    }
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", commands(page, NO_SERVER)),
        cwd=ROOT,
        env=variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said.decode()
    listed = await cli.run("secret", "list")
    functions = read_stack(ROOT / "stack.yml", {})
    assert {name for each in functions for name in each.secrets} == set(listed.split()) - {"NAME"}
    secrets = cli.home / "universe-secrets"
    checked = await asyncio.create_subprocess_exec(
        *(str(nats_server_binary()), "-t", "-c", str(secrets / "nats.conf")),
        env={**os.environ, "SERVER_NAME": "nats"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await checked.communicate()
    assert checked.returncode == 0, said.decode()
