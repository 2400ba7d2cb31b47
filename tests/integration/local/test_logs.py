"""The logs endpoint: what functions print, as faas-cli reads it."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.local_gateway import RunningGateway, running_gateway
from tests.support.net import eventually


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    async with running_gateway(tmp_path) as running:
        await running.deploy()
        yield running


async def say(gateway: RunningGateway, text: str) -> None:
    url = f"{gateway.url}/function/echo/print"
    async with gateway.client.get(url, params={"text": text}) as answer:
        assert answer.status == 200


async def logs(gateway: RunningGateway, **query: str) -> list[dict[str, Any]]:
    url = f"{gateway.url}/system/logs"
    async with gateway.client.get(url, params={"name": "echo", **query}) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "application/x-ndjson"
        return [json.loads(line) for line in (await answer.text()).splitlines()]


async def texts(gateway: RunningGateway, **query: str) -> list[str]:
    return [line["text"] for line in await logs(gateway, **query)]


async def test_lines_are_told_with_time_and_instance(gateway: RunningGateway) -> None:
    await say(gateway, "h\u00e9llo {} \U0001f30d")

    async def logged() -> bool:
        return "h\u00e9llo {} \U0001f30d" in await texts(gateway)

    await eventually(logged)
    line = (await logs(gateway))[-1]
    assert line["name"] == "echo"
    assert line["namespace"] == "openfaas-fn"
    assert line["instance"] == gateway.server.registry.get("echo").ready[0].name
    age = datetime.now(UTC) - datetime.fromisoformat(line["timestamp"])
    assert timedelta() <= age < timedelta(minutes=2)


async def test_lines_are_chosen_by_tail_since_and_instance(gateway: RunningGateway) -> None:
    for number in range(6):
        await say(gateway, f"line {number}")

    async def logged() -> bool:
        return "line 5" in await texts(gateway)

    await eventually(logged)
    assert await texts(gateway, tail="2") == ["line 4", "line 5"]
    everything = await logs(gateway, tail="-1")
    third = next(line for line in everything if line["text"] == "line 3")
    assert (await texts(gateway, since=third["timestamp"]))[0] == "line 3"
    assert await texts(gateway, since="2100-01-01T00:00:00+01:00") == []
    assert await texts(gateway, instance="another") == []
    assert len(await logs(gateway, instance=third["instance"])) == len(everything)


async def test_following_goes_on_without_gap_or_double(gateway: RunningGateway) -> None:
    seen: list[str] = []

    async def follow() -> None:
        url = f"{gateway.url}/system/logs?name=echo&follow=true"
        async with gateway.client.get(url) as answer:
            async for line in answer.content:
                seen.append(json.loads(line)["text"])

    async def talk() -> None:
        for number in range(60):
            await say(gateway, f"line {number}")

    talking = asyncio.create_task(talk())
    await asyncio.sleep(0.05)
    following = asyncio.create_task(follow())
    await talking

    async def all_seen() -> bool:
        return "line 59" in seen

    await eventually(all_seen)
    assert [text for text in seen if text.startswith("line ")] == [f"line {n}" for n in range(60)]
    following.cancel()
    log = gateway.server.registry.log("echo")

    async def let_go() -> bool:
        return not log._followers

    await eventually(let_go)


async def test_followers_do_not_hold_up_the_end(tmp_path: Path) -> None:
    # requests in flight may take far longer than this test
    async with running_gateway(tmp_path, term_timeout=900.0) as gateway:
        await gateway.deploy()
        url = f"{gateway.url}/system/logs?name=echo&follow=true"
        answer = await gateway.client.get(url)
        await asyncio.wait_for(gateway.server.stop(), 100)
        await answer.read()


async def test_bad_queries_are_refused(gateway: RunningGateway) -> None:
    for query, status in (
        ("name=nothing", 404),
        ("name=echo&since=yesterday", 422),
        ("name=echo&tail=x", 422),
    ):
        async with gateway.client.get(f"{gateway.url}/system/logs?{query}") as answer:
            assert answer.status == status
