"""Settings, annotations and labels."""

import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from nats.js.api import DeliverPolicy
from pydantic import ValidationError

from functions.common.backoff import Backoff
from functions.common.paths import ROOT
from functions.common.settings import is_secret_file
from infra.connector.bindings.discovery import SpecReader
from infra.connector.bindings.spec import DeliveryOptions
from infra.connector.command_line.help_text import help_text
from infra.connector.command_line.settings_page import page
from infra.connector.delivery.filters import parse_filter
from infra.connector.delivery.order_key import OrderBy
from infra.connector.jetstream.consumer import consumer_name
from infra.connector.jetstream.start_position import StartPosition, parse_start
from infra.connector.openfaas.annotations import (
    ANNOTATIONS,
    LABELS,
    check_names,
    read_delivery_options,
    read_replica_limits,
    read_topics,
)
from infra.connector.openfaas.autoscaler import ReplicaLimits
from infra.connector.openfaas.gateway import DeployedFunction, Gateway
from infra.connector.settings import ConnectorSettings
from infra.connector.unknown_settings import unknown_settings

DEFAULTS = DeliveryOptions()


def settings(**values: object) -> ConnectorSettings:
    return ConnectorSettings(**values)  # pyright: ignore[reportArgumentType]


def test_defaults() -> None:
    given = settings()
    assert given.nats_batch_size == 5000
    assert given.nats_max_ack_pending == 20_000
    assert given.http_port == 8083
    assert given.fixed_url is None
    assert given.delivery_defaults() == DeliveryOptions()


def test_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "basic-auth-user").write_text("admin\n")
    (tmp_path / "basic-auth-password").write_text("secret\n")
    for name, value in {
        "SECRETS_DIR": str(tmp_path),
        "NATS_BATCH_SIZE": "17",
        "NATS_BACKOFF": "1s,1m30s",
        "NATS_ACK_WAIT": "500ms",
        "TOPICS": "a.>, b.c",
        "K_SINK": "http://sink",
        "PORT": "",
        "METRICS_PORT": "9",
        "DRAIN_TIMEOUT": "7",
    }.items():
        monkeypatch.setenv(name, value)
    given = settings()
    assert (given.basic_auth_user, given.basic_auth_password) == ("admin", "secret")
    assert given.nats_batch_size == 17
    assert given.nats_backoff == Backoff((1.0, 90.0))
    assert given.nats_ack_wait == 0.5
    assert given.topics == ("a.>", "b.c")
    assert given.fixed_url == "http://sink"
    assert given.http_port == 9
    assert given.drain_timeout == 7.0
    monkeypatch.setenv("PORT", "10")
    assert settings().http_port == 10


def test_what_goes_on_and_what_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings().delivery_defaults() == DeliveryOptions()
    pattern = '{"data": {"total": [1]}}'
    for name, value in {
        "NATS_FILTER": pattern,
        "NATS_PAUSED": "1970-01-01T00:01:00Z",
        "NATS_MAX_CONCURRENCY": "3",
        "NATS_RATE": "0.5",
        "RESULT_TOPIC": "out.a",
        "ERROR_TOPIC": "failed",
    }.items():
        monkeypatch.setenv(name, value)
    assert settings().delivery_defaults() == DeliveryOptions(
        filter=parse_filter(pattern),
        paused_until=60.0,
        max_concurrency=3,
        rate=0.5,
        result_topic="out.a",
        error_topic="failed",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NATS_BATCH_SIZE", "0"),
        ("NATS_BATCH_SIZE", "many"),
        ("NATS_BACKOFF", "soon"),
        ("NATS_ACK_WAIT", "-1s"),
        ("TOPICS", "a. b"),
        ("DELIVERY", "twice"),
        ("BREAKER_RATIO", "1.5"),
        ("DLQ_SUBJECT", "dlq.x"),
        ("DLQ_SUBJECT", "{other}.{subject}"),
        ("DLQ_SUBJECT", "..{subject}"),
        ("NATS_FILTER", "{}"),
        ("NATS_PAUSED", "soon"),
        ("NATS_MAX_CONCURRENCY", "0"),
        ("NATS_RATE", "0"),
        ("RESULT_TOPIC", "out.*"),
        ("ERROR_TOPIC", "$JS.API.INFO"),
    ],
)
def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        settings()


def test_help_documents_every_setting_and_annotation() -> None:
    text = help_text()
    for name, field in ConnectorSettings.model_fields.items():
        assert f"\n  {name.upper()}  [" in text
        assert field.description, name
    for name in (*ANNOTATIONS, *LABELS):
        assert f"\n  {name}\n" in text
    assert "NATS_BACKOFF  [1s,5s,15s,30s]" in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_the_table_has_every_annotation_label_and_setting_once() -> None:
    written = (ROOT / "infra/connector/settings.md").read_text()
    how = "write it again: python -m infra.connector --markdown > infra/connector/settings.md"
    assert written == page(), how
    rows = [line for line in written.splitlines() if line.startswith("| ")]
    for name in (*ANNOTATIONS, *LABELS):
        assert sum(row.startswith(f"| `{name}`") for row in rows) == 1, name
    for name, field in ConnectorSettings.model_fields.items():
        shown = name.replace("_", "-") if is_secret_file(field) else name.upper()
        assert sum(f"| `{shown}`" in row for row in rows) == 1, name


