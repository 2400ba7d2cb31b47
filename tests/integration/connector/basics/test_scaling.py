"""Functions are scaled on their lag."""

import asyncio
from pathlib import Path
from typing import Any

from nats.js import JetStreamContext

from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction, FakeGateway, deployed
from tests.support.jetstream import drained, event, publish
from tests.support.net import wait_until


async def test_scaling_follows_the_lag(js: JetStreamContext, nats_url: str, tmp_path: Path) -> None:
    labels = {
        "com.openfaas.scale.min": "1",
        "com.openfaas.scale.max": "4",
        "com.openfaas.scale.zero": "true",
        "com.openfaas.scale.zero-duration": "1s",
    }
    annotations = {
        "topic": "events.>",
        "jetstream.batch-size": "10",
        "jetstream.lag-per-replica": "100",
    }
    with (
        FakeFunction(tmp_path).start().ready() as function,
        FakeGateway(tmp_path).start().ready() as gateway,
        ConnectorProcess(
            tmp_path, nats_url, GATEWAY_URL=gateway.url, SCALE_DOWN_STABILIZATION="500ms"
        ) as connector,
    ):
        function.mode(status=503)
        fn = deployed("fn", function.url, labels=labels, annotations=annotations)
        gateway.serve({**fn, "replicas": 0})
        connector.start().bound()
        await publish(js, *([event(f"{n}-{i}") for i in range(10)] for n in range(25)))
        wait_until(lambda: gateway.functions()[0]["replicas"] == 3)
        await publish(js, *([event(f"x{n}-{i}") for i in range(10)] for n in range(100)))
        wait_until(lambda: gateway.functions()[0]["replicas"] == 4)
        wait_until(lambda: connector.metrics()["lag_messages"] >= 125)
        assert connector.metrics()["desired_replicas"] == 4
        function.mode()
        await drained(js)
        wait_until(lambda: gateway.functions()[0]["replicas"] == 0)
        assert gateway.asked()[-1] == 0
        # back from zero
        await publish(js, event("again"))
        await drained(js)

        # an engine that refuses zero is asked once
        gateway.serve({**fn, "replicas": 1}, refuseZero=True)
        zeros = gateway.asked().count(0)
        wait_until(lambda: gateway.asked().count(0) == zeros + 1)
        await asyncio.sleep(2)
        assert gateway.asked().count(0) == zeros + 1
        assert gateway.functions()[0]["replicas"] == 1
        assert any("refuses to scale fn to zero" in line["message"] for line in connector.lines())


async def test_an_engine_that_makes_one_of_zero_is_asked_once(
    nats_url: str, js: JetStreamContext, tmp_path: Path
) -> None:
    """OpenFaaS' Community Edition answers 202, and the function keeps a replica."""
    with (
        FakeFunction(tmp_path).start().ready() as function,
        FakeGateway(tmp_path).start().ready() as gateway,
        ConnectorProcess(tmp_path, nats_url, GATEWAY_URL=gateway.url) as connector,
    ):
        labels = {"com.openfaas.scale.zero": "true", "com.openfaas.scale.zero-duration": "100ms"}
        fn = {"name": "fn", "url": function.url, "annotations": {"topic": "events.>"}}
        gateway.serve({**fn, "labels": labels, "replicas": 1}, zeroIsOne=True)
        connector.start().bound()

        def told() -> list[dict[str, Any]]:
            lines = connector.lines()
            return [line for line in lines if "to scale fn to zero and keeps" in line["message"]]

        wait_until(told)
        asked = gateway.asked()
        await asyncio.sleep(2)
        assert gateway.asked() == asked
        assert len(told()) == 1
