"""The connector's settings."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from functions.common.broker import BrokerSettings
from functions.common.durations import parse_duration
from infra.connector.delivery.backoff import Backoff
from infra.connector.delivery.circuit_breaker import COOLDOWN, BreakerLimits
from infra.connector.openfaas.replicas import ReplicaLimits
from infra.connector.spec import RETRIES, Delivery, read_backoff
from infra.connector.subjects import parse_topics


def _seconds(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _backoff(value: object) -> object:
    return read_backoff(value) if isinstance(value, str) else value


def _topics(value: object) -> object:
    return parse_topics(value) if isinstance(value, str) else value


Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0)]
"""Seconds; written as a number or as Go writes durations (`1m30s`)."""
Waits = Annotated[Backoff, NoDecode, BeforeValidator(_backoff)]
Topics = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_topics)]


class ConnectorSettings(BrokerSettings):
    """Where messages come from, where they go, and how."""

    gateway_url: str = Field(
        "http://127.0.0.1:8080", description="OpenFaaS gateway to find and invoke functions at"
    )
    basic_auth_user: str | None = Field(None, description="user of the gateway")
    basic_auth_password: str | None = Field(None, description="password of the gateway's user")
    discovery_interval: Seconds = Field(
        3.0, description="how often the gateway is asked which functions there are"
    )
    invoke_async: bool = Field(
        False,
        description="invoke /async-function/NAME: a message is done once the gateway has queued it",
    )

    k_sink: str | None = Field(
        None, description="address to deliver to instead of a gateway, as Knative sets it"
    )
    function_url: str | None = Field(None, description="the same, for any HTTP service")
    function_name: str = Field("function", description="name of what K_SINK or FUNCTION_URL is")
    topics: Topics = Field(
        ("events.>",), description="comma-separated subjects for K_SINK or FUNCTION_URL"
    )
    delivery: Literal["batch", "single"] = Field(
        "batch", description="batches or one message per call, for K_SINK or FUNCTION_URL"
    )
    stream: str | None = Field(
        None, description="stream of the topics; by default the one that has the subject"
    )

    nats_batch_size: int = Field(5000, ge=1, description="events in a batch")
    nats_batch_bytes: int = Field(4 * 1024**2, ge=1, description="bytes of payload in a batch")
    nats_batch_window: Seconds = Field(
        0.1, description="the longest wait for a batch to fill while more messages arrive"
    )
    nats_concurrency: int = Field(4, ge=1, description="invocations of a function at the same time")
    nats_ack_wait: Seconds = Field(
        30.0,
        description="how long the server waits for a sign of life before it delivers again;"
        " one is given every third of it",
    )
    nats_max_deliver: int = Field(
        5, ge=1, description="attempts charged to a message before it is dead"
    )
    nats_backoff: Waits = Field(
        RETRIES,
        description="comma-separated waits before the retries; the last one repeats",
    )
    nats_max_ack_pending: int = Field(
        20_000, ge=1, description="unacknowledged messages of one function, all connectors together"
    )
    consumer_prefix: str = Field(
        "", description="put before the names of consumers, where several systems share a stream"
    )
    function_timeout: Seconds = Field(60.0, gt=0, description="the longest wait for an answer")
    function_connect_timeout: Seconds = Field(
        5.0, gt=0, description="the longest wait for a connection to the function or gateway"
    )

    dlq_stream: str = Field(
        "{stream}_DLQ", description="stream for dead letters; {stream} is the original's name"
    )
    dlq_subject: str = Field(
        "dlq.{subject}", description="subject of a dead letter; {subject} is the original's"
    )
    breaker_ratio: float = Field(
        0.9,
        gt=0,
        le=1,
        description="part of the messages that is dead when the breaker opens",
    )
    breaker_least: int = Field(
        20, ge=1, description="dead messages within BREAKER_WINDOW that it takes at the least"
    )
    breaker_window: Seconds = Field(60.0, description="how long the outcome of a message counts")
    breaker_cooldown: Waits = Field(
        COOLDOWN,
        description="how long the breaker pauses, by how often it opened in a row",
    )

    scaling: bool = Field(True, description="ask the gateway for replicas according to the lag")
    scale_interval: Seconds = Field(5.0, gt=0, description="how often the lag is looked at")
    lag_per_replica: int = Field(
        20_000, ge=1, description="events of backlog for which one replica more is asked"
    )
    scale_hold: Seconds = Field(
        60.0, description="how long fewer replicas must have been enough before some are given up"
    )

    drain_timeout: Seconds = Field(
        25.0, description="how long invocations may go on after SIGTERM; the rest is returned"
    )
    port: int | None = Field(
        None, ge=0, lt=65536, description="port for health and metrics; METRICS_PORT's other name"
    )
    metrics_port: int = Field(8081, ge=0, lt=65536, description="port for health and metrics")
    host: str = Field("0.0.0.0", description="address for health and metrics")  # noqa: S104
    log_level: str = Field("INFO", description="lowest level of log lines")

    @property
    def http_port(self) -> int:
        """The port that health and metrics are served on."""
        return self.metrics_port if self.port is None else self.port

    @property
    def fixed_url(self) -> str | None:
        """The address to deliver to when there is no gateway."""
        return self.k_sink or self.function_url

    def delivery_defaults(self) -> Delivery:
        """Return how messages are delivered where an annotation does not say otherwise."""
        return Delivery(
            batch=self.delivery == "batch",
            batch_size=self.nats_batch_size,
            batch_bytes=self.nats_batch_bytes,
            batch_window=self.nats_batch_window,
            concurrency=self.nats_concurrency,
            ack_wait=self.nats_ack_wait,
            max_deliver=self.nats_max_deliver,
            backoff=self.nats_backoff,
            max_ack_pending=self.nats_max_ack_pending,
            timeout=self.function_timeout,
        )

    def replica_defaults(self) -> ReplicaLimits:
        """Return the bounds of scaling where a label does not say otherwise."""
        return ReplicaLimits(lag_per_replica=self.lag_per_replica, hold=self.scale_hold)

    def breaker_limits(self) -> BreakerLimits:
        """Return when the breaker opens."""
        return BreakerLimits(
            self.breaker_ratio, self.breaker_least, self.breaker_window, self.breaker_cooldown
        )
