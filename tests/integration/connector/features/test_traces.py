"""Traces go on through the connector, with spans of its own where a receiver is configured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from nats.js import JetStreamContext

from functions.common.paths import ROOT
from tests.support.connector import connector_to
from tests.support.fakes import FakeFunction
from tests.support.jetstream import drained, event
from tests.support.net import wait_until
from tests.support.otlp_receiver import otlp_receiver

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OTHER = "5bf92f3577b34da6a3ce929d0e0e4736"
SENDER = "00f067aa0ba902b7"


async def publish(js: JetStreamContext, name: str, trace: str, do: str = "") -> None:
    headers = {"traceparent": f"00-{trace}-{SENDER}-01", "tracestate": "vendor=7"}
    payload = json.dumps(event(name, do)).encode()
    await js.publish("events.facebook", payload, headers=headers)


@pytest.mark.parametrize("delivery", ["batch", pytest.param("single", marks=pytest.mark.slow)])
async def test_spans_continue_the_trace_of_a_message(
    delivery: str, js: JetStreamContext, function: FakeFunction, nats_url: str, tmp_path: Path
) -> None:
    """The publisher's span is the parent of `receive`, that of `invoke`, that of the function."""
    with otlp_receiver() as receiver:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "DELIVERY": delivery}
        with connector_to(
            function, tmp_path, nats_url, **settings, OTEL_BSP_SCHEDULE_DELAY="50"
        ) as connector:
            await publish(js, "a", TRACE)
            await drained(js)
            wait_until(lambda: len(receiver.spans) >= 2)
            [receive], [invoke] = (
                receiver.named("receive EVENTS"),
                receiver.named("invoke function"),
            )
            assert (receive.trace_id.hex(), receive.parent_span_id.hex()) == (TRACE, SENDER)
            assert (invoke.trace_id, invoke.parent_span_id) == (receive.trace_id, receive.span_id)
            [got] = function.requests()
            headers = {name.lower(): value for name, value in got["headers"].items()}
            assert headers["traceparent"] == f"00-{TRACE}-{invoke.span_id.hex()}-01"
            assert headers["tracestate"] == "vendor=7"
            assert receiver.services == {"universe-connector"}

            # messages of several traces in one call: links, and what failed says so
            if delivery == "batch":
                go = tmp_path / "go"
                function.mode(until=str(go), status=503, headers={"Retry-After": "1"})
                await publish(js, "b", TRACE)
                wait_until(lambda: len(function.requests()) == 2)
                await publish(js, "c", TRACE)
                await publish(js, "d", OTHER)
                go.touch()
                function.mode()
                await drained(js)
                wait_until(lambda: any(span.links for span in receiver.named("receive EVENTS")))
                several = next(span for span in receiver.named("receive EVENTS") if span.links)
                assert {link.trace_id.hex() for link in several.links} == {TRACE, OTHER}
                assert not several.parent_span_id
            assert connector.stop() == 0


@pytest.mark.slow
async def test_spans_that_nobody_takes_hold_up_nothing(
    js: JetStreamContext, function: FakeFunction, nats_url: str, tmp_path: Path
) -> None:
    nobody = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    with connector_to(function, tmp_path, nats_url, **nobody) as connector:
        await publish(js, "a", TRACE)
        await drained(js)
        assert function.done() == ["a"]
        assert connector.stop(15) == 0


@pytest.mark.slow
def test_nothing_is_imported_where_it_is_off() -> None:
    """Neither time nor memory without a receiver."""
    code = "import sys, infra.connector.app; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
