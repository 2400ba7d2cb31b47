"""The durable consumer that all connectors of a function share."""

import asyncio
import contextlib
import hashlib
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, RetentionPolicy
from nats.js.errors import APIError, NotFoundError

from functions.common.jetstream_errors import JetStreamErrorCode
from functions.common.nats_client import NotPermittedError
from infra.connector.delivery.message import Message, parse_ack_subject
from infra.connector.delivery.pull_sizer import PullSizer
from infra.connector.errors import BindError
from infra.connector.jetstream.ack_memory import AckMemory
from infra.connector.jetstream.inflight import InFlightMessages
from infra.connector.jetstream.oldest import OldestMessage
from infra.connector.jetstream.pull import Puller
from infra.connector.jetstream.start_position import FROM_THE_BEGINNING, StartPosition
from infra.connector.jetstream.subjects import REST, overlap

logger = logging.getLogger(__name__)

FUNCTION_METADATA = "universe.function"
MAX_WAITING_REQUESTS = 512
MAX_ACK_PENDING_LIMIT = 1_000_000
"""How far the limit of unacknowledged messages grows for those that wait to be redelivered."""
MAX_ACK_PENDING_IN_ORDER = 100_000
"""The same where messages are kept in order: the connector remembers each of them."""
MAX_NOT_ASKED = 5
"""Of so many measurements of the lag in a row the server is not asked while nothing arrives: what
another connector has in flight, and that the consumer is paused in NATS, is found out later."""
_MAX_NAME_LENGTH = 64
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_SUBJECTS_TAKEN = frozenset(
    {
        JetStreamErrorCode.CONSUMER_WQ_MULTIPLE_UNFILTERED,
        JetStreamErrorCode.CONSUMER_WQ_CONSUMER_NOT_UNIQUE,
    }
)


@dataclass(frozen=True)
class ConsumerTarget:
    """A durable consumer as it is wanted.

    Attributes:
        stream: the stream.
        name: the consumer's name.
        function: the function that it is for.
        topics: the subjects that it delivers.
        ack_wait: seconds after which the server redelivers a message that it heard nothing of.
        max_ack_pending: unacknowledged messages of all its connectors together.
        start: where in the stream it begins, if it is made now.
        made_by_others: whether it is there already, and is used as it is.
        redrive_prefix: what stands before the subjects of originals in a stream of replayed
            messages; empty for any other stream.
        inactive_threshold: seconds after which the server removes the consumer if no connector
            uses it; None: it stays.
        ack_pending_limit: how far `max_ack_pending` grows for those that wait to be redelivered.
    """

    stream: str
    name: str
    function: str
    topics: tuple[str, ...]
    ack_wait: float = 30.0
    max_ack_pending: int = 20_000
    start: StartPosition = FROM_THE_BEGINNING
    made_by_others: bool = False
    redrive_prefix: str = ""
    inactive_threshold: float | None = None
    ack_pending_limit: int = MAX_ACK_PENDING_LIMIT


