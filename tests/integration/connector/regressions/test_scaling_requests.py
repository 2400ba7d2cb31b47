"""Scaling on lag: a slow request holds up no other function, and one of several connectors acts."""

from pathlib import Path
from typing import Any

from nats.js import JetStreamContext

from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction, FakeGateway, subscribed
from tests.support.jetstream import drained, event, publish
from tests.support.net import wait_until


def fn(name: str, function: FakeFunction, topic: str) -> dict[str, Any]:
    labels = {"com.openfaas.scale.max": "9"}
    return subscribed(name, function, topic, labels, batch_size="10", lag_per_replica="10")


async def test_a_slow_request_holds_up_no_other_function(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    with (
        FakeFunction(tmp_path).start().ready() as function,
        FakeGateway(tmp_path).start().ready() as gateway,
        ConnectorProcess(
            tmp_path, nats_url, GATEWAY_URL=gateway.url, SCALE_TIMEOUT="8s"
        ) as connector,
    ):
        function.mode(status=503)
        functions = [fn("fn-0", function, "events.a"), fn("fn-1", function, "events.b")]
        gateway.serve(*functions, slowToScale=["fn-0"])
        # all wait before it looks: else it may ask for fewer first
        for subject in ("events.a", "events.b"):
            await publish(js, *(event(f"{n}") for n in range(25)), subject=subject)
        connector.start().bound(2)
        wait_until(lambda: (gateway.asked("fn-0")[:1], gateway.asked("fn-1")[:1]) == ([3], [3]))
        assert "cannot scale fn-0" not in connector.log.read_text(), "still being asked"
        # the request that is never answered ends, and is made again
        wait_until(lambda: gateway.asked("fn-0") == [3, 3])
        assert "cannot scale fn-0 to 3 replicas: TimeoutError" in connector.log.read_text()


async def test_of_several_connectors_one_scales(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    with (
        FakeFunction(tmp_path).start().ready() as function,
        FakeGateway(tmp_path).start().ready() as gateway,
        ConnectorProcess(tmp_path, nats_url, "one", GATEWAY_URL=gateway.url) as one,
        ConnectorProcess(tmp_path, nats_url, "two", GATEWAY_URL=gateway.url) as two,
    ):
        function.mode(status=503)
        gateway.serve(fn("fn", function, "events.a"))
        one.start().bound()
        two.start().bound()
        await publish(js, *(event(f"{n}") for n in range(10)), subject="events.a")
        for replicas in range(2, 6):
            await publish(js, *(event(f"{n}") for n in range(10)), subject="events.a")
            wait_until(lambda wanted=replicas: wanted in gateway.asked())
            wait_until(
                lambda wanted=replicas: all(
                    c.metrics().get("lag_messages", 0) >= wanted * 10 for c in (one, two)
                )
            )
        assert "desired_replicas" in one.metrics()
        assert "desired_replicas" not in two.metrics()
        asked = len(gateway.asked())
        one.kill()
        await publish(js, *(event(f"{n}") for n in range(20)), subject="events.a")
        wait_until(lambda: len(gateway.asked()) > asked)
        wait_until(lambda: "desired_replicas" in two.metrics())
        function.mode()
        await drained(js)
