"""The consumer of a function that was removed is seen, and can be removed."""

import subprocess
import sys
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy, StreamConfig

from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction, FakeGateway, subscribed
from tests.support.jetstream import event, publish
from tests.support.net import plain_http, wait_until


def forget(*arguments: str, nats_url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra.connector", "forget", *arguments, "--nats-url", nats_url],
        capture_output=True,
        text=True,
        check=False,
    )


async def work_queue(nc: Client) -> JetStreamContext:
    js = nc.jetstream()
    await js.add_stream(
        StreamConfig(name="W", subjects=["w.>"], retention=RetentionPolicy.WORK_QUEUE)
    )
    return js


@pytest.mark.slow
async def test_a_removed_function_leaves_an_orphan_until_it_is_forgotten(
    nc: Client, nats_url: str, tmp_path: Path
) -> None:
    js = await work_queue(nc)
    with (
        FakeFunction(tmp_path).start().ready() as function,
        FakeGateway(tmp_path).start().ready() as gateway,
        ConnectorProcess(tmp_path, nats_url, GATEWAY_URL=gateway.url).start() as connector,
    ):
        stays = subscribed("stays", function, "w.a", batch_size="10")
        goes = subscribed("goes", function, "w.b", batch_size="10")
        gateway.serve(stays, goes)
        connector.bound(2)

        def series() -> list[str]:
            text = plain_http.get(f"{connector.url}/metrics").text
            return [line for line in text.splitlines() if 'function="goes"' in line]

        await publish(js, event("b"), subject="w.b")
        wait_until(lambda: function.done() == ["b"])
        wait_until(lambda: any("connector_lag_messages" in line for line in series()))
        refused = forget("goes", nats_url=nats_url)
        assert refused.returncode == 1
        assert "remove the function first" in refused.stderr

        gateway.serve(stays)
        wait_until(lambda: len(connector.bindings()) == 1)
        await publish(js, *(event(f"{n}") for n in range(5)), subject="w.b")
        (orphan,) = wait_until(
            lambda: [o for o in connector.state()["orphans"] if o["lag"] == 5],
        )
        assert (orphan["function"], orphan["stream"], orphan["consumer"]) == ("goes", "W", "goes")
        assert orphan["remove"] == "python -m infra.connector forget goes --stream W"
        assert "is of function goes, which is not there" in connector.log.read_text()
        assert connector.metrics()["orphaned_consumers"] == 1
        assert connector.metrics()["orphan_lag_messages"] == 5
        # no gauge of the binding is left to say that all is well
        gauges = {line.partition("{")[0].removeprefix("universe_connector_") for line in series()}
        assert "orphan_lag_messages" in gauges
        assert not {"lag_messages", "inflight_messages", "breaker_state"} & gauges

        # it comes back: nothing is lost
        gateway.serve(stays, goes)
        wait_until(lambda: len(function.done()) == 6)
        wait_until(lambda: connector.state()["orphans"] == [])
        assert connector.metrics()["orphaned_consumers"] == 0
        gateway.serve(stays)
        wait_until(lambda: connector.state()["orphans"])
        removed = forget("goes", nats_url=nats_url)
        assert removed.stdout == (
            "removed consumer goes of stream W: 0 messages waited for goes\n"
        ), removed.stderr
        wait_until(lambda: connector.state()["orphans"] == [])
        assert [info.name for info in await js.consumers_info("W")] == ["stays"]
        assert "no connector has made" in forget("goes", nats_url=nats_url).stderr


async def test_an_orphan_is_removed_after_its_time(
    nc: Client, nats_url: str, tmp_path: Path
) -> None:
    js = await work_queue(nc)
    with (
        FakeFunction(tmp_path).start().ready() as function,
        FakeGateway(tmp_path).start().ready() as gateway,
        ConnectorProcess(
            tmp_path,
            nats_url,
            GATEWAY_URL=gateway.url,
            ORPHAN_TIMEOUT="100ms",
            DISCOVERY_INTERVAL="50ms",
        ).start() as connector,
    ):
        goes = subscribed("goes", function, "w.>")
        broken = subscribed("goes", function, "w.>", nonsense="1")
        gateway.serve(goes)
        connector.bound()
        # its owner makes a mistake: the function is still there
        gateway.serve(broken, subscribed("other", function, None))
        wait_until(lambda: "goes" in connector.state()["unbound"])
        gateway.serve(goes)
        connector.bound()
        assert "removed consumer" not in connector.log.read_text()
        gateway.serve()
        wait_until(lambda: "removed consumer goes of stream W" in connector.log.read_text())
        assert await js.consumers_info("W") == []
        wait_until(lambda: connector.state()["orphans"] == [])
