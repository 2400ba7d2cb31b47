"""One function bound to one stream: delivers its messages and applies the function's responses."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from functions.common.backoff import Backoff
from functions.common.correlation import CALL_ID, CALL_ID_HEADER, new_call_id, trace_id
from infra.connector import metrics
from infra.connector.bindings.charges import SharedAttempts
from infra.connector.bindings.explanation import NextRetry, Situation, explain
from infra.connector.bindings.observer import BindingObserver
from infra.connector.bindings.order import (
    OrderState,
    order_state,
    show_order,
    too_early,
)
from infra.connector.bindings.spec import BindingSpec
from infra.connector.cancel import cancel_all
from infra.connector.delivery.attempts import AttemptCounter
from infra.connector.delivery.batcher import BatchLimits
from infra.connector.delivery.bisect import halves
from infra.connector.delivery.circuit_breaker import BreakerLimits, CircuitBreaker
from infra.connector.delivery.gate import Gate
from infra.connector.delivery.message import Delivery, Message, MessageKey
from infra.connector.delivery.ordered_queue import OrderedQueue, halve_by_lane
from infra.connector.delivery.pause import Pause, current_pause
from infra.connector.delivery.pull_sizer import PullSizer
from infra.connector.delivery.queue import DeliveryQueue
from infra.connector.delivery.response import Failed, Rejected, Response, Success, Unavailable
from infra.connector.delivery.retry_policy import DUE_IMMEDIATELY, RetryDecision, RetryPolicy
from infra.connector.delivery.shared_limits import Place, SharedLimits
from infra.connector.delivery.throttle import Throttle
from infra.connector.dlq.outcome import Outcome, OutcomeHandler
from infra.connector.dlq.publisher import DeadLetterPublisher
from infra.connector.errors import BindError
from infra.connector.http.cloudevents import delivery_count
from infra.connector.http.invoker import Invoker
from infra.connector.jetstream.ack_memory import AckMemory
from infra.connector.jetstream.attempt_store import AttemptStore
from infra.connector.jetstream.consumer import Consumer, ConsumerTarget
from infra.connector.jetstream.dispatcher import Dispatcher
from infra.connector.jetstream.lease import Lease
from infra.connector.jetstream.result_publisher import ResultPublisher
from infra.connector.jetstream.turn import Turn
from infra.connector.openfaas.presence import Presence

OUTAGE_BACKOFF = Backoff.exponential(0.25, 5.0)
MIN_CAPACITY_EVENTS = 64
"""Events that may be in flight at least, so that small batches do not wait for the network."""


class Binding:
    """Delivers the messages of one stream to one function until it is stopped."""

    def __init__(
        self,
        spec: BindingSpec,
        target: ConsumerTarget,
        dead_letters: DeadLetterPublisher,
        nc: Client,
        js: JetStreamContext,
        invoker: Invoker,
        breaker_limits: BreakerLimits,
        memory: AckMemory,
        presence: Presence,
        identity: str,
    ) -> None:
        """Make a binding; nothing happens before `run`.

        Args:
            spec: what the function wants.
            target: the durable consumer.
            dead_letters: publishes dead messages.
            nc: the connection.
            js: the connection's JetStream context.
            invoker: invokes the function.
            breaker_limits: when delivery stops because nearly every message is dead.
            memory: remembers acknowledgements.
            presence: the other connectors.
            identity: names this binding among those of all connectors.
        """
        options = spec.options
        self.shared_consumer = shared_consumer = f"{target.stream}/{target.name}"
        """What other connectors know the consumer by."""
        self._shared = SharedLimits(
            # in order, one connector makes all the calls
            lambda: Place(0, 1) if options.order_by else presence.place(shared_consumer),
            presence.hurry,
            max_calls=options.max_concurrency,
            rate=options.rate,
        )
        self._attempts = attempts = AttemptCounter[MessageKey](options.max_deliver)
        self.spec = spec
        self.consumer = Consumer(nc, js, target, PullSizer(*self._capacity()), memory)
        self._inflight = self.consumer.inflight
        self._invoker = invoker
        self._dead_letters = dead_letters
        limits = self._batch_limits()
        self._queue = DeliveryQueue(limits, options.concurrency)
        self._order: tuple[OrderedQueue, Turn] | None = None
        if options.order_by:
            self._queue = queue = OrderedQueue(limits, options.concurrency, options.order_by)
            lease = Lease(
                nc,
                js,
                target.stream,
                target.name,
                identity,
                busy=lambda: self._timeout,
                ack_wait=lambda: self._inflight.ack_wait,
            )
            self._order = queue, Turn(lease, self.consumer, queue)
            show_order((spec.function, target.stream), *self._order)
        self._gate = Gate(Throttle(OUTAGE_BACKOFF), CircuitBreaker(breaker_limits), self._shared)
        store = AttemptStore(nc, js, target.stream, target.name)
        self._shared_attempts = SharedAttempts(attempts, store)
        self._results = ResultPublisher(
            nc,
            js,
            (spec.function, target.stream),
            target.name,
            options.result_topic,
            options.error_topic,
        )
        self._policy = RetryPolicy(
            attempts,
            self._gate.throttle,
            self._gate.limit,
            options.backoff,
            halve_delivery=halve_by_lane if self._order else halves,
        )
        self._outcomes = OutcomeHandler(
            (spec.function, target.stream),
            self._inflight,
            attempts,
            self._gate.breaker,
            dead_letters,
            self._results,
            publish_again=self._publish_again,
        )
        self._dispatcher = Dispatcher(
            self.consumer,
            self._queue,
            self._gate,
            concurrency=options.concurrency,
            bind=self._bind,
            deliver=self._deliver,
            pause=self.pause,
            accept=self._accept,
            discard=self._discard,
            turn=self._order[1] if self._order else None,
        )
        self._observer = BindingObserver(
            spec.function, target.stream, self._inflight, self._dispatcher.running, self._gate
        )
        metrics.OLDEST_WAITING.labels(spec.function, target.stream).set_function(
            lambda: self.consumer.oldest_seconds() or 0.0
        )
        metrics.DELIVERY_PAUSED.labels(spec.function, target.stream).set_function(
            lambda: (2 if pause.in_nats else 1) if (pause := self.pause()) else 0
        )
        self._was_paused = False
        self._started: dict[int, float] = {}
        self._filtered = 0

    @property
    def fault(self) -> str | None:
        """Why the function is not bound, or a message of it held; None while neither is so."""
        return self._dispatcher.fault or self._dead_letters.fault

    def pause(self) -> Pause | None:
        """Return the pause of the function; None while it is not paused."""
        return current_pause(
            self.spec.options.paused_until - time.time(),
            self.consumer.paused_until - time.monotonic(),
        )

    async def measured(self) -> None:
        """Look whether the consumer has been paused or resumed in NATS, as its `lag` tells."""
        paused = self.pause() is not None
        if paused != self._was_paused:
            self._was_paused = paused
            self._dispatcher.wake()
            if not paused:
                await self.consumer.resumed()

    @property
    def _timeout(self) -> float:
        return self.spec.options.timeout

    async def run(self, drain_timeout: float) -> None:
        """Deliver messages until `stop` is called, then drain.

        Args:
            drain_timeout: seconds that running invocations get to finish after `stop`.
        """
        if self._order is None:
            await self._dispatcher.run(drain_timeout)
            return
        turn = self._order[1]
        keeping = asyncio.create_task(turn.run(self._dispatcher.wake))
        try:
            await self._dispatcher.run(drain_timeout)
        finally:
            await cancel_all((keeping,))
            await turn.lease.release(self._timeout if self._dispatcher.cut else 0.0)

    def change(self, spec: BindingSpec, target: ConsumerTarget, invoker: Invoker) -> None:
        """Deliver in another way from now on; running invocations end as they began.

        Args:
            spec: what the function wants now, of the same function and stream.
            target: what the same durable consumer is to be now.
            invoker: invokes the function.
        """
        options = spec.options
        self.spec = spec
        self._invoker = invoker
        self._attempts.max_deliver = options.max_deliver
        self._policy.backoff = options.backoff
        self._shared.max_calls, self._shared.rate = options.max_concurrency, options.rate
        self._dispatcher.concurrency = options.concurrency
        self.others_changed()
        moved = self._results.change(options.result_topic, options.error_topic)
        if self.consumer.change(target) or moved:
            self._dispatcher.rebind()

    def others_changed(self) -> None:
        """Take what is this connector's part of the limits now."""
        self._queue.change(self._batch_limits(), self.spec.options.concurrency)
        self.consumer.sizer.resize(*self._capacity())
        self._dispatcher.wake()

    def announce(self) -> int:
        """Return how many calls may be running here, where calls are limited, for the others."""
        calls = self._shared.announce(len(self._dispatcher.running))
        if self._shared.active:
            self.others_changed()  # where this connector stands is known some time after them
        return calls

    def stop(self, *, patient: bool = False) -> None:
        """Let `run` drain and return.

        Args:
            patient: whether running invocations may take as long as they need, until this is called
                once more without.
        """
        self._dispatcher.stop(patient=patient)

    def describe(self) -> dict[str, object]:
        """Return the state, for `/bindings`."""
        pause = self.pause()
        return {
            "function": self.spec.function,
            "topics": list(self.spec.topics),
            "stream": self.consumer.target.stream,
            "consumer": self.consumer.target.name,
            "batch": self.spec.options.batch,
            "messagesInFlight": len(self._inflight),
            "eventsInFlight": self._inflight.events,
            "bytesInFlight": self._inflight.size,
            "invocations": len(self._dispatcher.running),
            "eventsAwaitingRetry": self._queue.events_awaiting_retry,
            "breaker": self._gate.breaker.state(time.monotonic()).name.lower(),
            "filter": str(filter_) if (filter_ := self.spec.options.filter) else None,
            "messagesFiltered": self._filtered,
            "maxConcurrency": self.spec.options.max_concurrency,
            "rate": self.spec.options.rate,
            "connectors": self._shared.connectors(),
            "ownPart": self._shared.part(),
            "concurrencyLimit": self._gate.limit.value,
            "unavailable": not self._gate.throttle.healthy,
            "paused": {"by": pause.by, "until": pause.until(time.time())} if pause else None,
            "fault": self.fault,
            "lag": self.consumer.last_lag,
            "resultTopic": self.spec.options.result_topic,
            "errorTopic": self.spec.options.error_topic,
            "order": order.describe() if (order := self._order_state()) else None,
            "explanation": explain(self._situation()),
        }

    def _situation(self) -> Situation:
        now = time.monotonic()
        options, observer, gate = self.spec.options, self._observer, self._gate
        succeeded_at = observer.succeeded_at
        return Situation(
            function=self.spec.function,
            topics=self.spec.topics,
            stream=self.consumer.target.stream,
            consumer=self.consumer.target.name,
            batch=options.batch,
            fault=self.fault,
            lag=self.consumer.last_lag,
            oldest_seconds=self.consumer.oldest_seconds(),
            pause=self.pause(),
            inflight=len(self._inflight),
            running=[now - started for started in self._started.values()],
            concurrency=options.concurrency,
            timeout=options.timeout,
            failures=observer.failures,
            last_failure=observer.last_failure,
            last_failure_seconds=now - observer.failed_at,
            last_success_seconds=None if succeeded_at is None else now - succeeded_at,
            breaker=gate.breaker.state(now),
            unavailable=not gate.throttle.healthy,
            resume_seconds=gate.held_until - now,
            retries=self._queue.retries,
            next_retry=self._next_retry(now),
            max_deliver=options.max_deliver,
            result_topic=options.result_topic,
            error_topic=options.error_topic,
            held_back=self._outcomes.held_back,
            limit=gate.limit.value,
            max_concurrency=options.max_concurrency,
            own_part=self._shared.part(),
            rate=options.rate,
            filtered=self._filtered if options.filter else None,
            order=self._order_state(),
        )

    def _order_state(self) -> OrderState | None:
        return order_state(*self._order, time.monotonic()) if self._order else None

    def _next_retry(self, now: float) -> NextRetry | None:
        if self._queue.next_retry is None:
            return None
        due, delivery = self._queue.next_retry
        first = delivery.messages[0]
        return NextRetry(
            first.id,
            len(delivery.messages),
            due - now,
            self._attempts.count(first.key),
            delivery_count(first) - (0 if first.calls else 1),
        )

    async def _bind(self) -> None:
        await self._dead_letters.ensure_stream()
        await self._results.ensure()
        await self.consumer.ensure()

    def _accept(self, message: Message) -> bool:
        """Return whether a message is delivered; what is replayed is, whatever the filter says."""
        wanted = self.spec.options.filter
        return wanted is None or self.spec.redrive_of is not None or wanted.matches(message)

    async def _discard(self, messages: list[Message]) -> None:
        """Acknowledge messages that the filter keeps from the function."""
        self._filtered += len(messages)
        self._observer.filtered(messages)
        await self._inflight.ack(messages)

    async def _deliver(self, delivery: Delivery) -> None:
        """Invoke the function with messages, and do what follows from its response."""
        invoker = self._invoker
        if len(delivery.messages) > 1 and not invoker.batch:
            # they were put together when the function still took batches
            for message in delivery.messages:
                self._dispatcher.retry_at(Delivery([message]), DUE_IMMEDIATELY)
            return
        if exhausted := await self._shared_attempts.recall(delivery.messages):
            delivery = await self._without(exhausted, delivery)
            if not delivery.messages:
                return
        self._observer.check_state(time.monotonic())
        call_id = _shared_call_id(delivery.messages)
        CALL_ID.set(call_id)
        for message in delivery.messages:
            message.calls += 1
        self._started[id(delivery)] = time.monotonic()
        try:
            invocation = await invoker.invoke(delivery.messages, call_id)
        finally:
            del self._started[id(delivery)]
        # what follows may take long, and does not have to block other deliveries
        self._dispatcher.end_exclusive(delivery)
        self._observer.invoked(delivery, invocation)
        await self._handle_response(delivery, invocation.response)
        self._observer.check_state(time.monotonic())

    async def _handle_response(self, delivery: Delivery, response: Response) -> None:
        now = time.monotonic()
        outcome = Outcome()
        decision = RetryDecision()
        if isinstance(response, Success):
            early = too_early(delivery.messages, response) if self._order else []
            in_turn = _without(delivery.messages, early) if early else delivery.messages
            interpreted = self._outcomes.interpret(in_turn, response)
            if isinstance(interpreted, Failed):
                response = interpreted
            else:
                outcome, requests = interpreted
                if self._order:
                    self._order[0].wait_again(early)
                self._policy.succeeded()
                calls, most = len(self._started) + 1, self.spec.options.concurrency
                self._gate.limit.succeeded(calls, most, now)
                decision = self._policy.retry_requested(requests, now)
        match response:
            case Unavailable():
                self._observer.unavailable(response)
                decision = self._policy.unavailable(
                    delivery, response, now, others=len(self._started)
                )
            case Failed():
                self._observer.failed(delivery, response)
                decision = self._policy.failed(delivery, response, len(self._inflight), now)
            case Rejected():
                self._observer.failed(delivery, response)
                decision = self._policy.rejected(delivery, response, now)
            case Success():
                pass
        if not isinstance(response, Rejected):  # which is dead at once
            await self._shared_attempts.share(delivery.messages)
        outcome.dead += decision.dead
        held = await self._outcomes.apply(outcome, now)
        for retry in decision.retries:
            self._retry_at(retry.delivery, retry.due, charged=retry.charged)
        for message, delay in decision.deferred:
            await self._defer(message, delay, now)
        if held:
            self._retry_at(Delivery(held), self._gate.breaker.open_until)

    async def _without(self, exhausted: Sequence[Message], delivery: Delivery) -> Delivery:
        """Dead-letter messages that have no attempt left; return the delivery of the others."""
        reason = f"its {self._attempts.max_deliver} attempts were used up before"
        outcome = Outcome(dead=[(message, reason) for message in exhausted])
        if held := await self._outcomes.apply(outcome, time.monotonic()):
            self._retry_at(Delivery(held), self._gate.breaker.open_until)
        left = _without(delivery.messages, exhausted)
        return replace(delivery, messages=left)

    async def _defer(self, message: Message, delay: float, now: float) -> None:
        """Return a message to the stream, where it takes no room of others until it is due."""
        self._observer.deferred()
        if message.parent is None and self._order is None:
            await self._inflight.nak([message], delay)
        else:  # the stream does not know a part of a message, and later ones may wait for it here
            self._retry_at(Delivery([message]), now + delay)

    def _retry_at(self, delivery: Delivery, due: float, *, charged: bool = False) -> None:
        self._observer.retried(delivery, charged=charged)
        self._dispatcher.retry_at(delivery, due)

    async def _publish_again(self) -> bool:
        """Create the dead-letter stream if it is missing; return whether to publish again.

        The streams of results are others': one that is missing is waited for.
        """
        if self._dispatcher.stopping:
            return False
        try:
            await self._dead_letters.ensure_stream()
        except (BindError, NatsError, OSError) as error:
            self._dead_letters.fault = f"dead messages are held: {error or type(error).__name__}"
        with contextlib.suppress(BindError, NatsError, OSError):
            await self._results.ensure()
        return True

    def _batch_limits(self) -> BatchLimits:
        options = self.spec.options
        if options.batch:
            return BatchLimits(
                options.batch_size,
                options.batch_bytes,
                options.batch_window,
                min_events=options.batch_min,
                max_messages=self._shared.messages(),
            )
        return BatchLimits(max_events=1, max_bytes=1, window=0.0, linger=0.0)

    def _capacity(self) -> tuple[int, int]:
        """Return how many events and bytes may be in flight."""
        options, part = self.spec.options, self._shared.part()
        calls = options.concurrency if part is None else min(options.concurrency, part)
        return (
            max(self._batch_limits().max_events * (calls + 1), MIN_CAPACITY_EVENTS),
            options.batch_bytes * (calls + 1),
        )


def _without(messages: Sequence[Message], others: Iterable[Message]) -> list[Message]:
    apart = set(others)
    return [message for message in messages if message not in apart]


def _shared_call_id(messages: Sequence[Message]) -> str:
    """Return the correlation id that all messages have in common, or a new one."""
    ids = {
        message.headers.get(CALL_ID_HEADER)
        or ((trace := message.lower_headers.get("traceparent")) and trace_id(trace))
        or ""
        for message in messages
    }
    only = ids.pop() if len(ids) == 1 else ""
    usable = only and "," not in only and only.isascii() and only.isprintable()
    return only if usable else new_call_id()
