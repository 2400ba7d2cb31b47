"""A change of a function's configuration takes effect while its work goes on."""

from pathlib import Path
from typing import Any

import pytest
from nats.js import JetStreamContext

from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction, FakeGateway, subscribed
from tests.support.jetstream import drained, event, publish
from tests.support.net import eventually, wait_until


@pytest.fixture
def connector_settings() -> dict[str, str]:
    """At SIGTERM it waits for nothing."""
    return {"DRAIN_TIMEOUT": "100ms"}


def fn(
    function: FakeFunction, labels: dict[str, str] | None = None, **options: str
) -> dict[str, Any]:
    return subscribed("fn", function, "events.>", labels, **options)


async def test_changes_cut_no_invocation(
    js: JetStreamContext, function: FakeFunction, gateway: FakeGateway, connector: ConnectorProcess
) -> None:
    gateway.serve(fn(function, batch_size="10"))
    connector.bound()
    function.mode(delay=4)
    await publish(js, event("slow"), subject="events.a")
    wait_until(lambda: len(function.calls()) == 1)
    function.mode()
    gateway.serve(fn(function, {"com.openfaas.scale.max": "7"}, batch_size="10"))
    gateway.serve(
        fn(
            function,
            {"com.openfaas.scale.max": "7"},
            batch_size="2",
            concurrency="1",
            timeout="9s",
            ack_wait="2s",
            max_deliver="2",
            backoff="10ms",
            max_ack_pending="50",
        )
    )
    log = connector.log
    wait_until(lambda: "changing the binding of fn" in log.read_text())

    async def changed() -> bool:
        config = (await js.consumer_info("EVENTS", "fn")).config
        return config.ack_wait == 2 and config.max_ack_pending == 50

    await eventually(changed)
    await publish(js, *(event(f"{n}") for n in range(4)), subject="events.b")
    await publish(js, event("bad", "status:500"), subject="events.b")
    await drained(js)
    assert sorted(function.done()) == ["0", "1", "2", "3", "slow"]
    calls = function.calls()
    assert calls.count(["EVENTS:1"]) == 1, "not cut, not repeated"
    assert max(map(len, calls)) <= 2
    assert sum("EVENTS:6" in call for call in calls) <= 4
    m = connector.metrics()
    assert m["dead_messages_total"] == 1
    assert m["returned_messages_total"] == 0
    assert m["fetched_messages_total"] == 6
    assert "unbinding" not in log.read_text()


async def test_a_removed_function_ends_its_work(
    js: JetStreamContext,
    function: FakeFunction,
    gateway: FakeGateway,
    connector: ConnectorProcess,
    tmp_path: Path,
) -> None:
    go_on = tmp_path / "go-on"
    gateway.serve(fn(function, batch_size="1", concurrency="1"))
    connector.bound()
    function.mode(until=str(go_on))
    await publish(js, event("slow"), event("waits"), subject="events.a")
    wait_until(lambda: len(function.calls()) == 1)
    function.mode()
    gateway.serve()
    wait_until(lambda: connector.state()["bindings"] == [])
    # it comes back meanwhile: what waits is delivered while the first call still runs
    gateway.serve(fn(function, batch_size="1", concurrency="1"))
    wait_until(lambda: function.done() == ["waits"])
    go_on.touch()
    await drained(js)
    assert function.done() == ["waits", "slow"]
    assert sorted(map(tuple, function.calls())) == [("EVENTS:1",), ("EVENTS:2",)]


async def test_batches_become_single_messages(
    js: JetStreamContext, function: FakeFunction, gateway: FakeGateway, connector: ConnectorProcess
) -> None:
    """A batch that waits for its retry is taken apart: nothing of it is lost."""
    function.mode(status=503, headers={"Retry-After": "1"})
    gateway.serve(fn(function, batch_size="10"))
    connector.bound()
    await publish(js, *(event(f"{n}") for n in range(5)), subject="events.a")
    wait_until(lambda: connector.metrics().get("inflight_messages") == 5)
    gateway.serve(fn(function))
    wait_until(lambda: connector.bindings()[0]["batch"] is False)
    function.mode()
    await drained(js)
    assert sorted(function.done()) == ["0", "1", "2", "3", "4"]