class Consumer:
    """One connector's use of a durable consumer: pulls messages and tracks those in flight."""

    def __init__(
        self,
        nc: Client,
        js: JetStreamContext,
        target: ConsumerTarget,
        sizer: PullSizer,
        memory: AckMemory | None = None,
    ) -> None:
        """Make a consumer; nothing happens at the server before `ensure` and `start`.

        Args:
            nc: the connection.
            js: the connection's JetStream context.
            target: what the durable consumer is to be.
            sizer: limits the messages in flight.
            memory: remembers acknowledgements; by default one of its own.
        """
        self.target = target
        self.sizer = sizer
        self.inflight = InFlightMessages(
            nc,
            target.stream,
            target.function,
            ack_wait=target.ack_wait,
            acknowledged=(AckMemory() if memory is None else memory).of_consumer(),
            redrive_prefix=target.redrive_prefix,
        )
        self._max_ack_pending = target.max_ack_pending
        self._nc = nc
        self._js = js
        self.oldest = OldestMessage(nc, target.stream)
        self._not_asked = 0
        self.last_lag: int | None = None
        """The lag when it was measured last; None before that."""
        self.paused_until = 0.0
        """Until when the consumer is paused in NATS, on a monotonic clock."""
        self._reconnects: int = nc.stats["reconnects"]
        self._puller: Puller | None = None
        self._on_message: Callable[[Message, bool], None] | None = None
        self.on_delivery: Callable[[int], None] | None = None
        """Called with the number of each delivery of the durable consumer that arrives."""
        self._heartbeat: asyncio.Task[None] | None = None
        self._repetition: asyncio.Task[None] | None = None

    async def ensure(self) -> None:
        """Create the durable consumer, or change it to what is wanted.

        Where it begins is not changed: it is there already. One that others have made is only
        looked at.

        Raises:
            BindError: JetStream refuses, or it cannot be used as it is.
        """
        target = self.target
        try:
            if target.made_by_others:
                await self._adopt()
            else:
                await self._create()
        except APIError as error:
            if error.err_code in _SUBJECTS_TAKEN:
                raise BindError(await _conflict(self._js, target)) from error
            text = f"stream {target.stream} refuses the consumer {target.name}: {error.description}"
            raise BindError(text) from error
        except NatsTimeoutError as error:
            text = f"JetStream does not respond about stream {target.stream}: {error}"
            raise BindError(text) from error
        if self._puller:
            self._puller.consumer_missing = False

    async def _create(self) -> None:
        target = self.target
        config = ConsumerConfig(
            name=target.name,
            durable_name=target.name,
            description=f"messages for the function {target.function}",
            filter_subjects=list(target.topics),
            ack_policy=AckPolicy.EXPLICIT,
            deliver_policy=target.start.policy,
            opt_start_seq=target.start.sequence,
            opt_start_time=target.start.time,
            ack_wait=target.ack_wait,
            # the server's own limit leaves messages stuck in a work queue (nats-server#5564)
            max_deliver=-1,
            max_ack_pending=self._max_ack_pending,
            max_waiting=MAX_WAITING_REQUESTS,
            inactive_threshold=target.inactive_threshold,
            metadata={FUNCTION_METADATA: target.function},
        )
        try:
            await self._js.add_consumer(target.stream, config)  # pyright: ignore[reportUnknownMemberType] - untyped arguments in nats-py
        except APIError:
            there = await self._existing()
            if there is None or _start_of(there) == _start_of(config):
                raise
            logger.info("consumer %s goes on where it is: it is there already", target.name)
            config.deliver_policy = there.deliver_policy
            config.opt_start_seq = there.opt_start_seq
            config.opt_start_time = there.opt_start_time
            await self._js.add_consumer(target.stream, config)  # pyright: ignore[reportUnknownMemberType] - as above
        self.inflight.ack_wait = target.ack_wait

    async def _existing(self) -> ConsumerConfig | None:
        with contextlib.suppress(NotFoundError):
            return (await self._js.consumer_info(self.target.stream, self.target.name)).config
        return None

    async def _adopt(self) -> None:
        """Take over the times and limits of a consumer that others have made."""
        target = self.target
        config = await self._existing()
        name = f"consumer {target.name} of stream {target.stream}"
        if config is None:
            raise BindError(f"there is no {name}, which the function names")
        if config.deliver_subject:
            raise BindError(f"{name} pushes messages: the connector needs one that is pulled from")
        if config.ack_policy != AckPolicy.EXPLICIT:
            raise BindError(f"{name} acknowledges without being asked: it has to be explicit")
        filters = config.filter_subjects or [config.filter_subject or REST]
        if not any(overlap(one, topic) for one in filters for topic in target.topics):
            raise BindError(
                f"{name} delivers {', '.join(filters)}, none of {', '.join(target.topics)}"
            )
        if (config.max_deliver or -1) > 0:
            logger.warning(
                "%s gives each message up after %s deliveries, however they end",
                name,
                config.max_deliver,
            )
        self.inflight.ack_wait = config.ack_wait or target.ack_wait

    def change(self, target: ConsumerTarget) -> bool:
        """Want something else of the same durable consumer from now on.

        Returns:
            Whether `ensure` has to tell the server.
        """
        before, self.target = self.target, target
        if target.max_ack_pending != before.max_ack_pending:
            self._max_ack_pending = target.max_ack_pending
        # the server has the old time until `ensure`
        self.inflight.ack_wait = min(self.inflight.ack_wait, target.ack_wait)
        return target != before

    async def start(
        self, on_message: Callable[[Message, bool], None], on_change: Callable[[], None]
    ) -> None:
        """Subscribe, and report messages in flight as in progress from now on.

        Args:
            on_message: called with each message, and whether the stream has more for the consumer.
            on_change: called when `pull` may have something to do.
        """
        self._on_message = on_message
        self._puller = Puller(
            self._nc,
            self.target.stream,
            self.target.name,
            on_message=self._receive,
            on_request_end=on_change,
        )
        self._heartbeat = asyncio.create_task(self._send_in_progress_forever())
        await self._puller.start()

    @property
    def missing(self) -> bool:
        """Whether the server says that there is no such consumer; `ensure` creates it again."""
        return self._puller is not None and self._puller.consumer_missing

    @property
    def refused(self) -> NotPermittedError | None:
        """Why no messages can be pulled, if the user has no right to."""
        return self._puller.refused if self._puller else None

    @property
    def idle(self) -> bool:
        """Whether no message has come for a while, and nothing is to be done before one comes."""
        return self._puller is not None and self._puller.idle and not len(self.inflight)

    @property
    def full(self) -> bool:
        """Whether messages in flight leave no room for more."""
        inflight = self.inflight
        return self.sizer.next_size(len(inflight), inflight.events, inflight.size) is None

    async def abandon_request(self) -> None:
        """Take no more messages of the pull request that is at the server."""
        if self._puller:
            await self._puller.abandon()
        self.inflight.forget_unsent()

    async def pull(self, now: float, *, failing: bool = False) -> None:
        """Send a pull request if there is none and messages in flight leave room for more.

        Args:
            now: the time on a monotonic clock, in seconds.
            failing: as in `PullSizer.next_size`.
        """
        puller = self._puller
        assert puller is not None, "start first"
        puller.drop_lost_request(now)
        if puller.requested:
            return
        inflight = self.inflight
        size = self.sizer.next_size(len(inflight), inflight.events, inflight.size, failing=failing)
        if size is None:
            return
        if puller.next_too_large:
            await puller.request(1, None)
        else:
            await puller.request(*size)

    async def resumed(self) -> None:
        """Get at once what the server has held back during a pause."""
        if self._puller:
            await self._puller.nudge()

    def re_ack_after_reconnect(self) -> None:
        """After a lost connection, begin to repeat the last acknowledgements (see `re_ack`)."""
        reconnects = self._nc.stats["reconnects"]
        if reconnects == self._reconnects or not self._nc.is_connected:
            return
        self._reconnects = reconnects
        if self._repetition:
            self._repetition.cancel()
        if len(self.inflight.acknowledged):
            self._repetition = asyncio.create_task(self._re_ack(reconnects))

    async def _re_ack(self, reconnects: int) -> None:
        try:
            info = await self._js.stream_info(self.target.stream)
            if info.config.retention == RetentionPolicy.WORK_QUEUE and info.created is not None:
                await self.inflight.re_ack(info.created.timestamp())
        except (NatsError, OSError) as error:
            logger.debug("acknowledgements are repeated later: %s", error)
            if self._reconnects == reconnects:
                self._reconnects = reconnects - 1

    async def info(self) -> ConsumerInfo:
        """Return what the server says of the durable consumer.

        Raises:
            nats.errors.Error: JetStream does not respond, or there is no such consumer.
        """
        return await self._js.consumer_info(self.target.stream, self.target.name)

    async def lag(self) -> int:
        """Return how many messages are pending or unacknowledged, of all connectors together.

        Raises:
            nats.errors.Error: JetStream does not respond, or there is no such consumer.
        """
        if self.idle and self.last_lag == 0 and self._not_asked < MAX_NOT_ASKED:
            self._not_asked += 1  # a message would have been sent to the waiting request
            return 0
        self._not_asked = 0
        info = await self.info()
        await self._make_room(info)
        remaining = info.pause_remaining if info.paused else None
        self.paused_until = time.monotonic() + float(remaining or 0) / 1e9
        self.last_lag = lag = (info.num_pending or 0) + (info.num_ack_pending or 0)
        if lag == 0:
            self.oldest.none()
        elif info.ack_floor:
            try:
                await self.oldest.find(info.ack_floor.stream_seq, _filter_subjects(info))
            except (NatsError, OSError) as error:
                logger.debug("no oldest message of %s: %s", self.target.name, error)
        return lag

    def oldest_seconds(self) -> float | None:
        """Return the age of the oldest message that is not acknowledged; None if not known."""
        stored = self.oldest.stored
        if stored is None and self.last_lag and (held := self.inflight.oldest()):
            stored = held.key.time / 1e9
        return None if stored is None else max(time.time() - stored, 0.0)

    async def _make_room(self, info: ConsumerInfo) -> None:
        """Let messages that wait to be redelivered take no place of new ones.

        The server counts them as unacknowledged, and delivers nothing new at the limit.
        """
        limit = info.config.max_ack_pending or 0
        if self.target.made_by_others:
            return
        crowded = (info.num_ack_pending or 0) * 2 > limit > 0
        if (
            crowded
            and limit < self.target.ack_pending_limit
            and self.inflight.delayed(time.monotonic())
        ):
            self._max_ack_pending = min(limit * 2, self.target.ack_pending_limit)
            logger.info(
                "%s has %d unacknowledged messages, some of them deferred: raising their limit",
                self.target.name,
                info.num_ack_pending,
            )
            with contextlib.suppress(BindError):  # it is tried again with the next measurement
                await self.ensure()

    async def stop_pulling(self) -> None:
        """Unsubscribe; messages in flight are still reported as in progress."""
        if self._puller:
            await self._puller.stop()

    def close(self) -> None:
        """Stop reporting messages in flight as in progress."""
        for task in (self._heartbeat, self._repetition):
            if task:
                task.cancel()
        self.inflight.acknowledged.clear()

    def _receive(self, msg: Msg) -> None:
        try:
            if self.on_delivery:
                self.on_delivery(parse_ack_subject(msg.reply).delivery)
            tracked = self.inflight.track(msg, time.monotonic())
        except ValueError as error:
            logger.error("not a JetStream message: %s", error)
            return
        if tracked is None:
            return
        self.paused_until = 0.0  # the server delivers, so it has been resumed
        message, pending = tracked
        self.sizer.record(message.events)
        assert self._on_message is not None
        self._on_message(message, pending > 0)

    async def _send_in_progress_forever(self) -> None:
        while True:
            await self.inflight.busy.wait()
            await asyncio.sleep(min(self.inflight.ack_wait / 6, 1.0))
            try:
                await self.inflight.send_in_progress(time.monotonic())
            except Exception:
                logger.exception("unexpected error: messages in flight may be redelivered")


