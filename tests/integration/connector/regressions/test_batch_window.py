"""A batch waits for more where that is asked for, and a lone event does not."""

from pathlib import Path

from nats.js import JetStreamContext

from tests.support.connector import connector_to
from tests.support.fakes import FakeFunction
from tests.support.jetstream import drained, event, publish
from tests.support.net import wait_until


async def test_a_lone_event_does_not_wait_for_the_window(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_url, NATS_BATCH_WINDOW="60s"),
    ):
        await publish(js, event("lone"))
        wait_until(lambda: function.done() == ["lone"], 20)


async def test_a_window_that_waits_for_more_events(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    settings = {"NATS_BATCH_WINDOW": "60s", "NATS_BATCH_MIN": "10"}
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_url, **settings) as connector,
    ):
        for number in range(9):
            await publish(js, event(f"{number}"))
        wait_until(lambda: connector.metrics().get("inflight_messages") == 9)
        await publish(js, event("9"))
        await drained(js)
        assert function.calls() == [[f"EVENTS:{n}" for n in range(1, 11)]]
