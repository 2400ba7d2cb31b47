"""A local gateway for one test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from infra.local.gateway.app import LocalGateway
from infra.local.gateway.settings import GatewaySettings

HANDLERS = "tests/support/handlers"


def deployment(name: str = "echo", handler: str = "echo", **fields: Any) -> dict[str, Any]:
    """Return the body of a deployment of one of the handlers in tests/support/handlers."""
    annotations = {"com.universe.handler": f"{HANDLERS}/{handler}"} | fields.pop("annotations", {})
    return {"service": name, "image": f"x/{name}:1", "annotations": annotations, **fields}


class RunningGateway:
    """A local gateway and a client logged in to it."""

    def __init__(self, server: LocalGateway, client: aiohttp.ClientSession) -> None:
        self.server = server
        self.client = client

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.server.url

    async def deploy(self, name: str = "echo", handler: str = "echo", **fields: Any) -> None:
        """Deploy one of the handlers."""
        body = deployment(name, handler, **fields)
        async with self.client.post(f"{self.url}/system/functions", json=body) as answer:
            assert answer.status in {200, 202}, await answer.text()

    async def status(self, name: str = "echo") -> dict[str, Any]:
        """Return what the API tells about a function."""
        async with self.client.get(f"{self.url}/system/function/{name}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def call(self, path: str = "echo", method: str = "GET", **options: Any) -> Any:
        """Invoke a function and return its JSON answer."""
        url = f"{self.url}/function/{path}"
        async with self.client.request(method, url, **options) as answer:
            assert answer.status == 200, (answer.status, await answer.text())
            return await answer.json(content_type=None)


@asynccontextmanager
async def running_gateway(state_dir: Path, **settings: Any) -> AsyncIterator[RunningGateway]:
    """Run a local gateway on a free port."""
    settings = {"gateway_port": 0, "term_timeout": 10.0, **settings}
    async with LocalGateway(GatewaySettings(state_dir=state_dir, **settings)) as server:
        headers = {}
        if server.password:
            headers["Authorization"] = aiohttp.encode_basic_auth("admin", server.password)
        async with aiohttp.ClientSession(headers=headers) as client:
            yield RunningGateway(server, client)
