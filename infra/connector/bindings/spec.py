"""What a function wants: its topics, and how messages are delivered to it."""

from dataclasses import dataclass

from functions.common.backoff import Backoff
from infra.connector.delivery.filters import MessageFilter
from infra.connector.delivery.order_key import OrderBy
from infra.connector.jetstream.start_position import FROM_THE_BEGINNING, StartPosition
from infra.connector.openfaas.autoscaler import ReplicaLimits

DEFAULT_RETRY_BACKOFF = Backoff((1.0, 5.0, 15.0, 30.0))


@dataclass(frozen=True)
class DeliveryOptions:
    """How messages are delivered to a function.

    Attributes:
        batch: whether in batches; otherwise one message per call.
        batch_size: events in a batch.
        batch_bytes: bytes of payload in a batch.
        batch_window: seconds to wait for a batch to fill while more messages arrive.
        concurrency: invocations at the same time.
        ack_wait: seconds after which the server redelivers a message that it heard nothing of.
        max_deliver: attempts that are charged to a message before it is dead.
        backoff: delays before retries.
        max_ack_pending: unacknowledged messages of all connectors together.
        timeout: seconds to wait for a response.
        start: where in its stream a new consumer begins.
        batch_min: events below which a batch waits until the window ends.
        filter: which messages are delivered; None: all.
        paused_until: until when it gets nothing, in seconds since 1970.
        max_concurrency: invocations at the same time, of all connectors; None: no limit.
        rate: messages in a second, of all connectors; None: no limit.
        result_topic: the subject of what it answers; None: that is not published.
        error_topic: the subject of copies of its dead letters; None: there are none.
        order_by: messages with the same key are processed in order; None: in any order.
    """

    batch: bool = True
    batch_size: int = 5000
    batch_bytes: int = 4 * 1024**2
    batch_window: float = 0.1
    concurrency: int = 4
    ack_wait: float = 30.0
    max_deliver: int = 5
    backoff: Backoff = DEFAULT_RETRY_BACKOFF
    max_ack_pending: int = 20_000
    timeout: float = 60.0
    start: StartPosition = FROM_THE_BEGINNING
    batch_min: int = 1
    filter: MessageFilter | None = None
    paused_until: float = 0.0
    max_concurrency: int | None = None
    rate: float | None = None
    result_topic: str | None = None
    error_topic: str | None = None
    order_by: OrderBy | None = None


@dataclass(frozen=True)
class BindingSpec:
    """A function and the topics that it is bound to.

    Attributes:
        function: its name, with its namespace after a dot where it has one.
        url: the URL that invokes it.
        topics: NATS subjects.
        stream: the stream of the topics; None to find it by the subjects.
        options: how messages are delivered.
        replicas: the bounds of scaling; None if the connector does not scale it.
        consumer: the durable consumer to use as it is; None for one that the connector makes.
        redrive_of: the stream whose replayed dead letters these are; None for the stream itself.
    """

    function: str
    url: str
    topics: tuple[str, ...]
    stream: str | None
    options: DeliveryOptions
    replicas: ReplicaLimits | None = None
    consumer: str | None = None
    redrive_of: str | None = None
