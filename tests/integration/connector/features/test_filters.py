"""A function gets what its filter lets through; the rest is acknowledged and counted."""

import json

from nats.aio.client import Client
from nats.js.api import RetentionPolicy, StreamConfig

from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction, FakeGateway, subscribed
from tests.support.jetstream import backlog, event, publish
from tests.support.net import eventually, wait_until

FILTER = {
    "headers": {"Tenant": ["acme", {"prefix": "glob"}]},
    "data": {"total": [{"numeric": [">=", 100]}], "state": [{"anything-but": ["draft"]}]},
}


async def test_only_what_matches_is_delivered(
    nc: Client, function: FakeFunction, gateway: FakeGateway, connector: ConnectorProcess
) -> None:
    js = nc.jetstream()
    work = RetentionPolicy.WORK_QUEUE
    await js.add_stream(StreamConfig(name="ORDERS", subjects=["orders.>"], retention=work))
    good = {"total": 150, "state": "paid"}
    for name, tenant, data in (
        ("right", "acme", good),
        ("prefix", "globex", good),
        ("tenant", "other", good),
        ("nobody's", "", good),
        ("small", "acme", good | {"total": 99}),
        ("draft", "acme", good | {"state": "draft"}),
    ):
        headers = {"tenant": tenant} if tenant else None
        await js.publish("orders.a", json.dumps(event(name, **data)).encode(), headers=headers)
    await js.publish("orders.a", b"no JSON", headers={"tenant": "acme"})
    given = {"batch_size": "10", "filter": json.dumps(FILTER)}
    wrong = {"filter": '{"data": {"a": [{"like": "b"}]}}'}
    gateway.serve(
        subscribed("fn", function, "orders.>", **given),
        subscribed("wrong", function, "orders.>", **wrong),
    )

    async def empty() -> bool:
        return await backlog(js, "ORDERS") == 0

    await eventually(empty)
    assert sorted(function.done()) == ["prefix", "right"]
    metrics = connector.metrics()
    assert (metrics["filtered_messages_total"], metrics["filtered_events_total"]) == (5, 5)
    assert metrics["fetched_messages_total"] == 7
    assert metrics["done_messages_total"] == 2
    (binding,) = connector.bindings()
    assert binding["messagesFiltered"] == 5
    assert any("5 others were acknowledged" in sentence for sentence in binding["explanation"])
    assert "unknown operator 'like'" in connector.state()["unbound"]["wrong"]

    # what is changed counts for what comes
    given["filter"] = '{"data": {"total": [1]}}'
    gateway.serve(subscribed("fn", function, "orders.>", **given))
    wait_until(lambda: connector.bindings()[0]["filter"] == given["filter"])
    await publish(js, event("one", total=1), event("two", total=2), subject="orders.a")
    await eventually(empty)
    assert sorted(function.done()) == ["one", "prefix", "right"]
