"""The connector's settings."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator
from pydantic_settings import NoDecode

from functions.common.backoff import Backoff
from functions.common.broker import BrokerSettings
from functions.common.durations import Seconds
from functions.common.settings import SecretLines
from infra.connector.bindings.spec import DEFAULT_RETRY_BACKOFF, DeliveryOptions
from infra.connector.delivery.circuit_breaker import DEFAULT_COOLDOWN, BreakerLimits
from infra.connector.delivery.filters import MessageFilter, parse_filter
from infra.connector.delivery.order_key import OrderBy, parse_order_by
from infra.connector.delivery.pause import parse_paused
from infra.connector.jetstream.start_position import FROM_THE_BEGINNING, StartPosition, parse_start
from infra.connector.jetstream.subjects import is_subject, parse_publish_subject, parse_topics
from infra.connector.openfaas.annotations import parse_backoff
from infra.connector.openfaas.autoscaler import ReplicaLimits

DEFAULT_PORT = 8083
"""The port of health and metrics; 8081 is that of faasd's provider."""


def _parse_delays(value: object) -> object:
    return parse_backoff(value) if isinstance(value, str) else value


def _parse_topics(value: object) -> object:
    return parse_topics(value) if isinstance(value, str) else value


def _parse_start(value: object) -> object:
    return parse_start(value) if isinstance(value, str) else value


def _parse_filter(value: object) -> object:
    return parse_filter(value) if isinstance(value, str) else value


def _parse_order(value: object) -> object:
    return parse_order_by(value) if isinstance(value, str) else value


def _check_dlq_subject(template: str) -> str:
    try:
        subject = template.format(stream="S", subject="s")
    except (KeyError, IndexError, ValueError):
        subject = ""
    if not is_subject(subject) or "{subject}" not in template:
        raise ValueError("not a subject with {subject}, and perhaps {stream}, in it")
    return template


PublishSubject = Annotated[str, AfterValidator(parse_publish_subject)]
DlqSubject = Annotated[str, AfterValidator(_check_dlq_subject)]


def _parse_names(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))


Delays = Annotated[Backoff, NoDecode, BeforeValidator(_parse_delays)]
Topics = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parse_topics)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parse_names)]

Filter = Annotated[MessageFilter | None, NoDecode, BeforeValidator(_parse_filter)]
Start = Annotated[StartPosition, NoDecode, BeforeValidator(_parse_start)]
Order = Annotated[OrderBy | None, NoDecode, BeforeValidator(_parse_order)]


