"""What is not bound, or not as its owner meant, is said: log, /bindings, metrics and an alert."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from nats.aio.client import Client
from nats.js.api import RetentionPolicy, StreamConfig, StreamSource

from functions.common.paths import ROOT
from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction, FakeGateway, subscribed
from tests.support.jetstream import event, publish
from tests.support.net import wait_until
from tests.support.prometheus import prometheus


def fn(
    name: str, function: FakeFunction, topic: str | None = None, **options: str
) -> dict[str, Any]:
    return subscribed(name, function, topic, batch_size="10", **options)


async def test_a_topic_over_several_streams_is_bound_to_all(
    nc: Client, function: FakeFunction, gateway: FakeGateway, connector: ConnectorProcess
) -> None:
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="ONE", subjects=["span.de"]))
    await js.add_stream(StreamConfig(name="TWO", subjects=["span.us"]))
    gateway.serve(fn("all", function, "span.*"))
    connector.bound(2)
    await publish(js, event("de"), subject="span.de")
    await publish(js, event("us"), subject="span.us")
    wait_until(lambda: set(function.done()) == {"de", "us"})
    # a stream that is made later is found as well
    await js.add_stream(StreamConfig(name="THREE", subjects=["span.fr"]))
    connector.bound(3)
    await publish(js, event("fr"), subject="span.fr")
    wait_until(lambda: set(function.done()) == {"de", "us", "fr"})


async def test_a_topic_of_everything_takes_no_dead_letters_and_buckets(
    nc: Client, function: FakeFunction, gateway: FakeGateway, connector: ConnectorProcess
) -> None:
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
    await js.create_key_value(bucket="mine")
    gateway.serve(fn("all", function, ">"))
    connector.bound()
    await publish(js, event("bad", "dead-message"), subject="s.a")
    wait_until(lambda: connector.metrics()["dead_messages_total"] == 1)
    await publish(js, event("good"), subject="s.a")
    wait_until(lambda: function.done() == ["good"])
    assert {b["stream"] for b in connector.state()["bindings"]} == {"S"}


async def test_a_function_is_never_bound_to_the_stream_that_another_one_names(
    nc: Client, function: FakeFunction, gateway: FakeGateway, connector: ConnectorProcess
) -> None:
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="SRC", subjects=["src.>"]))
    await js.add_stream(StreamConfig(name="AUDIT", sources=[StreamSource(name="SRC")]))
    audit = fn("audit", function, "src.>", stream="AUDIT")
    gateway.serve(audit)
    wait_until(lambda: [b["function"] for b in connector.bindings()] == ["audit"])
    gateway.serve(audit, fn("plain", function, "src.>"))

    def bound() -> dict[str, str]:
        return {b["function"]: b["stream"] for b in connector.bindings()}

    wait_until(lambda: bound().keys() == {"audit", "plain"})
    assert bound() == {"audit": "AUDIT", "plain": "SRC"}


async def test_what_is_wrong_with_a_function_is_said_everywhere(
    nc: Client, function: FakeFunction, gateway: FakeGateway, connector: ConnectorProcess
) -> None:
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="WA", subjects=["a.>"]))
    gateway.serve(
        fn("right", function, "a.>"),
        fn("elsewhere", function, "other.q", stream="WA"),
        fn("nowhere", function, "a.b", stream="GONE"),
        fn("misspelt", function, "a.b", batchsize="5"),
        fn("no-topic", function),
    )
    expected = {
        "elsewhere": "stream WA does not store other.q: it stores a.>",
        "nowhere": "there is no stream GONE",
        "misspelt": "unknown annotation jetstream.batchsize; did you mean jetstream.batch-size?",
        "no-topic": "annotation jetstream.batch-size without the annotation topic",
    }
    wait_until(lambda: connector.state().get("unbound") == expected)
    connector.bound()
    wait_until(lambda: connector.metrics()["unbound_functions"] == 4)
    log = connector.log.read_text()
    for name, fault in expected.items():
        assert log.count(json.dumps(f"cannot bind {name}: {fault}")[1:-1]) == 1
    gateway.serve(fn("right", function, "a.>"))
    wait_until(lambda: connector.metrics()["unbound_functions"] == 0)
    assert connector.state()["unbound"] == {}


async def test_variables_that_are_no_settings_are_said(
    nc: Client, nats_url: str, tmp_path: Path, function: FakeFunction
) -> None:
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
    ignored = {"NATS_BATCHSIZE": "7", "DRAIN_TIMEOUTS": "1s", "NATS_SERVICE_PORT": "4222"}
    with ConnectorProcess(
        tmp_path, nats_url, FUNCTION_URL=function.url, TOPICS="s.>", **ignored
    ).start() as connector:
        connector.bound()
        assert connector.state()["unknownSettings"] == {
            "NATS_BATCHSIZE": "NATS_BATCHSIZE is not a setting of the connector; "
            "did you mean NATS_BATCH_SIZE?",
            "DRAIN_TIMEOUTS": "DRAIN_TIMEOUTS is not a setting of the connector; "
            "did you mean DRAIN_TIMEOUT?",
        }
        assert connector.metrics()["unknown_settings"] == 2
        assert "NATS_BATCHSIZE is not a setting" in connector.log.read_text()


@pytest.mark.slow
async def test_the_alert_sees_what_jetstream_refuses(
    nc: Client,
    tmp_path: Path,
    function: FakeFunction,
    gateway: FakeGateway,
    connector: ConnectorProcess,
) -> None:
    """Two of three functions are refused on a work queue: no fault of discovery, yet unbound."""
    js = nc.jetstream()
    await js.add_stream(
        StreamConfig(name="W", subjects=["w.>"], retention=RetentionPolicy.WORK_QUEUE)
    )
    gateway.serve(fn("first", function, "w.>"))
    connector.bound()
    gateway.serve(*(fn(name, function, topic="w.>") for name in ("first", "u2", "u3")))
    wait_until(lambda: connector.metrics()["unbound_functions"] == 2)
    rules = yaml.safe_load((ROOT / "infra/monitoring/prometheus/alerts.yml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    (alert,) = (rule for rule in alerts if rule["alert"] == "UniverseFunctionUnbound")
    target = {"targets": [connector.url.removeprefix("http://")]}
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "connector", "static_configs": [target]}],
    }
    with prometheus(tmp_path, config) as server:
        (sample,) = wait_until(lambda: server.query(alert["expr"]))
        assert sample["value"][1] == "2"
