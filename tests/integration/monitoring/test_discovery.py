"""Prometheus is told who is alive: replicas by themselves, and nobody who sleeps."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.local_gateway import RunningGateway, running_gateway
from tests.support.net import eventually


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    async with running_gateway(tmp_path) as running:
        yield running


async def targets(gateway: RunningGateway, job: str) -> dict[str, dict[str, str]]:
    """Return the labels of a job's targets by address."""
    async with gateway.client.get(f"{gateway.url}/system/http-sd") as answer:
        assert answer.status == 200
        assert answer.content_type == "application/json"
        groups: list[dict[str, Any]] = await answer.json()
    return {
        address: group["labels"]
        for group in groups
        for address in group["targets"]
        if group["labels"]["job"] == job
    }


async def test_replicas_are_named_one_by_one_and_sleep_on(gateway: RunningGateway) -> None:
    await gateway.deploy("echo", labels={"com.openfaas.scale.max": "3"})
    await gateway.deploy("sleeper", labels={"com.openfaas.scale.min": "1"})
    body = {"serviceName": "echo", "replicas": 2}
    await gateway.client.post(f"{gateway.url}/system/scale-function/echo", json=body)
    body = {"serviceName": "sleeper", "replicas": 0}
    await gateway.client.post(f"{gateway.url}/system/scale-function/sleeper", json=body)

    async def settled() -> bool:
        names = [each["function"] for each in (await targets(gateway, "function")).values()]
        return names == ["echo", "echo"]

    await eventually(settled, 60)
    found = await targets(gateway, "function")
    assert len({labels["replica"] for labels in found.values()}) == 2

    # each address is one replica's own: asked twice, the same process answers
    invocations = gateway.server.registry.get("echo").invocations.started
    workers = set()
    for address in found:
        pids = set()
        for _ in range(2):
            async with gateway.client.get(f"http://{address}/metrics") as answer:
                pids.add((await answer.json())["pid"])
        assert len(pids) == 1
        workers |= pids
    assert len(workers) == 2
    assert gateway.server.registry.get("echo").invocations.started == invocations
    assert gateway.server.registry.get("sleeper").desired_replicas == 0


async def test_the_gateway_and_the_services_beside_it(gateway: RunningGateway) -> None:
    address = gateway.url.removeprefix("http://")
    assert list(await targets(gateway, "gateway")) == [address]
    async with gateway.client.get(f"http://{address}/metrics") as answer:
        assert b"gateway_service_count" in await answer.read()
    assert await targets(gateway, "connector") == {}
    gateway.server.services["connector"] = "127.0.0.1:9"
    assert list(await targets(gateway, "connector")) == ["127.0.0.1:9"]


async def test_strangers_are_told_nothing(gateway: RunningGateway) -> None:
    async with (
        aiohttp.ClientSession() as stranger,
        stranger.get(f"{gateway.url}/system/http-sd") as answer,
    ):
        assert answer.status == 401
