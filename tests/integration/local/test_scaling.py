"""Replicas come, go, crash and are replaced; requests notice as little as possible."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from tests.support.local_gateway import HANDLERS, RunningGateway, deployment, running_gateway
from tests.support.net import eventually


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    async with running_gateway(tmp_path) as running:
        yield running


def replicas(
    gateway: RunningGateway, count: int, name: str = "echo"
) -> Callable[[], Awaitable[bool]]:
    """Return a check for the number of replicas that are ready, with no other process left."""

    async def check() -> bool:
        function = gateway.server.registry.get(name)
        return function.available == len(function.replicas) == count

    return check


async def scale(gateway: RunningGateway, count: int, name: str = "echo") -> int:
    body = {"serviceName": name, "replicas": count}
    url = f"{gateway.url}/system/scale-function/{name}"
    async with gateway.client.post(url, json=body) as answer:
        return answer.status


async def test_the_first_requests_wait_for_one_replica(gateway: RunningGateway) -> None:
    await gateway.deploy("slow", "slow_start", labels={"com.openfaas.scale.min": "0"})
    assert (await gateway.status("slow"))["replicas"] == 0

    async def ask(number: int) -> str:
        async with gateway.client.get(f"{gateway.url}/function/slow/{number}") as answer:
            assert answer.status == 200
            return await answer.text()

    answers = [answer.split() for answer in await asyncio.gather(*map(ask, range(12)))]
    assert [path for _, path in answers] == [f"/{number}" for number in range(12)]
    assert len({pid for pid, _ in answers}) == 1
    assert gateway.server.registry.get("slow").started_replicas == 1


async def test_a_request_that_waits_outlives_a_scale_to_zero(gateway: RunningGateway) -> None:
    await gateway.deploy("slow", "slow_start", labels={"com.openfaas.scale.min": "0"})
    function = gateway.server.registry.get("slow")

    async def ask() -> int:
        async with gateway.client.get(f"{gateway.url}/function/slow/") as answer:
            return answer.status

    asking = asyncio.create_task(ask())

    async def waits() -> bool:
        return function.waiting == 1

    await eventually(waits)
    assert await scale(gateway, 0, "slow") == 202
    assert await asyncio.wait_for(asking, 30) == 200


async def test_an_update_keeps_to_its_own_bounds(gateway: RunningGateway) -> None:
    await gateway.deploy()
    await scale(gateway, 4)
    await eventually(replicas(gateway, 4))
    await gateway.deploy(labels={"com.openfaas.scale.max": "2", "com.openfaas.scale.min": ""})
    await eventually(replicas(gateway, 2))


async def test_an_idle_function_goes_to_zero_and_comes_back(gateway: RunningGateway) -> None:
    labels = {"com.openfaas.scale.zero": "true", "com.openfaas.scale.zero-duration": "1s"}
    await gateway.deploy(labels=labels)
    process = psutil.Process((await gateway.call())["master"])
    await eventually(replicas(gateway, 0))
    status = await gateway.status()
    assert (status["replicas"], status["availableReplicas"]) == (0, 0)
    assert not process.is_running()
    assert (await gateway.call())["method"] == "GET"
    reasons = [event.reason for event in gateway.server.registry.events.last(3)]
    assert reasons == ["request", "idle", "deploy"]


async def test_no_replica_goes_while_it_has_a_request(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, zero_duration=0.3) as gateway:
        await gateway.deploy()
        assert (await gateway.call("echo/sleep?s=2"))["query"] == "s=2"
        await eventually(replicas(gateway, 0))


async def test_functions_may_stay_awake(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, zero_duration=0.1) as gateway:
        await gateway.deploy(labels={"com.openfaas.scale.zero": "false"})
        await eventually(replicas(gateway, 1))
        await asyncio.sleep(1)
        assert (await gateway.status())["replicas"] == 1


async def test_requests_are_balanced(gateway: RunningGateway) -> None:
    await gateway.deploy()
    assert await scale(gateway, 3) == 202
    await eventually(replicas(gateway, 3))
    one_by_one = [(await gateway.call())["pid"] for _ in range(9)]
    assert sorted(one_by_one.count(pid) for pid in set(one_by_one)) == [3, 3, 3]
    at_once = await asyncio.gather(*(gateway.call("echo/sleep?s=1.5") for _ in range(6)))
    pids = [answer["pid"] for answer in at_once]
    assert sorted(pids.count(pid) for pid in set(pids)) == [2, 2, 2]


async def test_scaling_keeps_to_the_bounds(gateway: RunningGateway) -> None:
    labels = {"com.openfaas.scale.min": "1", "com.openfaas.scale.max": "2"}
    await gateway.deploy(labels=labels)
    await scale(gateway, 9)
    await eventually(replicas(gateway, 2))
    await scale(gateway, 0)
    await eventually(replicas(gateway, 0))
    assert (await gateway.call())["method"] == "GET"
    assert await scale(gateway, 1, "nothing") == 404


async def test_scaling_down_finishes_requests_in_hand(gateway: RunningGateway) -> None:
    await gateway.deploy()
    await scale(gateway, 2)
    await eventually(replicas(gateway, 2))
    calls = [asyncio.create_task(gateway.call("echo/sleep?s=3")) for _ in range(4)]
    function = gateway.server.registry.get("echo")

    async def all_busy() -> bool:
        return [replica.in_flight for replica in function.ready] == [2, 2]

    await eventually(all_busy)
    await scale(gateway, 0)
    assert len({answer["pid"] for answer in await asyncio.gather(*calls)}) == 2
    await eventually(replicas(gateway, 0))


async def test_a_crashed_replica_is_replaced(gateway: RunningGateway) -> None:
    await gateway.deploy()
    first = await gateway.call()
    worker = psutil.Process(first["pid"])
    async with gateway.client.post(f"{gateway.url}/function/echo/crash") as answer:
        assert answer.status == 502
        assert answer.content_type == "application/problem+json"
    second = await gateway.call()
    assert second["pid"] != first["pid"]

    async def gone() -> bool:  # the worker that lost its master
        return not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE

    await eventually(gone)


async def test_a_replica_killed_between_requests_is_not_noticed(gateway: RunningGateway) -> None:
    await gateway.deploy()
    for _ in range(3):
        # all of it at once: a worker that outlives its master may be killed amid the next answer
        os.killpg((await gateway.call())["master"], signal.SIGKILL)
        assert (await gateway.call("echo/after"))["rawPath"] == "/after"


async def test_a_function_that_does_not_start_says_so_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # nobody waits as long as a start may take, which is longer than this test may
    async with running_gateway(tmp_path, cold_start_timeout=900.0) as gateway:
        await says_why_it_does_not_start(gateway, caplog)


async def says_why_it_does_not_start(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture
) -> None:
    await gateway.deploy("broken", "broken")
    for _ in range(5):
        async with gateway.client.get(f"{gateway.url}/function/broken") as answer:
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) >= 1
            assert "status 1" in (await answer.json())["detail"]
    lines = [line.text for line in gateway.server.registry.log("broken").stored().read()]
    assert any("no configuration, no service" in line for line in lines)
    failures = [r for r in caplog.records if "while starting" in r.getMessage()]
    assert "no configuration" in " ".join(failures[0].__dict__["lastLines"])
    assert (await gateway.status("broken"))["availableReplicas"] == 0


async def test_a_start_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, cold_start_timeout=1) as gateway:
        labels = {"com.openfaas.scale.min": "0"}
        await gateway.deploy("slow", "slow_start", labels=labels, envVars={"START_SECONDS": "60"})
        async with gateway.client.get(f"{gateway.url}/function/slow") as answer:
            assert answer.status in {503, 504}


@pytest.mark.slow
async def test_functions_that_hang_at_start_hold_up_no_other(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, parallel_starts=1) as gateway:
        for number in range(2):
            await gateway.deploy(f"slow{number}", "slow_start", envVars={"START_SECONDS": "90"})
        await gateway.deploy()
        assert (await gateway.call())["name"] == "echo"


async def test_an_update_drops_no_request(gateway: RunningGateway) -> None:
    await gateway.deploy(envVars={"VERSION": "1"})
    await scale(gateway, 2)
    await eventually(replicas(gateway, 2))
    versions: list[str] = []
    stop = asyncio.Event()

    async def load() -> None:
        while not stop.is_set():
            versions.append((await gateway.call("echo/sleep?s=0.01", "POST", data=b"x"))["version"])

    workers = [asyncio.create_task(load()) for _ in range(8)]
    function = gateway.server.registry.get("echo")
    for version in ("2", "3"):
        body = deployment(envVars={"VERSION": version})
        async with gateway.client.put(f"{gateway.url}/system/functions", json=body) as answer:
            assert answer.status == 200

        async def replaced(version: str = version) -> bool:
            return versions[-1:] == [version] and len(function.replicas) == function.available == 2

        await eventually(replaced)
    stop.set()
    await asyncio.gather(*workers)
    # no failure, and after the first answer of a version never one of the version before the last
    assert versions[0] == "1"
    assert versions[-1] == "3"
    assert set(function.invocations.by_code) == {200}


async def test_a_broken_update_leaves_the_old_version_serving(gateway: RunningGateway) -> None:
    await gateway.deploy()
    await eventually(replicas(gateway, 1))
    await gateway.deploy("echo", "broken")
    function = gateway.server.registry.get("echo")

    async def failed() -> bool:
        return function.failed_replicas > 0

    await eventually(failed)
    assert (await gateway.call())["version"] == "1"


async def test_a_removed_function_finishes_its_requests(gateway: RunningGateway) -> None:
    await gateway.deploy()
    function = gateway.server.registry.get("echo")
    call = asyncio.create_task(gateway.call("echo/sleep?s=1"))

    async def busy() -> bool:
        return any(replica.in_flight for replica in function.ready)

    await eventually(busy)
    url = f"{gateway.url}/system/functions"
    async with gateway.client.delete(url, json={"functionName": "echo"}) as answer:
        assert answer.status == 200
    async with gateway.client.get(f"{gateway.url}/function/echo") as answer:
        assert answer.status == 404
    assert (await call)["query"] == "s=1"

    async def gone() -> bool:
        return not function.replicas

    await eventually(gone)


_ALONE = f"""
import asyncio, sys
from pathlib import Path
from tests.support.local_gateway import running_gateway
async def main():
    async with running_gateway(Path(sys.argv[1])) as gateway:
        await gateway.deploy(annotations={{"com.universe.handler": "{HANDLERS}/echo"}})
        answer = await gateway.call()
        print(answer["pid"], answer["master"], flush=True)
        await gateway.call("echo/sleep?s=600")
