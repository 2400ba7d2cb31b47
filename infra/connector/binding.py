"""One function bound to one stream: pulls, invokes, and settles what came of it."""

import asyncio
import contextlib
import heapq
import logging
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from functions.common.correlation import CALL_ID, CALL_ID_HEADER, new_call_id
from infra.connector import metrics
from infra.connector.accumulator import Accumulator, BatchLimits
from infra.connector.answer import Answer, Done, Failed, Fault, Rejected, Unavailable
from infra.connector.attempts import AttemptLedger
from infra.connector.backoff import exponential
from infra.connector.binding_spec import BindingSpec
from infra.connector.bisect import Alone, RetryWhole, Split, Step, after_failure, after_rejection
from infra.connector.breaker import Breaker, BreakerLimits, BreakerState
from infra.connector.consumers import BindError, ensure_consumer, ensure_dlq_stream
from infra.connector.dead_letters import DeadLetter, DeadLetterQueue, parts, whole
from infra.connector.in_hand import InHand
from infra.connector.invoker import Invoker
from infra.connector.message import Key, Message
from infra.connector.pace import Pace
from infra.connector.puller import Puller

log = logging.getLogger(__name__)

OUTAGE_BACKOFF = exponential(0.25, 5.0)
DLQ_BACKOFF = exponential(0.5, 15.0)
BIND_BACKOFF = exponential(0.5, 10.0)
SHORT_WAIT = 2.0
FIRST_REQUEST = 10
LARGEST_REQUEST = 2000
FEW_IN_HAND = 10
"""So few messages in hand are no outage to be careful about, but all there is to tell by."""
LEAST_IN_HAND = 64
"""Messages that may be in hand at the least, so that small batches do not wait for the network."""


@dataclass(slots=True)
class Unit:
    """Messages that go into one invocation.

    Attributes:
        messages: at least one.
        failures: how often they failed together.
        exclusive: nothing else runs beside it: a message that kills the function's process would
            take other invocations with it, which would be charged for it.
        successes: invocations that had succeeded when an attempt was last charged.
    """

    messages: Sequence[Message]
    failures: int = 0
    exclusive: bool = False
    successes: int = -1

    @property
    def events(self) -> int:
        """How many events its messages hold."""
        return sum(message.events for message in self.messages)


