"""The README's way from nothing to the first batch, on OpenFaaS, taken out of the page.

The local platform takes the part of OpenFaaS, with the real `faas-cli`; it runs handlers of its own
template, so a few lines stand between it and the page's handler.
"""

import asyncio
import os
import re
import shlex
from pathlib import Path

import pytest
from nats.aio.client import Client

from functions.common.paths import ROOT
from tests.support.connector import ConnectorProcess
from tests.support.local_gateway import running_gateway
from tests.support.net import eventually
from tests.support.quick_start import QuickStart
from tests.support.tools import tool

TEMPLATE = """
from types import SimpleNamespace

from starlette.requests import Request
from starlette.responses import Response

from bill import page


async def handle(request: Request) -> Response:
    event = SimpleNamespace(
        body=await request.body(), headers=request.headers, method=request.method,
        query=request.query_params, path=request.url.path,
    )
    response = page.handle(event, SimpleNamespace(hostname="localhost"))
    return Response(response.get("body", ""), response.get("statusCode", 200))
"""
"""What the template python3-http does around a handler."""


@pytest.mark.slow
async def test_a_function_of_openfaas_gets_its_first_batch(
    nc: Client, nats_url: str, tmp_path: Path
) -> None:
    page = QuickStart.of("OpenFaaS, Community Edition included")
    program = str(tool("faas-cli"))
    home = tmp_path / "home"
    (home / "bill").mkdir(parents=True)
    (home / "bill/page.py").write_text(page.blocks["python"][0])
    (home / "bill/handler.py").write_text(TEMPLATE)
    for folder in ("templates", "functions"):
        (home / folder).symlink_to(ROOT / folder)
    pulled = home / "template/python3-http"
    pulled.mkdir(parents=True)
    (pulled / "template.yml").write_text("language: python3-http\nfprocess: python index.py\n")
    [stack] = page.blocks["yaml"]
    js = nc.jetstream()
    await page.add_stream(js)
    async with running_gateway(tmp_path / "state", root=home, nats_url=nats_url) as gateway:
        (home / "stack.yml").write_text(stack.replace("http://127.0.0.1:8080", gateway.url))
        environment = {
            **os.environ,
            "HOME": str(home),
            "OPENFAAS_CONFIG": str(home / "config"),
            "OPENFAAS_URL": gateway.url,
        }

        async def run(command: str, stdin: str = "") -> str:
            started = await asyncio.create_subprocess_exec(
                program,
                *shlex.split(command)[1:],
                cwd=home,
                env=environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            said, _ = await asyncio.wait_for(started.communicate(stdin.encode()), 60)
            assert started.returncode == 0, said.decode()
            return said.decode()

        password = gateway.server.password or ""
        await run("faas-cli login --password-stdin", password)
        # `up` builds an image, pushes and deploys it
        up = page.command("faas-cli up ")
        assert "202" in await run(up.replace(" up ", " deploy "))

        settings = page.connector_settings()
        assert settings.pop("GATEWAY_URL") == "http://127.0.0.1:8080"
        secrets = tmp_path / "secrets"
        secrets.mkdir()
        (secrets / "basic-auth-user").write_text("admin")
        (secrets / "basic-auth-password").write_text(password)
        with ConnectorProcess(
            tmp_path, nats_url, GATEWAY_URL=gateway.url, SECRETS_DIR=str(secrets), **settings
        ) as connector:
            await asyncio.to_thread(connector.start().bound)
            count = await page.publish(js)

            async def printed() -> bool:
                log = await run(page.command("faas-cli logs ") + " --tail=false")
                return len(re.findall(r"{'id': \d}", log)) == count

            await eventually(printed)

            async def done() -> bool:
                return connector.metrics().get("done_messages_total", 0) == count

            await eventually(done)
