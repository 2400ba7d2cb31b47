"""Dead letters take no more of the disk than they may: anybody who may send can make them."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy, StreamConfig

from functions.common.broker import EVENTS, EVENTS_DLQ, BrokerSettings, ensure_streams
from infra.cli.load.event_generator import generate
from infra.connector.dlq.publisher import DeadLetterPublisher, DeadLetterRoute
from tests.support.exporter import exporter
from tests.support.functions import running
from tests.support.net import plain_http

MAX_BYTES = 500_000


@pytest.fixture
async def js(nats_url: str) -> AsyncIterator[JetStreamContext]:
    """JetStream of a platform from before there was a bound."""
    nc = await nats.connect(nats_url)
    js = nc.jetstream()
    await js.add_stream(
        StreamConfig(
            name=EVENTS_DLQ, subjects=["dlq.EVENTS.events.>"], retention=RetentionPolicy.LIMITS
        )
    )
    yield js
    await nc.close()


async def test_flood_of_invalid_events_stays_below_the_bound(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    """Section 4, "dead letters without end": `max_bytes`, and the oldest go first.

    The stream is there already, without a limit; events are still accepted afterwards.
    """
    environment = {"NATS_URL": nats_url, "DLQ_MAX_BYTES": str(MAX_BYTES)}
    with running("functions.ingest.handler", tmp_path / "log", **environment) as function:
        for flood in range(2):
            invalid = [{"eventId": f"bad-{flood}-{number}"} for number in range(3000)]
            assert plain_http.post(function.url, json=invalid, timeout=60).status_code == 422
        [valid] = [each.event for each in generate(1)]
        assert plain_http.post(function.url, json=valid, timeout=60).status_code == 202
    state = (await js.stream_info(EVENTS_DLQ)).state
    assert 0.9 * MAX_BYTES < state.bytes <= MAX_BYTES
    assert state.last_seq == 6000
    assert state.first_seq > 3000, "the oldest went first"
    newest = await js.get_msg(EVENTS_DLQ, state.last_seq)
    assert newest.data is not None
    assert json.loads(newest.data)["eventId"].startswith("bad-1-")
    assert (await js.stream_info(EVENTS)).state.messages == 1


async def test_connector_bounds_the_dead_letters_of_streams_that_it_makes(
    js: JetStreamContext, nats_url: str
) -> None:
    """The same for a stream of dead letters that the connector makes.

    One that is there already is somebody's own, and keeps the limits that it has, or has none.
    """
    await js.add_stream(name="ORDERS", subjects=["orders.>"])
    nc = await nats.connect(nats_url)

    async def bounded(max_bytes: int) -> int | None:
        publisher = DeadLetterPublisher(
            nc,
            nc.jetstream(),
            DeadLetterRoute("fn", "fn", "ORDERS", "ORDERS_DLQ", "dlq.{subject}"),
            max_bytes,
        )
        await publisher.ensure_stream()
        return (await js.stream_info("ORDERS_DLQ")).config.max_bytes

    assert await bounded(MAX_BYTES) == MAX_BYTES
    assert await bounded(MAX_BYTES // 2) == MAX_BYTES
    await js.delete_stream("ORDERS_DLQ")
    await js.add_stream(name="ORDERS_DLQ", subjects=["dlq.orders.>"])
    assert await bounded(MAX_BYTES) == -1
    await nc.close()


async def test_bound_is_in_the_metrics(nats_url: str, tmp_path: Path) -> None:
    """An alert comes before the bound is reached: both its numbers are exported."""
    nc = await nats.connect(nats_url)
    js = nc.jetstream()
    await ensure_streams(js, BrokerSettings(dlq_max_bytes=MAX_BYTES))
    await js.publish("dlq.EVENTS.events.unknown", b"x" * 1000)
    with exporter(tmp_path / "log", NATS_URL=nats_url) as running_exporter:
        found = running_exporter.scrape()
    await nc.close()
    labels = {"stream": EVENTS_DLQ, "retention": "limits"}
    assert found.value("universe_stream_max_bytes", **labels) == MAX_BYTES
    assert 1000 < (found.value("universe_stream_bytes", **labels) or 0) < 2000
