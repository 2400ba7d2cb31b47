"""What a consumer costs NATS while no message comes."""

import asyncio
import json
import time
from typing import Any

import pytest
from nats.js.api import StreamConfig

from functions.common.broker import BrokerSettings, connect
from infra.connector.delivery.message import Message
from infra.connector.delivery.pull_sizer import PullSizer
from infra.connector.jetstream import consumer as consumers
from infra.connector.jetstream import pull
from infra.connector.jetstream.consumer import Consumer, ConsumerTarget
from tests.support.net import eventually


async def test_an_idle_consumer_asks_seldom_and_gets_its_message_at_once(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "EXPIRES_SECONDS", 0.4)
    monkeypatch.setattr(pull, "HEARTBEAT_SECONDS", 0.1)
    nc = await connect(BrokerSettings(nats_url=nats_url), "test")
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="LOG", subjects=["log.>"]))
    asked: list[tuple[str, dict[str, Any]]] = []

    async def note(msg: Any) -> None:
        asked.append((msg.subject, json.loads(msg.data or b"{}")))

    def expiries() -> list[float]:
        return [body["expires"] / 1e9 for subject, body in asked if ".MSG.NEXT." in subject]

    await nc.subscribe("$JS.API.CONSUMER.MSG.NEXT.>", cb=note)
    await nc.subscribe("$JS.API.CONSUMER.INFO.>", cb=note)
    consumer = Consumer(nc, js, ConsumerTarget("LOG", "fn", "fn", ("log.>",)), PullSizer(100, 9999))
    came: list[Message] = []
    ended = asyncio.Event()

    async def next_request(number: int) -> list[float]:
        async def sent() -> bool:
            await consumer.pull(time.monotonic())
            return len(expiries()) >= number

        await eventually(sent)
        return expiries()

    try:
        await consumer.ensure()
        await consumer.start(lambda message, _: came.append(message), ended.set)
        assert await next_request(2) == [0.4, pull.IDLE_EXPIRES_SECONDS]
        asked.clear()
        assert {await consumer.lag() for _ in range(consumers.MAX_NOT_ASKED + 1)} == {0}
        assert len(asked) == 1, "it is asked once for all of these"
        await js.publish("log.a", b"{}")

        async def arrived() -> bool:
            return bool(came)

        await eventually(arrived)
        assert not consumer.idle
        assert await consumer.lag() == 1
        await consumer.inflight.ack(came)
        assert expiries() == [], "it came for the request that waited"
    finally:
        consumer.close()
        await nc.close()