def test_the_table_has_every_annotation_that_is_read() -> None:
    code = (ROOT / "infra/connector/openfaas/annotations.py").read_text()
    keys = set(re.findall(r'^        "([a-z-]+)": \("', code, re.M))
    assert {f"jetstream.{key}" for key in keys} <= set(ANNOTATIONS)
    assert len(keys) > 8


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [(["--help"], 0, "NATS_BATCH_SIZE"), (["--frob"], 2, "usage:")],
)
def test_command_line(arguments: list[str], status: int, says: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "infra.connector", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == status
    assert says in ended.stdout


def test_a_bad_setting_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_BATCH_SIZE", "many")
    ended = subprocess.run(
        [sys.executable, "-m", "infra.connector"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("NATS_BATCH_SIZE: ")
    assert len(ended.stderr.splitlines()) == 1


def test_annotations() -> None:
    annotations = {
        "topic": "events.>",
        "jetstream.batch-size": "100",
        "jetstream.batch-bytes": "2000",
        "jetstream.batch-window": "250ms",
        "jetstream.concurrency": "3",
        "jetstream.ack-wait": "1m",
        "jetstream.max-deliver": "7",
        "jetstream.backoff": "1s, 2s",
        "jetstream.max-ack-pending": "900",
        "jetstream.timeout": "5s",
        "jetstream.batch-min": "50",
        "jetstream.order-by": "header:Tenant",
        "unrelated": "x",
    }
    assert read_topics(annotations) == ("events.>",)
    assert read_delivery_options(annotations, DEFAULTS) == DeliveryOptions(
        True,
        100,
        2000,
        0.25,
        3,
        60.0,
        7,
        Backoff((1.0, 2.0)),
        900,
        5.0,
        batch_min=50,
        order_by=OrderBy("header:Tenant", header="tenant"),
    )
    assert set(annotations) - {"unrelated"} <= set(ANNOTATIONS)


@pytest.mark.parametrize("key", ["batch-size", "batch-bytes", "batch-min"])
def test_one_batch_annotation_makes_batches(key: str) -> None:
    assert read_delivery_options({f"jetstream.{key}": "10"}, DEFAULTS).batch
    assert read_delivery_options({"jetstream.batch-window": "1s"}, DEFAULTS).batch


def test_without_one_messages_come_singly() -> None:
    assert not read_delivery_options({"topic": "a", "jetstream.concurrency": "2"}, DEFAULTS).batch


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("batch-size", "0"),
        ("batch-size", "-5"),
        ("batch-size", "1.5"),
        ("batch-size", "²"),
        ("batch-size", ""),
        ("ack-wait", "0"),
        ("ack-wait", "long"),
        ("timeout", "0s"),
        ("backoff", ""),
        ("backoff", "1s,"),
        ("max-deliver", "none"),
        ("order-by", "key"),
    ],
)
def test_a_senseless_annotation_is_named(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"annotation jetstream.{key}: "):
        read_delivery_options({f"jetstream.{key}": value}, DEFAULTS)


def test_no_topic_is_no_binding() -> None:
    assert read_topics({"other": "x"}) is None
    with pytest.raises(ValueError, match="no topic"):
        read_topics({"topic": " "})


def test_labels() -> None:
    defaults = ReplicaLimits(lag_per_replica=50, stabilization_window=9.0)
    prefix = "com.openfaas.scale."
    assert read_replica_limits({}, {}, defaults) == ReplicaLimits(1, 20, 50, 9.0, None)
    assert read_replica_limits(
        {prefix + "min": "2", prefix + "max": "6"}, {"jetstream.lag-per-replica": "7"}, defaults
    ) == ReplicaLimits(2, 6, 7, 9.0, None)
    assert (
        read_replica_limits({prefix + "min": "8", prefix + "max": "6"}, {}, defaults).max_replicas
        == 8
    )
    assert read_replica_limits({prefix + "zero": "true"}, {}, defaults).zero_after == 900.0
    zero = {prefix + "zero": "TRUE", prefix + "zero-duration": "5m"}
    assert read_replica_limits(zero, {}, defaults).zero_after == 300.0
    assert read_replica_limits({prefix + "min": "0"}, {}, defaults) == ReplicaLimits(
        0, 20, 50, 9.0, 900
    )
    for labels in ({prefix + "min": "x"}, {prefix + "zero": "true", prefix + "zero-duration": "x"}):
        with pytest.raises(ValueError, match="scaling of the function"):
            read_replica_limits(labels, {}, defaults)


def test_consumer_names() -> None:
    assert consumer_name("process-batch") == "process-batch"
    assert consumer_name("process-batch", "blue-") == "blue-process-batch"
    other = consumer_name("fn.my-team")
    assert other.startswith("fn_my-team-")
    assert other != consumer_name("fn_my-team") != consumer_name("fn*my-team")
    assert len(consumer_name("x" * 300)) <= 64
    assert consumer_name("x" * 300) != consumer_name("x" * 301)


def test_full_names() -> None:
    assert DeployedFunction("fn").full_name == "fn"
    assert DeployedFunction("fn", "openfaas-fn").full_name == "fn"
    assert DeployedFunction("fn", "team").full_name == "fn.team"


def test_the_image_has_the_pinned_versions() -> None:
    root = Path(__file__).resolve().parents[3]
    locked = dict(
        re.findall(r"^([\w-]+)==([\w.]+)", (root / "requirements.lock").read_text(), re.M)
    )
    wanted = (root / "infra/connector/requirements.txt").read_text()
    required = [line for line in wanted.splitlines() if line and not line.startswith("#")]
    bounds = re.findall(r"^([\w-]+)(?:\[\w+\])?>=([\d.]+)$", wanted, re.M)
    assert len(bounds) == len(required) > 0
    for name, minimum in bounds:
        assert numbers(locked[name]) >= numbers(minimum), f"{name} {locked[name]} is too old"
    dockerfile = (root / "infra/connector/Dockerfile").read_text()
    assert "-r requirements.txt -c requirements.lock" in dockerfile


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NATS_BATCHSIZE", "did you mean NATS_BATCH_SIZE?"),
        ("NATS_CONTEXT", "NATS_CONTEXT is not a setting of the connector"),
        ("TOPIC", "did you mean TOPICS?"),
        ("NATS_PORT_4222_TCP_ADDR", ""),
        ("NATS_SERVICE_PORT_CLIENT", ""),
        ("NATS_PORT", ""),
        ("nats_url", ""),
        ("PATH", ""),
        ("HOSTNAME", ""),
        ("DATABASE_URL", ""),
    ],
)
def test_variables_that_look_like_settings(name: str, said: str) -> None:
    faults = unknown_settings([name], ConnectorSettings.model_fields)
    assert said in faults.get(name, "")
    assert bool(said) == bool(faults)


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        ({"topic": "a", "jetstream.batchsize": "1"}, "did you mean jetstream.batch-size?"),
        ({"topic": "a", "jetstream.colour": "red"}, "unknown annotation jetstream.colour$"),
        ({"topic": "a", "Jetstream.stream": "S"}, "did you mean jetstream.stream?"),
        ({"jetstream.stream": "S"}, "annotation jetstream.stream without the annotation topic"),
    ],
)
def test_annotations_that_are_not_understood(annotations: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", "[?]")):
        check_names(annotations)
    check_names({"topic": "a", "com.openfaas.scale.min": "1", "com.example.jetstream": "x"})


@pytest.mark.parametrize("text", ["all", "new", "last-per-subject", "17"])
def test_start_positions(text: str) -> None:
    assert str(parse_start(text)) == text


def test_a_start_time() -> None:
    time = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert parse_start("2026-01-31T12:00:00Z") == StartPosition(
        DeliverPolicy.BY_START_TIME, time=time
    )


@pytest.mark.parametrize("text", ["", "0", "-1", "last", "2026-01-31T12:00:00", "yesterday"])
def test_no_start_positions(text: str) -> None:
    with pytest.raises(ValueError, match="not all, new, last-per-subject"):
        parse_start(text)


async def test_what_functions_want_is_read_again_where_it_has_changed() -> None:
    async with aiohttp.ClientSession() as session:
        reader = SpecReader(Gateway(session, "http://gateway:8080"), settings())
    same = DeployedFunction("same", annotations={"topic": "a.>"})
    wrong = DeployedFunction("wrong", annotations={"topic": "a..b"})
    other = DeployedFunction("other")
    [first], faults = reader.read([same, wrong, other])
    assert faults == {"wrong": "not a NATS subject: 'a..b'"}
    right = replace(wrong, annotations={"topic": "a.b"})
    more = replace(other, annotations={"topic": "c"})
    specs, faults = reader.read([replace(same, invocations=7), right, more])
    assert (specs[0] is first, faults) == (True, {})
    assert [spec.topics for spec in specs] == [("a.>",), ("a.b",), ("c",)]
    scaled = replace(same, labels={"com.openfaas.scale.max": "7"})
    [changed], faults = reader.read([scaled, wrong])
    assert (changed.replicas and changed.replicas.max_replicas, list(faults)) == (7, ["wrong"])
    assert reader.read([]) == ([], {})
