"""Makes the stored calls of one function, with the connector's consumer and dispatcher.

Each function has a durable consumer, so that a slow or broken function does not delay others. A
call is acknowledged when it is over and its callback has been made; a call that was in flight when
the platform was killed is made again: at least once.
"""

import asyncio
import logging
import time

import aiohttp
from prometheus_client import CollectorRegistry, Counter

from functions.common.backoff import Backoff
from functions.common.nats_client import NatsClient
from infra.connector.delivery.batcher import BatchLimits
from infra.connector.delivery.circuit_breaker import BreakerLimits, CircuitBreaker
from infra.connector.delivery.gate import Gate
from infra.connector.delivery.message import Delivery, Message
from infra.connector.delivery.pull_sizer import PullSizer
from infra.connector.delivery.queue import DeliveryQueue
from infra.connector.delivery.shared_limits import SharedLimits
from infra.connector.delivery.throttle import Throttle
from infra.connector.jetstream.consumer import Consumer, ConsumerTarget
from infra.connector.jetstream.dispatcher import Dispatcher
from infra.local.async_calls.call import AsyncCall, RetryRule
from infra.local.async_calls.callbacks import Callbacks
from infra.local.async_calls.caller import make_call
from infra.local.errors import AsyncCallError
from infra.local.functions.registry import Registry

logger = logging.getLogger(__name__)

ASYNC_CALLS = "ASYNC_CALLS"
ASYNC_CALLS_SUBJECT = "async.calls"
ACK_WAIT_SECONDS = 30.0
MAX_ACK_PENDING = 10_000
MAX_INFLIGHT_BYTES = 64 * 1024**2
DRAIN_TIMEOUT = 5.0
MAX_UNEXPECTED_ERRORS = 3
ERROR_BACKOFF = Backoff.exponential(2.0, 60.0, jitter=0.0)


class AsyncCallMetrics:
    """Counters of asynchronous calls."""

    def __init__(self, registry: CollectorRegistry) -> None:

        self.queued = Counter(
            "universe_async_calls_queued", "Calls stored.", ["function_name"], registry=registry
        )
        self.completed = Counter(
            "universe_async_calls_completed",
            "Calls that are over, by the last status.",
            ["function_name", "code"],
            registry=registry,
        )
        self.retried = Counter(
            "universe_async_calls_retried",
            "Attempts that failed.",
            ["function_name"],
            registry=registry,
        )
        self.callbacks = Counter(
            "universe_async_callbacks", "Callbacks by outcome.", ["outcome"], registry=registry
        )


class AsyncCallWorker:
    """Makes the calls of one function, a few at a time, until stopped."""

    def __init__(
        self,
        function: str,
        registry: Registry,
        metrics: AsyncCallMetrics,
        nc: NatsClient,
        session: aiohttp.ClientSession,
        callbacks: Callbacks,
        gateway_url: str,
    ) -> None:
        self._function = function
        self._registry = registry
        self._metrics = metrics
        self._session = session
        self._callbacks = callbacks
        self._gateway_url = gateway_url
        concurrency = registry.settings.async_concurrency
        target = ConsumerTarget(
            stream=ASYNC_CALLS,
            name=f"async-{function}",
            function=function,
            topics=(f"{ASYNC_CALLS_SUBJECT}.{function}",),
            ack_wait=ACK_WAIT_SECONDS,
            max_ack_pending=MAX_ACK_PENDING,
        )
        sizer = PullSizer(concurrency, MAX_INFLIGHT_BYTES)
        self._consumer = Consumer(nc, nc.jetstream(), target, sizer)
        one_by_one = BatchLimits(max_events=1, max_bytes=1, window=0.0, linger=0.0)
        self._dispatcher = Dispatcher(
            self._consumer,
            DeliveryQueue(one_by_one, concurrency),
            Gate(
                Throttle(ERROR_BACKOFF),
                CircuitBreaker(BreakerLimits()),  # never told to close
                SharedLimits(lambda: None, lambda: None),  # of this worker alone: none
            ),
            concurrency=concurrency,
            bind=self._consumer.ensure,
            deliver=self._deliver,
        )
        self._task = asyncio.create_task(self._dispatcher.run(DRAIN_TIMEOUT))

    async def stop(self) -> None:
        """Pull no more calls, finish those in flight or return them to the stream."""
        self._dispatcher.stop()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _deliver(self, delivery: Delivery) -> None:
        """Make one call, and acknowledge its message or return it for another attempt."""
        (message,) = delivery.messages
        try:
            delay = await self._attempt(message)
        except Exception:
            logger.exception("unexpected error in an asynchronous call of %s", self._function)
            exhausted = message.delivered >= MAX_UNEXPECTED_ERRORS
            delay = None if exhausted else ERROR_BACKOFF.delay(message.delivered)
        if delay is None:
            await self._consumer.inflight.ack([message])
        else:
            await self._consumer.inflight.nak([message], delay)

    async def _attempt(self, message: Message) -> float | None:
        """Make one attempt; return the seconds until the next one, or None if it was the last."""
        try:
            call = AsyncCall.decode(message.data)
        except AsyncCallError as error:
            logger.error("dropping an asynchronous call of %s: %s", self._function, error)
            return None
        function = self._registry.find(self._function)
        rule = RetryRule.read(function.version.deployment.annotations if function else {})
        started_at = time.time()
        response = await make_call(self._session, self._gateway_url, call)
        status, attempt = response.status, message.delivered
        # a function that is missing may be deployed later: the platform may have just started
        failed = status in rule.codes or function is None
        if failed and attempt < rule.attempts:
            self._metrics.retried.labels(self._function).inc()
            return rule.wait(attempt)
        self._metrics.completed.labels(self._function, str(status)).inc()
        logger.log(
            logging.ERROR if failed else logging.INFO,
            "asynchronous call of %s: status %d after %d attempts",
            self._function,
            status,
            attempt,
            extra={"callId": call.call_id},
        )
        if call.callback_url:
            outcome = await self._callbacks.post(call, response, started_at)
            self._metrics.callbacks.labels(outcome).inc()
        return None
