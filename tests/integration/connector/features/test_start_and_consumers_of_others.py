"""Where a function begins in its stream, and consumers that somebody else has made."""

from datetime import UTC, datetime
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig

from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction, FakeGateway, subscribed
from tests.support.jetstream import event, publish
from tests.support.net import eventually, wait_until


@pytest.fixture
async def log(nc: Client) -> JetStreamContext:
    """JetStream with a stream LOG that keeps its messages: two of log.a and two of log.b."""
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="LOG", subjects=["log.>"]))
    for name in ("a1", "b1", "a2", "b2"):
        await publish(js, event(name), subject=f"log.{name[0]}")
    return js


def fn(name: str, function: FakeFunction, **options: str) -> dict[str, Any]:
    return subscribed(name, function, "log.>", batch_size="10", **options)


async def test_where_a_function_begins(
    log: JetStreamContext, function: FakeFunction, gateway: FakeGateway, connector: ConnectorProcess
) -> None:
    time = datetime.now(UTC).isoformat()
    starts = {"all": "all", "seq": "3", "last": "last-per-subject", "new": "new", "at": time}
    gateway.serve(*(fn(name, function, start=start) for name, start in starts.items()))
    connector.bound(5)
    await publish(log, event("later"), subject="log.a")
    expected = {"all": 5, "seq": 3, "last": 3, "new": 1, "at": 1}

    def calls() -> dict[str, list[str]]:
        by_name: dict[str, list[str]] = {name: [] for name in starts}
        for request in function.requests():
            for name in starts:
                if f"/jetstream/LOG/{name}" in request["body"]:
                    by_name[name] += request["ids"]
        return by_name

    wait_until(lambda: {name: len(ids) for name, ids in calls().items()} == expected)
    assert sorted(calls()["last"]) == ["LOG:3", "LOG:4", "LOG:5"]
    # one that is there goes on where it is, whatever is asked for
    gateway.serve(fn("new", function, start="all"))
    wait_until(lambda: "consumer new goes on where it is" in connector.log.read_text())
    await publish(log, event("last"), subject="log.b")
    wait_until(lambda: calls()["new"] == ["LOG:5", "LOG:6"])
    gateway.serve(fn("new", function, start="yesterday"))
    wait_until(lambda: "annotation jetstream.start" in connector.state()["unbound"].get("new", ""))


async def test_a_consumer_that_others_made_is_used_as_it_is(
    log: JetStreamContext, function: FakeFunction, gateway: FakeGateway, connector: ConnectorProcess
) -> None:
    mine = ConsumerConfig(
        durable_name="mine",
        deliver_policy=DeliverPolicy.NEW,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=2,
        max_ack_pending=7,
        filter_subject="log.a",
        description="made by hand",
    )
    await log.add_consumer("LOG", mine)
    await log.add_consumer(
        "LOG", ConsumerConfig(durable_name="other", filter_subject="log.c", ack_wait=1)
    )
    before = (await log.consumer_info("LOG", "mine")).config
    gateway.serve(fn("fn", function, consumer="mine", ack_wait="9s"))
    connector.bound()
    function.mode(delay=3)  # longer than its ack wait: the connector reports progress in time
    await publish(log, event("b3"), subject="log.b")
    await publish(log, event("a3"), subject="log.a")
    wait_until(lambda: function.done() == ["a3"])
    function.mode()

    async def acknowledged() -> bool:
        info = await log.consumer_info("LOG", "mine")
        return info.num_ack_pending == 0 and info.num_pending == 0

    await eventually(acknowledged)
    assert len(function.calls()) == 1
    assert (await log.consumer_info("LOG", "mine")).config == before
    assert {info.name for info in await log.consumers_info("LOG")} == {"mine", "other"}

    def fault() -> str:
        return next((b["fault"] or "" for b in connector.state()["bindings"]), "")

    gateway.serve(fn("fn", function, consumer="gone"))
    wait_until(
        lambda: fault() == "there is no consumer gone of stream LOG, which the function names"
    )
    gateway.serve(subscribed("fn", function, "log.a", consumer="other"))
    wait_until(lambda: fault() == "consumer other of stream LOG delivers log.c, none of log.a")
