"""The loop that turns the messages of a consumer into deliveries."""

import asyncio
import contextlib
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from nats.errors import Error as NatsError

from functions.common.backoff import Backoff
from functions.common.log_on_change import LogOnChange
from infra.connector.cancel import cancel_all
from infra.connector.delivery.gate import Gate
from infra.connector.delivery.message import Delivery, Message
from infra.connector.delivery.pause import Pause
from infra.connector.delivery.queue import DeliveryQueue
from infra.connector.errors import BindError
from infra.connector.jetstream.consumer import Consumer
from infra.connector.jetstream.turn import Turn

logger = logging.getLogger(__name__)

BIND_BACKOFF = Backoff.exponential(0.5, 10.0)
REQUEUE_DELAY_SECONDS = 5.0
MIN_RELEASE_DELAY_SECONDS = 2.0
"""Retries that are due later than this may be returned to the stream meanwhile."""
MAX_WAIT_SECONDS = 1.0
IDLE_WAIT_SECONDS = 10.0
"""With nothing in flight and a pull request at the server: then only a lost request is noticed."""


class Dispatcher:
    """Pulls messages, makes deliveries of them, and runs these concurrently until stopped.

    What a delivery does with its messages is not decided here: `deliver` acknowledges them with
    `consumer.inflight`, returns them to the stream, or calls `retry_at`.
    """

    def __init__(
        self,
        consumer: Consumer,
        queue: DeliveryQueue,
        gate: Gate,
        *,
        concurrency: int,
        bind: Callable[[], Awaitable[None]],
        deliver: Callable[[Delivery], Awaitable[None]],
        pause: Callable[[], Pause | None] = lambda: None,
        accept: Callable[[Message], bool] = lambda _: True,
        discard: Callable[[list[Message]], Awaitable[None]] | None = None,
        turn: Turn | None = None,
    ) -> None:
        """Make a dispatcher.

        Args:
            consumer: where messages come from.
            queue: which messages are delivered next.
            gate: whether an invocation may start.
            concurrency: deliveries that run at the same time.
            bind: makes the consumer and whatever else `deliver` needs; raises `BindError`.
            deliver: delivers messages; returns when they are acknowledged, returned or requeued.
            pause: returns what keeps deliveries from being started.
            accept: returns whether a message is delivered.
            discard: ends the others; by default they are acknowledged.
            turn: whether this connector may deliver, where only one may; None: it may.
        """
        self.fault: str | None = "not bound yet"
        """Why no messages are pulled; None while bound."""
        self.concurrency = concurrency
        """Deliveries that may run at the same time."""
        self.stopping = False
        self.running: dict[asyncio.Task[None], Delivery] = {}
        self.cut = False
        """Whether deliveries were cancelled at the end."""
        self.consumer = consumer
        self._queue = queue
        self._gate = gate
        self._bind = bind
        self._deliver = deliver
        self._pause = pause
        self._accept = accept
        self._discard = discard or consumer.inflight.ack
        self._unwanted: list[Message] = []
        self._turn = turn
        self._returning = False
        self._rebind = False
        self._patient = False
        self._exclusive: Delivery | None = None
        self._wake = asyncio.Event()
        self._changes = LogOnChange(logger, logging.ERROR)

    async def run(self, drain_timeout: float) -> None:
        """Deliver messages until `stop` is called, then drain.

        Args:
            drain_timeout: seconds that running deliveries get to finish after `stop`.
        """
        try:
            await self.consumer.start(self._receive, self._wake.set)
            while not self.stopping:
                must_bind = self._rebind or self.fault is not None
                if must_bind and not await self._bind_until_stopped():
                    continue
                now = time.monotonic()
                await self._discard_unwanted()
                if self._turn:
                    await self._keep_turn(self._turn, now)
                else:
                    await self._release_delayed(now)
                returned, self._returning = self._returning, self._must_return()
                if (returned or self._returning) and len(self.consumer.inflight):
                    await self._return_waiting()
                self._start_deliveries(now)
                await self._pull(now)
                self.consumer.re_ack_after_reconnect()
                await self._wait(now)
            await self._drain(drain_timeout)
        finally:
            self.consumer.close()

    def stop(self, *, patient: bool = False) -> None:
        """Let `run` drain and return.

        Args:
            patient: whether running deliveries may take as long as they need, until this is called
                once more without.
        """
        self.stopping = True
        self._patient = patient
        self._wake.set()

    def wake(self) -> None:
        """Look again for what there is to do."""
        self._wake.set()

    def rebind(self) -> None:
        """Bind anew, since the consumer that is wanted has changed; deliveries go on."""
        self._rebind = True
        self._wake.set()

    def retry_at(self, delivery: Delivery, due: float) -> None:
        """Deliver messages again from the time `due` on."""
        self._queue.retry_at(delivery, due)
        self._wake.set()

    def end_exclusive(self, delivery: Delivery) -> None:
        """Let other deliveries start, if this one is exclusive: its invocation has ended."""
        if self._exclusive is delivery:
            self._exclusive = None

    async def _bind_until_stopped(self) -> bool:
        """Bind, however long it takes; return False if stopped before."""
        target = self.consumer.target
        failures = 0
        while not self.stopping:
            self._rebind = False
            try:
                await self._bind()
            except (BindError, NatsError, OSError, ValueError) as error:
                self.fault = str(error) or type(error).__name__
                self._changes.log("bind", f"cannot bind {target.function}: {self.fault}")
                failures += 1
                await self._sleep(BIND_BACKOFF.delay(failures, random.random()))  # noqa: S311
            else:
                self.fault = None
                self._changes.recovered("bind")
                topics = ", ".join(target.topics)
                logger.info("bound %s to %s of stream %s", target.function, topics, target.stream)
                return True
        return False

    async def _drain(self, limit: float) -> None:
        inflight = self.consumer.inflight
        await self.consumer.stop_pulling()
        await self._discard_unwanted()
        await self._return_waiting()
        ends = math.inf
        while self.running and (now := time.monotonic()) < ends:
            if not self._patient:
                ends = min(ends, now + limit)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), min(ends - now, MAX_WAIT_SECONDS))
            self._wake.clear()
            await self._return_waiting()
        self.cut = bool(self.running)
        await cancel_all(self.running)
        await inflight.nak(inflight.all())
        await inflight.flush_acks()

    def _must_return(self) -> bool:
        """Return whether what waits goes back to the stream: others have all calls, or nobody."""
        if self._turn:
            # not by a pause: the stream would not give it back in order
            lost = not self._turn.owned(time.monotonic())
        else:
            lost = self._gate.shared.part() == 0 or self._pause() is not None
        if lost:
            return True
        # other parts of a message that is being delivered in parts went away: so does the message
        return self._returning and any(
            message.parent for delivery in self.running.values() for message in delivery.messages
        )

    async def _return_waiting(self) -> None:
        """Return the messages that are not being delivered to the stream."""
        self._queue.clear()
        if self._turn and not self.stopping:  # when stopping, no delivery starts any more
            self._turn.count_again()
        delivering = {
            message.top.key for delivery in self.running.values() for message in delivery.messages
        }
        inflight = self.consumer.inflight
        await inflight.nak(m for m in inflight.all() if m.key not in delivering)

    # Pulling and waiting

    def _receive(self, message: Message, more_to_come: bool) -> None:
        if not self._accept(message):
            self._unwanted.append(message)
            self._wake.set()
        elif self._queue.add(message, time.monotonic(), more_to_come=more_to_come):
            self._wake.set()

    async def _discard_unwanted(self) -> None:
        if self._unwanted:
            unwanted, self._unwanted = self._unwanted, []
            await self._discard(unwanted)

    async def _pull(self, now: float) -> None:
        if refused := self.consumer.refused:
            self.fault = str(refused)
        elif self.consumer.missing:
            self.fault = f"the consumer {self.consumer.target.name} does not exist any more"
            logger.warning("%s: %s", self.consumer.target.function, self.fault)
        elif not self.stopping and self._may_pull(now):
            await self.consumer.pull(now, failing=self._gate.failing)

    def _may_pull(self, now: float) -> bool:
        if self._turn and not self._turn.may_pull(now):
            return False
        pause = self._pause()
        # a server that is resumed sends what it was asked for before
        return self._gate.shared.calls() != 0 and (pause is None or pause.in_nats)

    async def _release_delayed(self, now: float) -> None:
        """Return messages that wait long for a retry while they take the room of others."""
        crowded = self._queue.events_awaiting_retry * 2 >= self.consumer.sizer.max_events
        if crowded and self._gate.open(now):
            await self._nak(self._queue.release_delayed(now, MIN_RELEASE_DELAY_SECONDS))

    async def _nak(self, released: Iterable[tuple[Delivery, float]]) -> None:
        for delivery, delay in released:
            await self.consumer.inflight.nak(delivery.messages, delay)

    async def _keep_turn(self, turn: Turn, now: float) -> None:
        """Return messages to the stream that have to wait and would take all room."""
        if not turn.complete:
            if self.consumer.full:
                await self._nak(self._queue.release_all(now))
        elif self.consumer.full and self._gate.open(now):
            await self._nak(self._queue.release_delayed(now, MIN_RELEASE_DELAY_SECONDS))

    async def _wait(self, now: float) -> None:
        """Wait until there may be something to do."""
        idle = self.consumer.idle and not self._gate.shared.active
        until = now + (IDLE_WAIT_SECONDS if idle else MAX_WAIT_SECONDS)
        may_start = self._turn is None or self._turn.may_start(now)
        if may_start and len(self.running) < self.concurrency:
            next_at = self._queue.next_at(busy=bool(self.running))
            if next_at is not None:
                until = min(until, max(next_at, self._gate.resume_at))
        pause = until - time.monotonic()
        if pause <= 0 and self.running:
            pause = MAX_WAIT_SECONDS  # waits for a running delivery, whose end sets the event
        if pause > 0 and not self._wake.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)
        else:
            await asyncio.sleep(0)
        self._wake.clear()

    async def _sleep(self, seconds: float) -> None:
        """Sleep until the time is over, or `stop` or `rebind` is called."""
        until = time.monotonic() + seconds
        while not (self.stopping or self._rebind) and (left := until - time.monotonic()) > 0:
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), left)
            except TimeoutError:
                return

    # Delivering

    def _start_deliveries(self, now: float) -> None:
        while delivery := self._next_delivery(now):
            task = asyncio.create_task(self._run(delivery))
            self.running[task] = delivery
            self._gate.shared.started(len(delivery.messages), now)
            if delivery.exclusive:
                self._exclusive = delivery
            task.add_done_callback(self._ended)

    def _next_delivery(self, now: float) -> Delivery | None:
        running = len(self.running)
        if (
            running >= self.concurrency
            or self._exclusive is not None
            or self._returning
            or self._pause() is not None
            or not self._gate.may_invoke(now, running)
            or not (self._turn is None or self._turn.may_start(now))
        ):
            return None
        return self._queue.take(now, busy=running > 0, one=self._gate.trial(now))

    async def _run(self, delivery: Delivery) -> None:
        started = time.monotonic()
        try:
            await self._deliver(delivery)
        except Exception:
            logger.exception("unexpected error in delivery; messages requeued")
            inflight = self.consumer.inflight
            left = [message for message in delivery.messages if message.top in inflight]
            if left:
                again = replace(delivery, messages=left)
                self._queue.retry_at(again, time.monotonic() + REQUEUE_DELAY_SECONDS)
        finally:
            now = time.monotonic()
            self._queue.invoked(delivery, now - started, now)
            self.end_exclusive(delivery)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self.running[task]
        self._gate.shared.ended(len(self.running))
        self._wake.set()
