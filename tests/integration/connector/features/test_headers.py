"""What a publisher says in a message's headers reaches the function, CloudEvents and traces too."""

import json
from pathlib import Path
from typing import Any

import pytest
from nats.js import JetStreamContext

from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction, FakeGateway, subscribed
from tests.support.jetstream import dead_letters, drained, event
from tests.support.net import wait_until

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEADERS = {
    "Tenant": "acme",
    "traceparent": TRACE,
    "ce-specversion": "1.0",
    "ce-id": "my-own-id",
    "ce-source": "/shop",
    "ce-type": "com.acme.order",
}


async def deliver(
    js: JetStreamContext, nats_url: str, tmp_path: Path, **options: str
) -> dict[str, Any]:
    """Publish one message with headers, and return the call that the function got."""
    await js.publish("events.a", json.dumps(event("a")).encode(), headers=HEADERS)
    with (
        FakeFunction(tmp_path).start().ready() as function,
        FakeGateway(tmp_path).start().ready() as gateway,
        ConnectorProcess(tmp_path, nats_url, GATEWAY_URL=gateway.url).start() as connector,
    ):
        gateway.serve(subscribed("fn", function, "events.a", **options))
        connector.bound()
        await drained(js)
        (request,) = function.requests()
    return request


async def test_a_single_call_has_them(js: JetStreamContext, nats_url: str, tmp_path: Path) -> None:
    request = await deliver(js, nats_url, tmp_path)
    assert HEADERS.items() <= request["headers"].items()
    assert request["headers"]["ce-messageid"] == "EVENTS:1"
    assert request["headers"]["X-Topic"] == "events.a"
    assert request["headers"]["X-Call-Id"] == TRACE.split("-")[1]


async def test_each_event_of_a_batch_has_them(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    request = await deliver(js, nats_url, tmp_path, batch_size="10")
    assert request["headers"]["traceparent"] == TRACE
    (found,) = json.loads(request["body"])
    assert HEADERS.items() <= found["headers"].items()
    assert (found["id"], found["source"]) == ("my-own-id", "/shop")
    assert (found["type"], found["traceparent"]) == ("com.acme.order", TRACE)
    assert (found["messageid"], found["topic"]) == ("EVENTS:1", "events.a")
    assert found["data"] == event("a")


@pytest.mark.parametrize("named_by", ["id", "messageid"])
async def test_a_cloud_event_fails_alone(
    named_by: str, js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    """A response may name a message by the id of its CloudEvent, or by that of the message."""
    name = {"id": "bad", "messageid": "EVENTS:2"}[named_by]
    failure = {"itemIdentifier": name, "disposition": "dead", "reason": "no"}
    answer = json.dumps({"batchItemFailures": [failure]})
    for id_, do in (("good", ""), ("bad", f"answer:{answer}")):
        data = json.dumps(event(id_, do)).encode()
        await js.publish("events.a", data, headers=HEADERS | {"ce-id": id_})
    with (
        FakeFunction(tmp_path).start().ready() as function,
        ConnectorProcess(
            tmp_path, nats_url, FUNCTION_URL=function.url, TOPICS="events.a"
        ).start() as connector,
    ):
        await drained(js)
        assert function.calls() == [["good", "bad"]]
        wait_until(lambda: connector.metrics()["done_messages_total"] == 1)
    (letter,) = await dead_letters(js)
    assert letter.headers["Dlq-Reason"] == "no"
    assert letter.headers["ce-id"] == "bad"
