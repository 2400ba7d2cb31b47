"""One function bound to one stream: pulls, invokes, and settles what came of it."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from functions.common.correlation import CALL_ID, CALL_ID_HEADER, new_call_id
from infra.connector import metrics
from infra.connector.delivery.attempts import AttemptLedger
from infra.connector.delivery.backoff import exponential
from infra.connector.delivery.batcher import BatchLimits
from infra.connector.delivery.circuit_breaker import Breaker, BreakerLimits, BreakerState
from infra.connector.delivery.message import Key, Message
from infra.connector.delivery.queue import Schedule
from infra.connector.delivery.response import Answer, Done, Failed, Rejected, Unavailable
from infra.connector.delivery.retry_policy import FailurePolicy, Plan
from infra.connector.delivery.throttle import Pace
from infra.connector.delivery.unit import Unit
from infra.connector.dlq.outcome import Settlement, Verdict
from infra.connector.dlq.publisher import DeadLetterQueue
from infra.connector.http.invoker import Invoker
from infra.connector.jetstream.consumer import BindError, ensure_consumer, ensure_dlq_stream
from infra.connector.jetstream.inflight import InHand
from infra.connector.jetstream.pull import Puller
from infra.connector.spec import BindingSpec

log = logging.getLogger(__name__)

OUTAGE_BACKOFF = exponential(0.25, 5.0)
BIND_BACKOFF = exponential(0.5, 10.0)
SHORT_WAIT = 2.0
"""Messages that wait for longer may be returned to the stream meanwhile."""
FIRST_REQUEST = 10
LARGEST_REQUEST = 2000
PROBES = 1000
"""Events that may be in hand beyond the capacity while one invocation after the other fails."""
LEAST_IN_HAND = 64
"""Messages that may be in hand at the least, so that small batches do not wait for the network."""


@dataclass(frozen=True)
class Addresses:
    """Where a binding's messages come from and where they go when they are dead.

    Attributes:
        stream: the stream.
        consumer: the durable consumer.
        dlq_stream: the stream for dead letters.
        dlq_subject: the subject of a dead letter, with `{subject}` for the original's.
    """

    stream: str
    consumer: str
    dlq_stream: str
    dlq_subject: str


class Binding:
    """Delivers the messages of one stream to one function until it is stopped."""

    def __init__(
        self,
        spec: BindingSpec,
        addresses: Addresses,
        nc: Client,
        js: JetStreamContext,
        invoker: Invoker,
        breaker: BreakerLimits,
    ) -> None:
        self.spec = spec
        self.addresses = addresses
        self.fault: str | None = "not bound yet"
        self.events_per_message = 1.0
        delivery, stream = spec.delivery, addresses.stream
        labels = self._labels = (spec.function, stream)
        self._nc = nc
        self._reconnects: int = nc.stats["reconnects"]
        self._js = js
        self._invoker = invoker
        self._hand = InHand(
            nc,
            spec.function,
            stream,
            ack_wait=delivery.ack_wait,
            remember=delivery.max_ack_pending,
        )
        self._puller = Puller(
            nc, stream, addresses.consumer, on_message=self._take, on_change=self._wake_up
        )
        if delivery.batch:
            limits = BatchLimits(delivery.batch_size, delivery.batch_bytes, delivery.batch_window)
        else:
            limits = BatchLimits(events=1, size=1, window=0.0, quiet=0.0)
        self._schedule = Schedule(limits, delivery.concurrency)
        self._capacity = max(limits.events * (delivery.concurrency + 1), LEAST_IN_HAND)
        self._capacity_bytes = delivery.batch_bytes * (delivery.concurrency + 1)
        ledger: AttemptLedger[Key] = AttemptLedger(delivery.max_deliver)
        self._pace = Pace(OUTAGE_BACKOFF)
        self._policy = FailurePolicy(ledger, self._pace, delivery.backoff)
        self._breaker = Breaker(breaker)
        self._settlement = Settlement(
            labels,
            self._hand,
            ledger,
            self._breaker,
            DeadLetterQueue(nc, js, addresses.dlq_stream),
            addresses.dlq_subject,
        )
        self._running: dict[asyncio.Task[None], Unit] = {}
        self._alone: Unit | None = None
        self._taken = 0
        self._wake = asyncio.Event()
        self._stopping = False
        self._breaker_said = BreakerState.CLOSED
        self._paused_by = ""
        self._batch_events = metrics.BATCH_EVENTS.labels(*labels)
        self._batch_bytes = metrics.BATCH_BYTES.labels(*labels)

    # Life

    async def run(self, drain_timeout: float) -> None:
        """Deliver messages until `stop` is called, then drain.

        Args:
            drain_timeout: seconds that running invocations get to finish.
        """
        heart = asyncio.create_task(self._beat_forever())
        try:
            await self._puller.start()
            while not self._stopping:
                if self.fault is not None and not await self._bind():
                    continue
                now = time.monotonic()
                self._say_states(now)
                await self._acknowledge_again()
                await self._shed(now)
                self._start_invocations(now)
                await self._pull(now)
                await self._wait(now)
            await self._drain(drain_timeout)
        finally:
            heart.cancel()

    def stop(self) -> None:
        """Let `run` drain and return."""
        self._stopping = True
        self._wake_up()

    def describe(self) -> dict[str, object]:
        """Return the state for people to look at."""
        return {
            "function": self.spec.function,
            "topics": list(self.spec.topics),
            "stream": self.addresses.stream,
            "consumer": self.addresses.consumer,
            "batch": self.spec.delivery.batch,
            "messagesInHand": len(self._hand),
            "eventsInHand": self._hand.events,
            "bytesInHand": self._hand.size,
            "invocations": len(self._running),
            "eventsWaitingForRetry": self._schedule.events_later,
            "breaker": self._breaker.state(time.monotonic()).name.lower(),
            "paused": not self._pace.steady,
            "fault": self.fault,
        }

    async def _bind(self) -> bool:
        """Make the consumer and the dead-letter queue, however long it takes until stopped."""
        failures = 0
        to = self.addresses
        while not self._stopping:
            try:
                await self._ensure_dlq()
                await ensure_consumer(
                    self._js,
                    to.stream,
                    to.consumer,
                    self.spec.function,
                    self.spec.topics,
                    self.spec.delivery,
                )
            except (BindError, NatsError, OSError, ValueError) as error:
                text = str(error) or type(error).__name__
                if text != self.fault:
                    log.error("cannot bind %s: %s", self.spec.function, text)
                self.fault = text
                failures += 1
                await self._sleep(BIND_BACKOFF.delay(failures, random.random()))  # noqa: S311
            else:
                self._puller.missing = False
                self.fault = None
                topics = ", ".join(self.spec.topics)
                log.info("bound %s to %s of stream %s", self.spec.function, topics, to.stream)
                return True
        return False

    async def _ensure_dlq(self) -> None:
        to = self.addresses
        await ensure_dlq_stream(self._js, to.stream, to.dlq_stream, to.dlq_subject)

    async def _acknowledge_again(self) -> None:
        """Repeat what the server may have half carried out when the connection was lost."""
        reconnects = self._nc.stats["reconnects"]
        if reconnects == self._reconnects or not self._nc.is_connected:
            return
        try:
            created = (await self._js.stream_info(self.addresses.stream)).created
        except (NatsError, OSError) as error:
            log.debug("no answer about stream %s: %s", self.addresses.stream, error)
            return
        self._reconnects = reconnects
        if created is not None:
            await self._hand.acknowledge_again(created.timestamp())

    async def _drain(self, limit: float) -> None:
        await self._puller.stop()
        self._schedule.clear()
        running = {message.top.key for unit in self._running.values() for message in unit.messages}
        await self._hand.give_back(m for m in self._hand.all() if m.key not in running)
        if self._running:
            await asyncio.wait(self._running, timeout=limit)
        for task in list(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        await self._hand.give_back(self._hand.all())
        await self._hand.send_late()
        self._measure()

    async def _beat_forever(self) -> None:
        every = min(self.spec.delivery.ack_wait / 6, 1.0)
        while True:
            await asyncio.sleep(every)
            try:
                await self._hand.beat(time.monotonic())
                self._measure()
            except Exception:
                log.exception("a bug: messages in hand may be delivered again")

    def _measure(self) -> None:
        metrics.IN_HAND.labels(*self._labels).set(len(self._hand))
        metrics.IN_HAND_EVENTS.labels(*self._labels).set(self._hand.events)
        metrics.IN_HAND_BYTES.labels(*self._labels).set(self._hand.size)
        metrics.IN_FLIGHT.labels(*self._labels).set(len(self._running))
        oldest = self._hand.oldest()
        age = time.time() - oldest.key.time / 1e9 if oldest else 0.0
        metrics.OLDEST.labels(*self._labels).set(max(age, 0.0))

    # Waiting and pulling

    def _wake_up(self) -> None:
        self._wake.set()

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not through a call of `stop`."""
        until = time.monotonic() + seconds
        while not self._stopping and (left := until - time.monotonic()) > 0:
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), left)
            except TimeoutError:
                return

    async def _wait(self, now: float) -> None:
        """Wait until there may be something to do; a second at the most."""
        until = now + 1.0
        if len(self._running) < self.spec.delivery.concurrency:
            next_at = self._schedule.next_at(busy=bool(self._running))
            if next_at is not None:
                gate = max(self._pace.resume_at, self._breaker.opens_until)
                until = min(until, max(next_at, gate))
        pause = until - time.monotonic()
        if pause <= 0 and self._running:
            pause = 1.0  # what is due waits for running invocations to end, which wake this up
        if pause > 0 and not self._wake.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)
        else:
            await asyncio.sleep(0)
        self._wake.clear()

    async def _pull(self, now: float) -> None:
        puller = self._puller
        if puller.missing:
            self.fault = f"the consumer {self.addresses.consumer} is gone"
            log.warning("%s: %s", self.spec.function, self.fault)
            return
        puller.lost(now)
        if puller.standing or self._stopping:
            return
        # while everything in hand fails, more may show whether it is the messages or the function
        room = self._capacity + (PROBES if self._pace.troubled else 0)
        events = room - self._hand.events
        size = self._capacity_bytes - self._hand.size
        if len(self._hand) and (events * 4 < self._capacity or size * 4 < self._capacity_bytes):
            return  # few large requests rather than many small ones
        messages = max(int(events / max(self.events_per_message, 1.0)), 1)
        # a request cannot be taken back: a few first, to learn how many events messages hold
        messages = min(messages, max(self._taken * 4, FIRST_REQUEST), LARGEST_REQUEST)
        if puller.too_large:
            await puller.request(1, None)
        else:
            await puller.request(messages, size)

    def _take(self, msg: Msg) -> None:
        now = time.monotonic()
        try:
            taken = self._hand.take(msg, now)
        except ValueError as error:
            log.error("not a JetStream message: %s", error)
            return
        if taken is None:
            return
        message, pending = taken
        self._taken += 1
        weight = max(1 / self._taken, 0.05)
        self.events_per_message += (message.events - self.events_per_message) * weight
        if self._schedule.add(message, now, more_to_come=pending > 0):
            self._wake_up()

    async def _shed(self, now: float) -> None:
        """Return messages that wait long for a retry when they keep others from being delivered."""
        crowded = self._schedule.events_later * 2 >= self._capacity
        healthy = self._pace.steady and self._breaker.state(now) is BreakerState.CLOSED
        if crowded and healthy:
            for unit, wait in self._schedule.shed(now, SHORT_WAIT):
                await self._hand.give_back(unit.messages, wait)

    # Invoking

    def _start_invocations(self, now: float) -> None:
        while unit := self._next_unit(now):
            task = asyncio.create_task(self._work(unit))
            self._running[task] = unit
            if unit.exclusive:
                self._alone = unit
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        unit = self._running.pop(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a bug: these messages are tried again later", exc_info=error)
            left = [message for message in unit.messages if message.top in self._hand]
            if left:
                again = replace(unit, messages=left)
                self._schedule.put_off(again, time.monotonic() + OUTAGE_BACKOFF.delays[-1])
        self._wake_up()

    def _next_unit(self, now: float) -> Unit | None:
        running = len(self._running)
        state = self._breaker.state(now)
        if (
            running >= self.spec.delivery.concurrency
            or not self._pace.permits(now, running)
            or self._alone is not None
            or state is BreakerState.OPEN
            or (state is BreakerState.HALF_OPEN and running)
        ):
            return None
        one = state is BreakerState.HALF_OPEN or self._pace.troubled
        return self._schedule.take(now, busy=running > 0, one=one)

    async def _work(self, unit: Unit) -> None:
        messages = unit.messages
        call_id = _shared_call_id(messages)
        CALL_ID.set(call_id)
        for message in messages:
            message.calls += 1
        try:
            invocation = await self._invoker.invoke(messages, call_id)
        finally:
            # what is left to do may take long, and is no reason for others to wait
            if self._alone is unit:
                self._alone = None
        answer = invocation.answer
        kind = type(answer).__name__.lower()
        self._batch_events.observe(unit.events)
        self._batch_bytes.observe(invocation.size)
        metrics.INVOCATION.labels(*self._labels, kind).observe(invocation.seconds)
        log.debug(
            "invoked %s",
            self.spec.function,
            extra={
                "messages": len(messages),
                "events": unit.events,
                "seconds": round(invocation.seconds, 6),
                "answer": kind,
            },
        )
        await self._settle(unit, answer)

    async def _settle(self, unit: Unit, answer: Answer) -> None:
        now = time.monotonic()
        verdict = Verdict()
        plan = Plan()
        if isinstance(answer, Done):
            read = self._settlement.read(unit.messages, answer)
            if isinstance(read, Failed):
                answer = read
            else:
                verdict, wanted = read
                self._policy.answered()
                plan = self._policy.retry(wanted, now)
        if isinstance(answer, Failed | Rejected):
            self._say_failure(unit, answer.reason)
        match answer:
            case Unavailable():
                self._say_unavailable(answer.reason)
                plan = self._policy.unavailable(unit, answer, now)
            case Failed():
                plan = self._policy.failed(unit, answer, len(self._hand), now)
            case Rejected():
                plan = self._policy.rejected(unit, answer, now)
            case _:
                pass
        verdict.dead += plan.dead
        held = await self._settlement.carry_out(verdict, now, self._dlq_again)
        for later in plan.later:
            self._put_off(later.unit, later.due, charged=later.charged)
        if held:
            self._put_off(Unit(held), self._breaker.opens_until)

    def _put_off(self, unit: Unit, due: float, *, charged: bool = False) -> None:
        metrics.RETRIED.labels(*self._labels, "yes" if charged else "no").inc(len(unit.messages))
        self._schedule.put_off(unit, due)
        self._wake_up()

    async def _dlq_again(self) -> bool:
        """Make the dead-letter queue if it is gone; return whether to publish to it again."""
        if self._stopping:
            return False
        with contextlib.suppress(BindError, NatsError, OSError):
            await self._ensure_dlq()
        return True

    # Telling

    def _say_failure(self, unit: Unit, reason: str) -> None:
        log.warning(
            "%s failed: %s",
            self.spec.function,
            reason,
            extra={
                "messages": len(unit.messages),
                "first": unit.messages[0].id,
                "failures": unit.failures + 1,
            },
        )

    def _say_unavailable(self, reason: str) -> None:
        if reason != self._paused_by:  # once, however long it lasts
            log.warning("%s is unavailable: %s", self.spec.function, reason)
        self._paused_by = reason

    def _say_states(self, now: float) -> None:
        state = self._breaker.state(now)
        if state is not self._breaker_said:
            self._breaker_said = state
            closed = state is BreakerState.CLOSED
            log.log(
                logging.INFO if closed else logging.ERROR,
                "breaker of %s is %s%s",
                self.spec.function,
                state.name.lower(),
                "" if closed else ": nearly everything turns out dead",
            )
        metrics.BREAKER.labels(*self._labels).set(state.value)
        if self._pace.steady and self._paused_by:
            self._paused_by = ""
            log.info("%s takes messages again", self.spec.function)
        metrics.PAUSED.labels(*self._labels).set(0 if self._pace.steady else 1)


def _shared_call_id(messages: Sequence[Message]) -> str:
    """Return the correlation id that all messages share, else a new one."""
    ids = {message.headers.get(CALL_ID_HEADER, "") for message in messages}
    only = ids.pop() if len(ids) == 1 else ""
    usable = only and "," not in only and only.isascii() and only.isprintable()
    return only if usable else new_call_id()