@dataclass(slots=True)
class Verdict:
    """What is to be done with the messages of an invocation."""

    done: list[Message] = field(default_factory=list)
    dead: list[tuple[Message, str]] = field(default_factory=list)
    partly: list[tuple[Message, list[DeadLetter]]] = field(default_factory=list)


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
        delivery = spec.delivery
        stream = addresses.stream
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
            nc,
            stream,
            addresses.consumer,
            on_message=self._take,
            on_change=self._notify,
        )
        self._dlq = DeadLetterQueue(nc, js, addresses.dlq_stream)
        batch_size = delivery.batch_size if delivery.batch else 1
        window = delivery.batch_window if delivery.batch else 0.0
        self._accumulator: Accumulator[Message] = Accumulator(
            BatchLimits(batch_size if delivery.batch else 1, delivery.batch_bytes, window)
            if delivery.batch
            else BatchLimits(1, 1, 0.0, 0.0)
        )
        self._capacity = max(batch_size * (delivery.concurrency + 1), LEAST_IN_HAND)
        self._capacity_bytes = delivery.batch_bytes * (delivery.concurrency + 1)
        self._ledger: AttemptLedger[Key] = AttemptLedger(delivery.max_deliver)
        self._pace = Pace(OUTAGE_BACKOFF)
        self._breaker = Breaker(breaker)
        self._later: list[tuple[float, int, Unit]] = []
        self._later_events = 0
        self._order = count()
        self._running: dict[asyncio.Task[None], Unit] = {}
        self._successes = 0
        self._fresh_turns = 0
        self._events_per_message = 1.0
        self._taken = 0
        self._wake = asyncio.Event()
        self._stopping = False
        self._breaker_said = BreakerState.CLOSED
        self._paused_by = ""
        self.fault: str | None = "not bound yet"
        labels = (spec.function, stream)
        self._labels = labels
        self._done = metrics.DONE.labels(*labels)
        self._done_events = metrics.DONE_EVENTS.labels(*labels)
        self._dead = metrics.DEAD.labels(*labels)
        self._dead_events = metrics.DEAD_EVENTS.labels(*labels)
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
        self._notify()

    @property
    def events_per_message(self) -> float:
        """The average of late."""
        return self._events_per_message

    def describe(self) -> dict[str, object]:
        """Return the state for people to look at."""
        now = time.monotonic()
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
            "eventsWaitingForRetry": self._later_events,
            "breaker": self._breaker.state(now).name.lower(),
            "paused": not self._pace.steady,
            "fault": self.fault,
        }

    async def _bind(self) -> bool:
        failures = 0
        while not self._stopping:
            try:
                await self._ensure_dlq()
                await ensure_consumer(
                    self._js,
                    self.addresses.stream,
                    self.addresses.consumer,
                    self.spec.function,
                    self.spec.topics,
                    self.spec.delivery,
                )
            except (BindError, NatsError, OSError) as error:
                text = str(error) or type(error).__name__
                if text != self.fault:
                    log.error("cannot bind %s: %s", self.spec.function, text)
                self.fault = text
                failures += 1
                await self._sleep(BIND_BACKOFF.delay(failures, random.random()))  # noqa: S311
            else:
                self._puller.missing = False
                self.fault = None
                log.info(
                    "bound %s to %s of stream %s",
                    self.spec.function,
                    ", ".join(self.spec.topics),
                    self.addresses.stream,
                )
                return True
        return False

    async def _ensure_dlq(self) -> None:
        to = self.addresses
        await ensure_dlq_stream(self._js, to.stream, to.dlq_stream, to.dlq_subject)

    async def _drain(self, limit: float) -> None:
        await self._puller.stop()
        self._accumulator.take_all()
        self._later.clear()
        self._later_events = 0
        running = {message.key for unit in self._running.values() for message in unit.messages}
        await self._hand.give_back(m for m in self._hand.all() if m.key not in running)
        if self._running:
            await asyncio.wait(self._running, timeout=limit)
        for task in list(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        await self._hand.give_back(self._hand.all())
        await self._hand.send_late()

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
        messages = self._hand.all()
        oldest = time.time() - messages[0].key.time / 1e9 if messages else 0.0
        metrics.OLDEST.labels(*self._labels).set(max(oldest, 0.0))

    async def _shed(self, now: float) -> None:
        """Return messages that wait long for a retry when they keep others from being delivered."""
        if self._later_events * 2 < self._capacity or not self._pace.steady:
            return
        if self._breaker.state(now) is not BreakerState.CLOSED:
            return
        kept: list[tuple[float, int, Unit]] = []
        for due, order, unit in self._later:
            if unit.exclusive or due - now < SHORT_WAIT:
                kept.append((due, order, unit))
            else:
                self._later_events -= unit.events
                await self._hand.give_back(unit.messages, due - now)
        heapq.heapify(kept)
        self._later = kept

    # Waiting and pulling

    def _notify(self) -> None:
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
        times = [now + 1.0]
        if len(self._running) < self.spec.delivery.concurrency:
            gate = max(self._pace.resume_at, self._breaker.opens_until)
            ready_at = self._accumulator.ready_at(busy=bool(self._running))
            if ready_at is not None:
                times.append(max(ready_at, gate))
            if self._later:
                times.append(max(self._later[0][0], gate))
        pause = min(times) - time.monotonic()
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
        events = self._capacity - self._hand.events
        size = self._capacity_bytes - self._hand.size
        if len(self._hand) and (events * 4 < self._capacity or size * 4 < self._capacity_bytes):
            return  # few large requests rather than many small ones
        messages = max(int(events / max(self._events_per_message, 1.0)), 1)
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
        self._events_per_message += (message.events - self._events_per_message) * weight
        self._accumulator.add(message, now, more_to_come=pending > 0 and self._puller.standing)
        self._notify()

    # Invoking

    def _start_invocations(self, now: float) -> None:
        while unit := self._next_unit(now):
            task = asyncio.create_task(self._work(unit))
            self._running[task] = unit
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._notify()
        if not task.cancelled() and (error := task.exception()):
            log.error("a bug: the messages are delivered again later", exc_info=error)

    def _next_unit(self, now: float) -> Unit | None:
        running = len(self._running)
        if self._stopping or running >= self.spec.delivery.concurrency:
            return None
        if not self._pace.permits(now, running):
            return None
        if any(unit.exclusive for unit in self._running.values()):
            return None
        state = self._breaker.state(now)
        if state is BreakerState.OPEN or (state is BreakerState.HALF_OPEN and running):
            return None
        unit = self._choose(now)
        probe = state is BreakerState.HALF_OPEN or self._pace.troubled
        if unit and probe and len(unit.messages) > 1:
            self._put_off(replace(unit, messages=unit.messages[1:]), now)
            return replace(unit, messages=unit.messages[:1])
        return unit

    def _choose(self, now: float) -> Unit | None:
        fresh = self._accumulator.ready(now, busy=bool(self._running))
        if self._later and self._later[0][0] <= now:
            exclusive = self._later[0][2].exclusive
            # fresh messages get their turns between those that are under suspicion
            if not (exclusive and fresh and self._fresh_turns > 0):
                if exclusive and self._running:
                    return None
                unit = heapq.heappop(self._later)[2]
                self._later_events -= unit.events
                if exclusive:
                    self._fresh_turns = self.spec.delivery.concurrency
                return unit
        if not fresh:
            return None
        self._fresh_turns = max(self._fresh_turns - 1, 0)
        return Unit(self._accumulator.take())

    async def _work(self, unit: Unit) -> None:
        messages = unit.messages
        call_id = _shared_call_id(messages)
        CALL_ID.set(call_id)
        for message in messages:
            message.calls += 1
        invocation = await self._invoker.invoke(messages, call_id)
        answer = invocation.answer
        events = unit.events
        self._batch_events.observe(events)
        self._batch_bytes.observe(invocation.size)
        metrics.INVOCATION.labels(*self._labels, type(answer).__name__.lower()).observe(
            invocation.seconds
        )
        log.debug(
            "invoked %s",
            self.spec.function,
            extra={
                "messages": len(messages),
                "events": events,
                "seconds": round(invocation.seconds, 6),
                "answer": type(answer).__name__.lower(),
            },
        )
        await self._settle(unit, answer)

    # Settling

    async def _settle(self, unit: Unit, answer: Answer) -> None:
        now = time.monotonic()
        verdict = Verdict()
        if isinstance(answer, Done):
            answer = self._read_done(unit, answer, verdict, now)
        if isinstance(answer, Unavailable):
            self._unavailable(unit, answer, now)
            return
        if isinstance(answer, Done):
            self._successes += 1
            self._pace.succeeded()
        else:
            self._failed(unit, answer, verdict, now)
        await self._carry_out(verdict)

    def _read_done(self, unit: Unit, answer: Done, verdict: Verdict, now: float) -> Answer:
        """Sort the messages by what the function says of them, unless that makes no sense."""
        retry: list[tuple[Message, str, float | None]] = []
        for message in unit.messages:
            if wanted := answer.retry.get(message.id):
                retry.append((message, wanted.reason, wanted.delay))
            elif reason := answer.dead.get(message.id):
                verdict.dead.append((message, reason))
            elif events := answer.dead_events.get(message.id):
                try:
                    letters = parts(
                        message,
                        events,
                        self._ledger.attempts(message.key) + 1,
                        self.addresses.dlq_subject,
                    )
                except IndexError:
                    verdict.dead.clear()
                    verdict.partly.clear()
                    verdict.done.clear()
                    text = f"malformed answer: {message.id} has no event {events[-1].index}"
                    return Failed(Fault.ERROR, text)
                verdict.partly.append((message, letters))
            else:
                verdict.done.append(message)
        self._retry_each(retry, verdict, now)
        return answer

    def _retry_each(
        self, retry: Sequence[tuple[Message, str, float | None]], verdict: Verdict, now: float
    ) -> None:
        together: dict[float, list[Message]] = {}
        for message, reason, delay in retry:
            attempts = self._ledger.charge(message.key)
            if self._ledger.exhausted(message.key):
                verdict.dead.append((message, reason))
                continue
            wait = self._delay(attempts) if delay is None else delay
            together.setdefault(round(wait, 1), []).append(message)
        for wait, messages in together.items():
            self._put_off(Unit(messages), now + wait, charged=True)

    def _unavailable(self, unit: Unit, answer: Unavailable, now: float) -> None:
        at = self._pace.unavailable(now, answer.retry_after, random.random())  # noqa: S311
        if answer.reason != self._paused_by:  # once, however long it lasts
            log.warning("%s is unavailable: %s", self.spec.function, answer.reason)
        self._paused_by = answer.reason
        self._put_off(unit, at)

    def _failed(self, unit: Unit, answer: Failed | Rejected, verdict: Verdict, now: float) -> None:
        log.warning(
            "%s failed: %s",
            self.spec.function,
            answer.reason,
            extra={
                "messages": len(unit.messages),
                "first": unit.messages[0].id,
                "failures": unit.failures + 1,
            },
        )
        if isinstance(answer, Rejected):
            self._successes += 1  # it does answer
            self._pace.succeeded()
            step: Step[Message] = after_rejection(unit.messages)
            exclusive = unit.exclusive
        else:
            self._pace.failed(now, random.random())  # noqa: S311
            step = after_failure(unit.messages, unit.failures)
            if self._pace.troubled and not self._evidence(unit, answer):
                # everything fails, no matter what: splitting would only make work
                self._put_off(unit, now + self._delay(unit.failures + 1))
                return
            exclusive = unit.exclusive or answer.fault is not Fault.TIMEOUT
        match step:
            case RetryWhole(messages):
                attempts = max(self._ledger.charge(message.key) for message in messages)
                retry = Unit(messages, unit.failures + 1, exclusive, self._successes)
                self._put_off(retry, now + self._delay(attempts), charged=True)
            case Split(halves):
                for half in halves:
                    # suspects come first: the sooner the culprit is found, the better
                    self._put_off(Unit(half, unit.failures + 1, exclusive, unit.successes), now)
            case Alone(message):
                self._alone(unit, message, answer, verdict, now, exclusive)

    def _alone(
        self,
        unit: Unit,
        message: Message,
        answer: Failed | Rejected,
        verdict: Verdict,
        now: float,
        exclusive: bool,
    ) -> None:
        if isinstance(answer, Rejected):
            self._ledger.charge(message.key)
            verdict.dead.append((message, answer.reason))
            return
        charged = self._evidence(unit, answer)
        if charged:
            self._ledger.charge(message.key)
            if self._ledger.exhausted(message.key):
                verdict.dead.append((message, answer.reason))
                return
        retry = Unit(
            [message],
            unit.failures + 1,
            exclusive,
            self._successes if charged else unit.successes,
        )
        self._put_off(retry, now + self._delay(unit.failures + 1), charged=charged)

    def _evidence(self, unit: Unit, answer: Failed) -> bool:
        """Return whether a failure is the message's own and not the function's outage.

        A function that answers with an error speaks for itself. A broken connection or a timeout
        looks the same whether this message or something else is to blame: it counts where the
        function did other messages since, or where there are no others to tell by.
        """
        if answer.fault is Fault.ERROR:
            return True
        return self._successes > unit.successes or len(self._hand) <= FEW_IN_HAND

    def _delay(self, attempts: int) -> float:
        return self.spec.delivery.backoff.delay(attempts, random.random())  # noqa: S311

    def _put_off(self, unit: Unit, due: float, *, charged: bool = False) -> None:
        metrics.RETRIED.labels(*self._labels, "yes" if charged else "no").inc(len(unit.messages))
        heapq.heappush(self._later, (due, next(self._order), unit))
        self._later_events += unit.events
        self._notify()

    async def _carry_out(self, verdict: Verdict) -> None:
        now = time.monotonic()
        total = len(verdict.done) + len(verdict.partly) + len(verdict.dead)
        dead_parts = sum(len(letters) / m.events for m, letters in verdict.partly)
        dead = len(verdict.dead) + dead_parts
        await self._finish(verdict.done)
        if not total:
            return
        if not self._breaker.decide(total - dead, dead, now):
            held = [m for m, _ in verdict.dead] + [m for m, _ in verdict.partly]
            if held:
                self._put_off(Unit(held), self._breaker.opens_until)
            return
        if not dead:
            return
        letters = [letter for _, letters in verdict.partly for letter in letters]
        for message, reason in verdict.dead:
            attempts = max(self._ledger.attempts(message.key), 1)
            letters.append(whole(message, reason, attempts, self.addresses.dlq_subject))
        if not await self._publish_dead(letters):
            return
        for message, reason in verdict.dead:
            log.warning(
                "dead: %s",
                reason,
                extra={
                    "message_id": message.id,
                    "subject": message.subject,
                    "attempts": self._ledger.attempts(message.key),
                    "callId": message.headers.get(CALL_ID_HEADER, ""),
                },
            )
            self._dead.inc()
            self._dead_events.inc(message.events)
            self._ledger.forget(message.key)
        await self._hand.acknowledge(m for m, _ in verdict.dead)
        await self._finish_parts(verdict.partly)

    async def _finish(self, messages: Iterable[Message]) -> None:
        finished = [message for message in messages if message in self._hand]
        await self._hand.acknowledge(finished)
        self._done.inc(len(finished))
        self._done_events.inc(sum(message.events for message in finished))
        for message in finished:
            self._ledger.forget(message.key)

    async def _finish_parts(self, partly: Iterable[tuple[Message, list[DeadLetter]]]) -> None:
        for message, letters in partly:
            log.warning(
                "%d of %d events are dead",
                len(letters),
                message.events,
                extra={
                    "message_id": message.id,
                    "callId": message.headers.get(CALL_ID_HEADER, ""),
                },
            )
            self._dead_events.inc(len(letters))
            self._done_events.inc(message.events - len(letters))
            (self._dead if len(letters) == message.events else self._done).inc()
            self._ledger.forget(message.key)
            await self._hand.acknowledge([message])

    async def _publish_dead(self, letters: Sequence[DeadLetter]) -> bool:
        """Publish dead letters until they are safe; False if the binding stops before."""
        failures = 0
        while True:
            try:
                await self._dlq.publish(letters)
            except* (NatsError, OSError, TimeoutError) as errors:
                failures += 1
                log.error(
                    "%d dead letters are held, the dead-letter queue does not take them: %s",
                    len(letters),
                    errors.exceptions[0],
                )
            else:
                return True
            if self._stopping:
                return False
            with contextlib.suppress(BindError):  # somebody may have deleted it
                await self._ensure_dlq()
            await asyncio.sleep(DLQ_BACKOFF.delay(failures, random.random()))  # noqa: S311

    def _say_states(self, now: float) -> None:
        state = self._breaker.state(now)
        if state is not self._breaker_said:
            self._breaker_said = state
            level = logging.INFO if state is BreakerState.CLOSED else logging.ERROR
            log.log(
                level,
                "breaker of %s is %s%s",
                self.spec.function,
                state.name.lower(),
                "" if state is BreakerState.CLOSED else ": nearly everything turns out dead",
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
    return (
        only
        if only and "," not in only and only.isascii() and only.isprintable()
        else (new_call_id())
    )
