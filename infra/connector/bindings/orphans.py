"""Consumers whose function is gone: what waits for them is delivered to nobody.

A function's durable consumer stays when the function is removed, since it may come back. On a work
queue its messages wait for it, and a stream with interest retention keeps them for it.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo
from nats.js.errors import NotFoundError

from functions.common.log_on_change import LogOnChange
from functions.common.nats_client import NatsClient, NotPermittedError, api_subject
from infra.connector import metrics
from infra.connector.jetstream.consumer import FUNCTION_METADATA, consumer_name
from infra.connector.jetstream.streams import stream_names

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FunctionConsumer:
    """The durable consumer of a function.

    Attributes:
        function: the function.
        stream: the stream.
        name: the consumer's name.
        lag: messages pending or unacknowledged.
        in_use: whether somebody is pulling from it.
        since: since when nobody has used it, on a monotonic clock, in seconds.
    """

    function: str
    stream: str
    name: str
    lag: int
    in_use: bool
    since: float = 0.0


@dataclass(frozen=True)
class FunctionConsumers:
    """The consumers of functions, as far as the NATS user may see them.

    Attributes:
        found: the consumers.
        refused: by stream, why it is not known which consumers it has.
    """

    found: Sequence[FunctionConsumer]
    refused: Mapping[str, NotPermittedError]


async def function_consumers(
    nc: NatsClient, js: JetStreamContext, prefix: str
) -> FunctionConsumers:
    """Return the consumers that connectors have made for functions, on all streams.

    Args:
        nc: the connection.
        js: the connection's JetStream context.
        prefix: what the consumers' names begin with, `CONSUMER_PREFIX`.

    Raises:
        nats.errors.Error: JetStream does not respond.
    """
    found: list[FunctionConsumer] = []
    refused: dict[str, NotPermittedError] = {}
    for stream in await stream_names(nc):
        subject = api_subject(nc, f"CONSUMER.LIST.{stream}")
        nc.tolerated.add(subject)  # streams of others are nobody's fault
        if subject in nc.refused:
            refused[stream] = nc.refused[subject]
            continue
        try:
            consumers = await _consumers_of(js, stream)
        except NotPermittedError as error:
            refused[stream] = error
            continue
        for info in consumers:
            function = (info.config.metadata or {}).get(FUNCTION_METADATA)
            if function and consumer_name(function, prefix) == info.name:
                found.append(
                    FunctionConsumer(
                        function,
                        stream,
                        info.name,
                        lag=(info.num_pending or 0) + (info.num_ack_pending or 0),
                        in_use=bool(info.num_waiting or info.push_bound),
                    )
                )
    return FunctionConsumers(found, refused)


async def _consumers_of(js: JetStreamContext, stream: str) -> list[ConsumerInfo]:
    found: list[ConsumerInfo] = []
    try:
        while page := await js.consumers_info(stream, offset=len(found)):
            found += page
    except NotFoundError:  # the stream was deleted meanwhile
        return []
    return found


class Orphans:
    """The consumers that nobody uses, as they were found last."""

    def __init__(
        self, nc: NatsClient, js: JetStreamContext, *, prefix: str, timeout: float | None
    ) -> None:
        """Know of none.

        Args:
            nc: the connection.
            js: the connection's JetStream context.
            prefix: as for `function_consumers`.
            timeout: seconds after which they are removed; None: never.
        """
        self._nc = nc
        self._js = js
        self._prefix = prefix
        self._timeout = timeout
        self._known: dict[tuple[str, str], FunctionConsumer] = {}
        self._changes = LogOnChange(logger)

    async def look(
        self, is_wanted: Callable[[FunctionConsumer], bool], streams: Collection[str]
    ) -> None:
        """Find orphans, and remove those that have been some for longer than the time-out.

        Args:
            is_wanted: whether a consumer's function is there, and to be bound to that stream.
            streams: those that functions are bound to. That others cannot be looked at is not said.
        """
        try:
            consumers = await function_consumers(self._nc, self._js, self._prefix)
        except (NatsError, OSError) as error:
            logger.warning("cannot look for consumers of removed functions: %s", error)
            return
        for stream in streams:
            if error := consumers.refused.get(stream):
                text = f"consumers of removed functions on stream {stream} are not known: {error}"
                self._changes.log(stream, text, level=logging.ERROR)
        now = time.monotonic()
        found = {
            (each.stream, each.name): self._since(each, now)
            for each in consumers.found
            if not each.in_use and not is_wanted(each)
        }
        for orphan in list(found.values()):
            if self._timeout is not None and now - orphan.since >= self._timeout:
                await self._remove(orphan)
                del found[orphan.stream, orphan.name]
        for key in self._known.keys() - found.keys():
            gone = self._known[key]
            metrics.ORPHAN_LAG.remove(gone.function, gone.stream)
        self._known = found
        metrics.ORPHANS.set(len(found))
        for orphan in found.values():
            metrics.ORPHAN_LAG.labels(orphan.function, orphan.stream).set(orphan.lag)

    def describe(self) -> list[dict[str, object]]:
        """Return them for `/bindings`."""
        now = time.monotonic()
        return [
            {
                "function": orphan.function,
                "stream": orphan.stream,
                "consumer": orphan.name,
                "lag": orphan.lag,
                "forSeconds": round(now - orphan.since),
                "remove": f"python -m infra.connector forget {orphan.function}"
                f" --stream {orphan.stream}",
            }
            for orphan in self._known.values()
        ]

    def _since(self, consumer: FunctionConsumer, now: float) -> FunctionConsumer:
        known = self._known.get((consumer.stream, consumer.name))
        if known is None:
            logger.warning(
                "consumer %s of stream %s is of function %s, which is not there: "
                "%d messages wait for it",
                consumer.name,
                consumer.stream,
                consumer.function,
                consumer.lag,
            )
        return replace(consumer, since=known.since if known else now)

    async def _remove(self, orphan: FunctionConsumer) -> None:
        try:
            await remove_consumers(self._js, [orphan])
        except (NatsError, OSError) as error:
            logger.warning("cannot remove consumer %s: %s", orphan.name, error)
            return
        logger.warning(
            "removed consumer %s of stream %s: its function %s is gone, and %d messages waited",
            orphan.name,
            orphan.stream,
            orphan.function,
            orphan.lag,
        )


async def remove_consumers(js: JetStreamContext, consumers: Iterable[FunctionConsumer]) -> None:
    """Delete consumers; one that is gone already is no error.

    Raises:
        nats.errors.Error: JetStream does not respond, or refuses.
    """
    for consumer in consumers:
        try:
            await js.delete_consumer(consumer.stream, consumer.name)
        except NotFoundError:
            logger.debug("consumer %s is gone already", consumer.name)
