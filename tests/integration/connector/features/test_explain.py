"""Why is nothing happening? `explain` and /bindings say it in words."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StreamConfig

from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction, FakeGateway, subscribed
from tests.support.jetstream import event, publish
from tests.support.net import wait_until


@pytest.fixture
def connector_settings() -> dict[str, str]:
    """It has patience after failures."""
    return {"NATS_BACKOFF": "1h", "NATS_MAX_DELIVER": "5"}


@pytest.fixture
async def log(nc: Client) -> JetStreamContext:
    """JetStream with a stream LOG that keeps its messages."""
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="LOG", subjects=["log.>"]))
    return js


def fn(function: FakeFunction, topic: str = "log.a") -> dict[str, Any]:
    return subscribed("fn", function, topic, batch_size="9")


def explained(connector: ConnectorProcess, name: str = "fn") -> str:
    """Return what the command prints, its errors too."""
    command = [sys.executable, "-m", "infra.connector", "explain", name, "--url", connector.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def said(connector: ConnectorProcess) -> str:
    """Return what /bindings says of the only function."""
    bindings = connector.state().get("bindings") or [{"explanation": []}]
    return "\n".join(bindings[0]["explanation"])


async def test_what_a_failing_function_waits_for(
    log: JetStreamContext, function: FakeFunction, gateway: FakeGateway, connector: ConnectorProcess
) -> None:
    gateway.serve(fn(function))
    connector.bound()
    wait_until(lambda: "no message waits" in said(connector))
    assert "no call has ended yet" in said(connector)
    await publish(log, event("b"), subject="log.b")  # another function's, and older
    await publish(log, event("good"), subject="log.a")
    wait_until(lambda: function.done() == ["good"])
    await publish(log, event("bad", "status:500"), subject="log.a")
    wait_until(lambda: "1 deliveries wait for a retry" in said(connector))
    wait_until(lambda: "1 messages wait or are being delivered, the oldest for" in said(connector))
    text = explained(connector)
    assert "fn is bound to log.a of stream LOG by the consumer fn, in batches\n" in text
    assert "the last call that succeeded ended" in text
    assert "ago: HTTP 500\n" in text
    assert "LOG:3, which the function has had 1 times; 1 of 5 attempts are charged\n" in text
    age = connector.metrics()["oldest_waiting_seconds"]
    assert 0 < age < 600
    wait_until(lambda: connector.metrics()["oldest_waiting_seconds"] > age)


async def test_the_oldest_message_may_still_be_in_the_stream(
    log: JetStreamContext, function: FakeFunction, gateway: FakeGateway, connector: ConnectorProcess
) -> None:
    function.mode(status=503, headers={"Retry-After": "100"})
    gateway.serve(fn(function))
    connector.bound()
    await publish(log, *(event(f"{n}") for n in range(200)), subject="log.a")
    wait_until(
        lambda: "200 messages wait or are being delivered, the oldest for" in said(connector)
    )
    wait_until(lambda: "a call is tried in" in said(connector))
    assert "the function is taken for unavailable" in explained(connector)
    assert connector.metrics()["oldest_waiting_seconds"] > 0


async def test_a_consumer_that_is_paused_in_nats(
    log: JetStreamContext, function: FakeFunction, gateway: FakeGateway, connector: ConnectorProcess
) -> None:
    gateway.serve(fn(function))
    connector.bound()
    until = datetime.now(UTC) + timedelta(hours=9)
    await log.pause_consumer("LOG", "fn", until.strftime("%Y-%m-%dT%H:%M:%SZ"))
    wait_until(lambda: "the consumer is paused in NATS for another 9 h" in said(connector))
    assert "nats consumer resume LOG fn" in explained(connector)
    await log.resume_consumer("LOG", "fn")
    wait_until(lambda: "paused" not in said(connector))


@pytest.mark.slow
async def test_what_is_not_bound(
    log: JetStreamContext, function: FakeFunction, gateway: FakeGateway, connector: ConnectorProcess
) -> None:
    gateway.serve(fn(function, "nowhere.>"))
    wait_until(lambda: "fn" in connector.state().get("unbound", {}))
    text = explained(connector)
    assert text == "fn cannot be bound: no stream stores the subject nowhere.>\n"
    gateway.serve(fn(function))
    connector.bound()
    gateway.serve()
    wait_until(lambda: connector.state()["orphans"])
    assert "which has no binding to it any more: 0 messages wait" in explained(connector)
    assert "knows of no function other" in explained(connector, "other")
    connector.stop()
    assert "no connector responds at" in explained(connector)
