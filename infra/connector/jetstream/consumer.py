"""The durable consumer that all connectors of a function share."""

import logging
from collections.abc import Sequence

from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    ConsumerInfo,
    DeliverPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, NotFoundError

from functions.common.broker import DLQ_DAYS, ensure_stream
from infra.connector.spec import Delivery
from infra.connector.subjects import overlap

log = logging.getLogger(__name__)

FUNCTION = "universe.function"
MAX_WAITING = 512
_NOT_UNIQUE_ON_WORKQUEUE = frozenset({10099, 10100})
_CONSUMER_EXISTS = 10148
DUPLICATE_WINDOW = 120


class BindError(Exception):
    """A function cannot be bound to its topics; the message says why, for its owner to read."""


async def stream_of(js: JetStreamContext, subject: str) -> str:
    """Return the name of the stream that stores `subject`.

    Raises:
        BindError: there is none.
    """
    try:
        return await js.find_stream_name_by_subject(subject)
    except NotFoundError:
        raise BindError(f"no stream stores the subject {subject}") from None
    except (APIError, NatsTimeoutError) as error:
        raise BindError(f"JetStream does not tell the stream of {subject}: {error}") from error


async def ensure_consumer(
    js: JetStreamContext,
    stream: str,
    name: str,
    function: str,
    topics: Sequence[str],
    delivery: Delivery,
) -> None:
    """Create the consumer, or change it to what the function wants now.

    Raises:
        BindError: JetStream refuses.
    """
    config = ConsumerConfig(
        name=name,
        durable_name=name,
        description=f"messages for the function {function}",
        filter_subjects=list(topics),
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.ALL,
        ack_wait=delivery.ack_wait,
        # the server's own limit leaves messages of a workqueue stuck: the connector counts
        max_deliver=-1,
        max_ack_pending=delivery.max_ack_pending,
        max_waiting=MAX_WAITING,
        metadata={FUNCTION: function},
    )
    try:
        await js.add_consumer(stream, config)
    except APIError as error:
        if error.err_code in _NOT_UNIQUE_ON_WORKQUEUE:
            raise BindError(await _who_has(js, stream, name, topics)) from error
        text = f"stream {stream} refuses the consumer {name}: {error.description}"
        raise BindError(text) from error
    except NatsTimeoutError as error:
        raise BindError(f"JetStream does not answer about stream {stream}") from error


async def _who_has(js: JetStreamContext, stream: str, name: str, topics: Sequence[str]) -> str:
    text = f"stream {stream} is a workqueue, where each subject has one consumer; "
    holders = [info for info in await js.consumers_info(stream) if info.name != name]
    for info in holders:
        for held in _filters(info):
            for topic in topics:
                if overlap(held, topic):
                    return (
                        f"{text}{topic} overlaps with {held} of consumer {info.name}: "
                        f"take the topic from one of the functions, or delete that consumer if its "
                        f"function is gone (nats consumer rm {stream} {info.name})"
                    )
    return f"{text}another consumer has some of {', '.join(topics)}"


def _filters(info: ConsumerInfo) -> list[str]:
    config = info.config
    return config.filter_subjects or [config.filter_subject or ">"]


async def ensure_dlq_stream(js: JetStreamContext, stream: str, name: str, dlq_subject: str) -> None:
    """Make sure that there is a stream for the dead letters of `stream`.

    Raises:
        BindError: JetStream refuses.
    """
    try:
        config = (await js.stream_info(stream)).config
        wanted = [dlq_subject.format(subject=subject) for subject in config.subjects or [stream]]
        try:
            existing = (await js.stream_info(name)).config
        except NotFoundError:
            existing = None
        if existing is not None and set(wanted) <= set(existing.subjects or ()):
            return
        await ensure_stream(
            js,
            StreamConfig(
                name=name,
                subjects=sorted({*wanted, *((existing and existing.subjects) or ())}),
                retention=RetentionPolicy.LIMITS,
                storage=StorageType.FILE,
                max_age=DLQ_DAYS * 24 * 3600,
                duplicate_window=DUPLICATE_WINDOW,
                num_replicas=config.num_replicas,
                allow_direct=True,
            ),
        )
    except NotFoundError:
        raise BindError(f"there is no stream {stream}") from None
    except (APIError, NatsTimeoutError) as error:
        raise BindError(f"no stream {name} for dead letters: {error}") from error
