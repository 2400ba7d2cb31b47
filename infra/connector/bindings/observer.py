"""What one binding reports: its metrics, log lines and state."""

import asyncio
import logging
import time
from collections.abc import Collection, Sequence

from functions.common.log_on_change import LogOnChange
from infra.connector import metrics
from infra.connector.delivery.circuit_breaker import BreakerState
from infra.connector.delivery.gate import Gate
from infra.connector.delivery.message import Delivery, Message
from infra.connector.delivery.response import Failed, Rejected, Success, Unavailable, summary
from infra.connector.http.invoker import Invocation
from infra.connector.jetstream.inflight import InFlightMessages

logger = logging.getLogger(__name__)


class BindingObserver:
    """Reports on the deliveries of one function from one stream."""

    def __init__(
        self,
        function: str,
        stream: str,
        inflight: InFlightMessages,
        running: Collection[asyncio.Task[None]],
        gate: Gate,
    ) -> None:
        """Make an observer, whose gauges are read when they are scraped.

        Args:
            function: the function.
            stream: the stream.
            inflight: the messages in flight.
            running: the deliveries that are running.
            gate: what holds invocations back.
        """
        self._function = function
        self._inflight = inflight
        self._gate = gate
        self.failures = 0
        """Calls that failed since the last success."""
        self.last_failure = ""
        """How the last failed call ended; empty if none has failed."""
        self.failed_at = 0.0
        """When that was, on a monotonic clock."""
        self.succeeded_at: float | None = None
        """When a call succeeded last, on a monotonic clock; None if none has."""
        self._changes = LogOnChange(logger)
        labels = self._labels = (function, stream)
        self._batch_events = metrics.BATCH_EVENTS.labels(*labels)
        self._batch_bytes = metrics.BATCH_BYTES.labels(*labels)
        gauges = {
            metrics.INFLIGHT_MESSAGES: lambda: len(inflight),
            metrics.INFLIGHT_EVENTS: lambda: inflight.events,
            metrics.INFLIGHT_BYTES: lambda: inflight.size,
            metrics.INFLIGHT_INVOCATIONS: lambda: len(running),
            metrics.OLDEST_INFLIGHT: self._oldest_seconds,
            metrics.BREAKER: lambda: gate.breaker.state(time.monotonic()).value,
            metrics.CONCURRENCY_LIMIT: lambda: gate.limit.value or 0,
            metrics.PAUSED: lambda: 0 if gate.throttle.healthy else 1,
        }
        for gauge, value in gauges.items():
            gauge.labels(*labels).set_function(value)

    def invoked(self, delivery: Delivery, invocation: Invocation) -> None:
        """Report an invocation."""
        response = invocation.response
        kind = type(response).__name__.lower()
        if isinstance(response, Success):
            self.failures, self.succeeded_at = 0, time.monotonic()
        else:
            self._record_failure(summary(response))
        self._batch_events.observe(delivery.events)
        self._batch_bytes.observe(invocation.size)
        metrics.INVOCATION.labels(*self._labels, kind).observe(invocation.seconds)
        logger.debug(
            "invoked %s",
            self._function,
            extra={
                "messages": len(delivery.messages),
                "events": delivery.events,
                "seconds": round(invocation.seconds, 6),
                "response": kind,
            },
        )

    def _record_failure(self, reason: str) -> None:
        self.failures += 1
        self.last_failure, self.failed_at = reason, time.monotonic()

    def failed(self, delivery: Delivery, response: Failed | Rejected) -> None:
        """Report that an invocation failed."""
        logger.warning(
            "%s failed: %s",
            self._function,
            summary(response),
            extra={
                "messages": len(delivery.messages),
                "first": delivery.messages[0].id,
                "failures": delivery.failures + 1,
            },
        )

    def unavailable(self, response: Unavailable) -> None:
        """Report that the function is unavailable: once, however long that lasts."""
        if response.unauthorized:
            text = f"{self._function} refuses the connector; messages wait: {response.reason}"
            self._changes.log("function", text, level=logging.ERROR)
        elif response.busy:
            text = f"{self._function} refuses more calls at the same time: {summary(response)}"
            self._changes.log("busy", text, level=logging.INFO)
        else:
            self._changes.log("function", f"{self._function} is unavailable: {summary(response)}")

    def retried(self, delivery: Delivery, *, charged: bool) -> None:
        """Report that messages are delivered again."""
        label = "yes" if charged else "no"
        metrics.RETRIED.labels(*self._labels, label).inc(len(delivery.messages))

    def filtered(self, messages: Sequence[Message]) -> None:
        """Report that messages are acknowledged without having been delivered."""
        metrics.FILTERED.labels(*self._labels).inc(len(messages))
        metrics.FILTERED_EVENTS.labels(*self._labels).inc(sum(each.events for each in messages))

    def deferred(self) -> None:
        """Report that the function defers a message."""
        metrics.DEFERRED.labels(*self._labels).inc()

    def check_state(self, now: float) -> None:
        """Log what has changed: the breaker's state, and whether the function is available."""
        state = self._gate.breaker.state(now)
        if state is BreakerState.CLOSED:
            self._changes.recovered("breaker", f"breaker of {self._function} is closed")
        else:
            self._changes.log(
                "breaker",
                f"breaker of {self._function} is {state.name.lower()}: nearly all are dead",
                level=logging.ERROR,
            )
        if self._gate.limit.value is None:
            self._changes.recovered("busy", f"{self._function} takes all calls again")
        if self._gate.throttle.healthy:
            self._changes.recovered("function", f"{self._function} is available again")

    def _oldest_seconds(self) -> float:
        oldest = self._inflight.oldest()
        return max(time.time() - oldest.key.time / 1e9, 0.0) if oldest else 0.0
