"""What happens to messages whose invocation failed: what is charged, and what is tried next."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from functions.common.backoff import Backoff
from infra.connector.delivery.adaptive_limit import AdaptiveLimit
from infra.connector.delivery.attempts import AttemptCounter
from infra.connector.delivery.bisect import (
    Halve,
    RetryWhole,
    Split,
    after_failure,
    after_rejection,
    halves,
)
from infra.connector.delivery.message import Delivery, Message, MessageKey, halve
from infra.connector.delivery.response import Failed, Fault, Rejected, Unavailable
from infra.connector.delivery.throttle import Throttle

SMALL_SAMPLE = 10
"""With so few messages in flight, there are no others by which to tell an outage from a bad one."""

MIN_DEFERRAL_SECONDS = 1.0
"""A message that the function defers waits at least that long."""

DUE_IMMEDIATELY = 0.0
"""A due time before all others, so that the delivery keeps its place."""


@dataclass(frozen=True)
class ScheduledRetry:
    """Messages to deliver again.

    Attributes:
        delivery: the messages.
        due: from when on, on a monotonic clock.
        charged: whether an attempt was charged.
    """

    delivery: Delivery
    due: float
    charged: bool = False


@dataclass
class RetryDecision:
    """What to do with messages that are not done.

    Attributes:
        retries: to deliver again.
        dead: to dead-letter as a whole, each with the reason.
        deferred: to deliver again after so many seconds, and to keep out of the way until then.
    """

    retries: list[ScheduledRetry] = field(default_factory=list[ScheduledRetry])
    dead: list[tuple[Message, str]] = field(default_factory=list[tuple[Message, str]])
    deferred: list[tuple[Message, float]] = field(default_factory=list[tuple[Message, float]])


@dataclass(frozen=True, slots=True)
class RetryRequest:
    """A message that the function asked to be delivered again.

    Attributes:
        message: the message.
        reason: why, for a person to read.
        delay: seconds that the function asked to wait; None leaves it to the backoff.
        charged: whether an attempt is charged; not if the function defers the message.
    """

    message: Message
    reason: str
    delay: float | None
    charged: bool = True


class RetryPolicy:
    """Charges attempts to messages and decides which are delivered again, and when."""

    def __init__(
        self,
        attempts: AttemptCounter[MessageKey],
        throttle: Throttle,
        limit: AdaptiveLimit,
        backoff: Backoff,
        chance: Callable[[], float] = random.random,
        halve_delivery: Halve[Message] = halves,
    ) -> None:
        """Make a policy.

        Args:
            attempts: counts what is charged.
            throttle: told how invocations end.
            limit: told of invocations that the function refuses since it has enough of them.
            backoff: delays before retries.
            chance: returns random numbers from 0 to 1.
            halve_delivery: returns two halves of the messages of a delivery.
        """
        self._attempts = attempts
        self._throttle = throttle
        self._limit = limit
        self.backoff = backoff
        """Delays before retries."""
        self._chance = chance
        self._halve_delivery = halve_delivery
        self._successes = 0

    def succeeded(self) -> None:
        """Record that the function responded and understood the messages."""
        self._successes += 1
        self._throttle.succeeded()

    def unavailable(
        self, delivery: Delivery, response: Unavailable, now: float, *, others: int = 0
    ) -> RetryDecision:
        """Decide after the function did not accept an invocation; no attempt is charged.

        Messages that the function did not see keep their place. Messages that it saw go behind the
        others: if it refuses only these, they do not block the others.

        Args:
            delivery: what was delivered.
            response: why it was not accepted.
            now: the time on a monotonic clock, in seconds.
            others: how many other invocations are running.
        """
        if response.busy:
            self._limit.refused(others, now)
        if response.busy and others:
            due = self._throttle.busy(now, response.retry_after, self._chance())
        else:
            due = self._throttle.unavailable(now, response.retry_after, self._chance())
        return RetryDecision(
            [ScheduledRetry(delivery, due if response.reached else DUE_IMMEDIATELY)]
        )

    def retry_requested(self, requests: Sequence[RetryRequest], now: float) -> RetryDecision:
        """Decide about messages that the function asked to get again.

        An attempt is charged, but not for those that the function defers, however often.
        """
        decision = RetryDecision()
        by_delay: dict[float, list[Message]] = {}
        for request in requests:
            if not request.charged:
                delay = self._delay(1) if request.delay is None else request.delay
                decision.deferred.append((request.message, max(delay, MIN_DEFERRAL_SECONDS)))
                continue
            key = request.message.key
            attempts = self._attempts.record(key)
            if self._attempts.exhausted(key):
                decision.dead.append((request.message, request.reason))
                continue
            delay = self._delay(attempts) if request.delay is None else request.delay
            by_delay.setdefault(round(delay, 1), []).append(request.message)
        for delay, messages in by_delay.items():
            decision.retries.append(ScheduledRetry(Delivery(messages), now + delay, charged=True))
        return decision

    def failed(
        self, delivery: Delivery, response: Failed, in_flight: int, now: float
    ) -> RetryDecision:
        """Decide after an invocation failed.

        Args:
            delivery: what was delivered.
            response: how it failed.
            in_flight: how many messages are in flight.
            now: the time on a monotonic clock, in seconds.
        """
        self._throttle.failed(now, self._chance(), crashed=response.fault is Fault.CRASH)
        charged = self._is_fault_of_messages(delivery, response, in_flight)
        failures = delivery.failures + 1
        exclusive = delivery.exclusive or response.fault is not Fault.TIMEOUT
        if self._throttle.failing and not charged:
            # every invocation fails: splitting would only make more of them
            return RetryDecision([ScheduledRetry(delivery, now + self._delay(failures))])
        match after_failure(delivery.messages, delivery.failures, self._halve_delivery):
            case RetryWhole(messages):
                attempts = max(self._attempts.record(message.key) for message in messages)
                again = Delivery(messages, failures, exclusive, self._successes)
                return RetryDecision(
                    [ScheduledRetry(again, now + self._delay(attempts), charged=True)]
                )
            case Split(both):
                parts = [Delivery(half, failures, exclusive, delivery.successes) for half in both]
                return RetryDecision([ScheduledRetry(part, now) for part in parts])
            case _:
                return self._isolated(delivery, response, exclusive, charged, now)

    def rejected(self, delivery: Delivery, response: Rejected, now: float) -> RetryDecision:
        """Decide after the function rejected the messages (a 4xx), so it is available."""
        self.succeeded()
        match after_rejection(delivery.messages, self._halve_delivery):
            case Split(both):
                failures = delivery.failures + 1
                parts = [
                    Delivery(half, failures, delivery.exclusive, delivery.successes)
                    for half in both
                ]
                return RetryDecision([ScheduledRetry(part, now) for part in parts])
            case _:
                message = delivery.messages[0]
                if split := self._split_message(delivery, message, delivery.exclusive, now):
                    return split
                self._attempts.record(message.key)
                return RetryDecision(dead=[(message, response.reason)])

    def _isolated(
        self, delivery: Delivery, response: Failed, exclusive: bool, charged: bool, now: float
    ) -> RetryDecision:
        """Decide about a message that failed alone."""
        message = delivery.messages[0]
        failures = delivery.failures + 1
        if delivery.failures > 0 and (
            split := self._split_message(delivery, message, exclusive, now)
        ):
            return split
        successes = delivery.successes
        if charged:
            successes = self._successes
            self._attempts.record(message.key)
            if self._attempts.exhausted(message.key) and message.separable_events == 1:
                return RetryDecision(dead=[(message, response.reason)])
        again = Delivery([message], failures, exclusive, successes)
        return RetryDecision([ScheduledRetry(again, now + self._delay(failures), charged=charged)])

    def _split_message(
        self, delivery: Delivery, message: Message, exclusive: bool, now: float
    ) -> RetryDecision | None:
        """Continue with the halves of a message; None if it cannot be split."""
        both = halve(message)
        if both is None:
            return None
        for half in both:
            self._attempts.inherit(message.key, half.key)
        if message.parent:
            self._attempts.reset(message.key)
        failures = delivery.failures + 1
        return RetryDecision(
            [
                ScheduledRetry(Delivery([half], failures, exclusive, delivery.successes), now)
                for half in both
            ]
        )

    def _is_fault_of_messages(self, delivery: Delivery, response: Failed, in_flight: int) -> bool:
        """Return whether a failure is charged to the messages, and not taken for an outage.

        A function that responds with an error says so itself. A lost connection and a timeout look
        the same whether a message or an outage is the cause: they are charged if the function has
        succeeded since with other messages, or if too few are in flight to tell by others.
        """
        if response.fault is Fault.ERROR:
            return True
        return self._successes > delivery.successes or in_flight <= SMALL_SAMPLE

    def _delay(self, failures: int) -> float:
        return self.backoff.delay(failures, self._chance())