def consumer_name(function: str, prefix: str = "") -> str:
    """Return the name of a function's durable consumer.

    It does not contain the subjects: when a function changes its topics, its consumer is changed.
    A consumer left behind would keep others from its subjects on a work queue.
    """
    plain = prefix + function
    name = _NOT_IN_A_NAME.sub("_", plain)
    if name == plain and len(name) <= _MAX_NAME_LENGTH:
        return name
    digest = hashlib.sha256(plain.encode()).hexdigest()[:8]
    return f"{name[:55]}-{digest}"


async def _conflict(js: JetStreamContext, target: ConsumerTarget) -> str:
    """Return which consumer of a work queue has the subjects already."""
    stream = target.stream
    text = f"stream {stream} is a workqueue, where each subject has one consumer; "
    others = [info for info in await js.consumers_info(stream) if info.name != target.name]
    for info in others:
        for taken in _filter_subjects(info):
            for topic in target.topics:
                if overlap(taken, topic):
                    return (
                        f"{text}{topic} overlaps with {taken} of consumer {info.name}: remove the "
                        f"topic from one of the functions, or delete that consumer if its "
                        f"function is gone (nats consumer rm {stream} {info.name})"
                    )
    return f"{text}another consumer has some of {', '.join(target.topics)}"


def _start_of(config: ConsumerConfig) -> tuple[object, ...]:
    return (config.deliver_policy, config.opt_start_seq or None, config.opt_start_time)


def _filter_subjects(info: ConsumerInfo) -> list[str]:
    config = info.config
    return config.filter_subjects or [config.filter_subject or ">"]