asyncio.run(main())
"""


@pytest.mark.slow
async def test_nothing_outlives_a_killed_platform(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _ALONE, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    pids = [int(pid) for pid in (await asyncio.wait_for(process.stdout.readline(), 60)).split()]
    children = psutil.Process(process.pid).children(recursive=True)
    assert {child.pid for child in children} > set(pids)
    process.kill()
    await process.wait()

    async def all_gone() -> bool:
        return not any(
            child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children
        )

    await eventually(all_gone, 40)


async def test_metrics_have_the_gateways_names(gateway: RunningGateway) -> None:
    await gateway.deploy()
    await gateway.call()
    async with gateway.client.get(f"{gateway.url}/function/echo/status?code=404") as answer:
        assert answer.status == 404
        await answer.read()  # a client that goes before the end is counted as gone, with 499

    async def counted() -> str:  # an invocation is counted after its last byte was sent
        async with gateway.client.get(f"{gateway.url}/metrics") as answer:
            text = await answer.text()
        return text if 'invocation_total{code="404"' in text else ""

    text = await eventually(counted)
    name = 'function_name="echo.openfaas-fn"'
    assert f'gateway_function_invocation_total{{code="200",{name}}} 1.0' in text
    assert f'gateway_function_invocation_total{{code="404",{name}}} 1.0' in text
    assert f"gateway_function_invocation_started{{{name}}} 2.0" in text
    assert f'gateway_functions_seconds_count{{code="200",{name}}} 1.0' in text
    assert f"gateway_service_count{{{name}}} 1.0" in text
    assert (await gateway.status())["invocationCount"] == 2