class ConnectorSettings(BrokerSettings):
    """Where messages come from, where they are delivered, and how."""

    gateway_url: str = Field(
        default="http://127.0.0.1:8080",
        description="OpenFaaS gateway where functions are found and invoked",
    )
    basic_auth_user: str | None = Field(default=None, description="user of the gateway")
    basic_auth_password: str | None = Field(
        default=None, description="password of the gateway's user"
    )
    batch_signing_key: SecretLines = Field(
        default=(),
        repr=False,
        description="key that invocations are signed with, in the header Universe-Signature; with "
        "each of several lines",
    )
    discovery_interval: Seconds = Field(
        default=3.0, description="interval between requests for the gateway's functions"
    )
    functions: Names = Field(
        default=(),
        description="comma-separated names of functions to ask the gateway for, as name or "
        "name.namespace; by default all that it lists",
    )
    invoke_async: bool = Field(
        default=False,
        description="invoke /async-function/NAME: a message is done once the gateway has queued it",
    )

    k_sink: str | None = Field(
        default=None, description="URL to deliver to instead of a gateway, as set by Knative"
    )
    function_url: str | None = Field(
        default=None, description="URL of an HTTP service to deliver to instead of a gateway"
    )
    function_name: str = Field(
        default="function", description="name of the function at K_SINK or FUNCTION_URL"
    )
    topics: Topics = Field(
        default=("events.>",),
        description="subjects, separated by commas or spaces, for K_SINK or FUNCTION_URL",
    )
    delivery: Literal["batch", "single"] = Field(
        default="batch",
        description="batches or one message per call, for K_SINK or FUNCTION_URL",
    )
    stream: str | None = Field(
        default=None, description="stream of the topics; by default all that store them"
    )
    result_topic: PublishSubject | None = Field(
        default=None,
        description="subject to which the answer of each successful call is published, or that of"
        " each message of a batch",
    )
    error_topic: PublishSubject | None = Field(
        default=None, description="subject to which a copy of each dead letter is published"
    )
    consumer: str | None = Field(
        default=None,
        description="an existing durable consumer for K_SINK or FUNCTION_URL, used as it is; by"
        " default the connector makes one",
    )

    nats_start: Start = Field(
        default=FROM_THE_BEGINNING,
        description="where in its stream a new consumer begins: all, new, last-per-subject, a"
        " sequence, or a time such as 2026-01-31T12:00:00Z",
    )

    nats_paused: str = Field(
        default="false",
        description="true, or a time such as 2026-01-31T12:00:00Z: nothing is delivered, or"
        " not before",
    )
    nats_filter: Filter = Field(
        default=None,
        description="pattern of the messages that are delivered, as JSON; others are acknowledged",
    )

    nats_order_by: Order = Field(
        default=None,
        description="messages with the same key are processed in order: subject, subject-token-N,"
        " header:NAME or json:/POINTER; by default in any order",
    )

    nats_batch_size: int = Field(default=5000, ge=1, description="events in a batch")
    nats_batch_bytes: int = Field(
        default=4 * 1024**2, ge=1, description="bytes of payload in a batch"
    )
    nats_batch_window: Seconds = Field(
        default=0.1, description="maximum time for a batch to fill while more messages arrive"
    )
    nats_batch_min: int = Field(
        default=1,
        ge=1,
        description="events below which a batch waits until NATS_BATCH_WINDOW ends, also when the"
        " stream has no more messages",
    )
    nats_concurrency: int = Field(
        default=4, ge=1, description="invocations of a function at the same time, of this connector"
    )
    nats_max_concurrency: int | None = Field(
        default=None,
        ge=1,
        description="invocations of a function at the same time, of all connectors together",
    )
    nats_rate: float | None = Field(
        default=None, gt=0, description="messages in a second, of all connectors together"
    )
    nats_ack_wait: Seconds = Field(
        default=30.0,
        description="how long the server waits for an acknowledgement or a sign of progress before"
        " it redelivers a message; progress is reported every third of it",
    )
    nats_max_deliver: int = Field(
        default=5, ge=1, description="attempts that are charged to a message before it is dead"
    )
    nats_backoff: Delays = Field(
        default=DEFAULT_RETRY_BACKOFF,
        description="comma-separated delays before retries; the last one repeats",
    )
    nats_max_ack_pending: int = Field(
        default=20_000,
        ge=1,
        description="unacknowledged messages of one function, all connectors together",
    )
    consumer_prefix: str = Field(
        default="",
        description="prefix of the consumers' names, where several systems share a stream",
    )
    orphan_timeout: Seconds | None = Field(
        default=None,
        gt=0,
        description="how long the function of a consumer has to be gone before the consumer is"
        " removed; by default it stays until `forget` removes it",
    )
    function_timeout: Seconds = Field(
        default=60.0, gt=0, description="maximum time for a response of the function"
    )
    function_connect_timeout: Seconds = Field(
        default=5.0, gt=0, description="maximum time to connect to the function or gateway"
    )

    dlq_stream: str = Field(
        default="{stream}_DLQ",
        description="stream for dead letters; {stream} is the original's name",
    )
    dlq_create: bool = Field(
        default=True,
        description="make the stream for dead letters, and add the subjects that it lacks; if not,"
        " a missing one is a fault, and no message is delivered until it is there",
    )
    dlq_subject: DlqSubject = Field(
        default="dlq.{stream}.{subject}",
        description="subject of a dead letter; {stream} and {subject} are the original's",
    )
    breaker_ratio: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="dead messages, as a fraction of all, from which the breaker opens",
    )
    breaker_min_messages: int = Field(
        default=20,
        ge=1,
        description="dead messages within BREAKER_WINDOW below which the breaker stays closed",
    )
    breaker_window: Seconds = Field(
        default=60.0, description="how long the outcome of a message counts"
    )
    breaker_cooldown: Delays = Field(
        default=DEFAULT_COOLDOWN,
        description="how long the breaker stays open, by how often it opened in a row",
    )

    scaling: bool = Field(default=True, description="scale functions on their lag")
    scale_interval: Seconds = Field(
        default=5.0, gt=0, description="interval between measurements of the lag"
    )
    scale_timeout: Seconds = Field(
        default=60.0, gt=0, description="maximum time for the gateway's answer to a scale request"
    )
    lag_per_replica: int = Field(
        default=20_000,
        ge=1,
        description="events of lag for each of which one replica is requested",
    )
    scale_down_stabilization: Seconds = Field(
        default=60.0,
        description="how long fewer replicas must have been enough before replicas are removed",
    )

    otel_exporter_otlp_endpoint: str | None = Field(
        default=None,
        description="OTLP/HTTP receiver of traces, such as http://collector:4318; by default there"
        " are no spans. OpenTelemetry's other variables hold, too",
    )
    drain_timeout: Seconds = Field(
        default=25.0,
        description="how long invocations may run on after SIGTERM; then their messages are"
        " returned to the stream",
    )
    port: int | None = Field(
        default=None,
        ge=0,
        lt=65536,
        description="port for health and metrics; overrides METRICS_PORT",
    )
    metrics_port: int = Field(
        default=DEFAULT_PORT, ge=0, lt=65536, description="port for health and metrics"
    )
    host: str = Field(
        default="0.0.0.0",  # noqa: S104
        description="address for health and metrics",
    )
    log_level: str = Field(default="INFO", description="minimum level of log lines")

    @field_validator("nats_paused")
    @classmethod
    def _check_paused(cls, value: str) -> str:
        parse_paused(value)
        return value

    @property
    def http_port(self) -> int:
        """The port of health and metrics."""
        return self.metrics_port if self.port is None else self.port

    @property
    def fixed_url(self) -> str | None:
        """The URL to deliver to when there is no gateway."""
        return self.k_sink or self.function_url

    def delivery_defaults(self) -> DeliveryOptions:
        """Return how messages are delivered where no annotation says otherwise."""
        return DeliveryOptions(
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
            start=self.nats_start,
            batch_min=self.nats_batch_min,
            filter=self.nats_filter,
            paused_until=parse_paused(self.nats_paused),
            max_concurrency=self.nats_max_concurrency,
            rate=self.nats_rate,
            result_topic=self.result_topic,
            error_topic=self.error_topic,
            order_by=self.nats_order_by,
        )

    def replica_defaults(self) -> ReplicaLimits:
        """Return the bounds of scaling where no label says otherwise."""
        return ReplicaLimits(
            lag_per_replica=self.lag_per_replica,
            stabilization_window=self.scale_down_stabilization,
        )

    def breaker_limits(self) -> BreakerLimits:
        """Return when the circuit breaker opens."""
        return BreakerLimits(
            self.breaker_ratio,
            self.breaker_min_messages,
            self.breaker_window,
            self.breaker_cooldown,
        )
