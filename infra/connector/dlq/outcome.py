"""Applies what was decided about messages: acknowledges, dead-letters and counts them."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from nats.errors import Error as NatsError

from functions.common.backoff import Backoff
from functions.common.correlation import CALL_ID_HEADER
from infra.connector import metrics
from infra.connector.delivery.attempts import AttemptCounter
from infra.connector.delivery.circuit_breaker import CircuitBreaker
from infra.connector.delivery.message import Message, MessageKey
from infra.connector.delivery.response import Failed, Fault, Success
from infra.connector.delivery.retry_policy import RetryRequest
from infra.connector.dlq.publisher import (
    DeadLetter,
    DeadLetterPublisher,
    dead_letters_for_events,
    dead_letters_for_message,
)
from infra.connector.jetstream.inflight import InFlightMessages
from infra.connector.jetstream.outgoing import Outgoing
from infra.connector.jetstream.result_publisher import ResultPublisher

logger = logging.getLogger(__name__)

PUBLISH_BACKOFF = Backoff.exponential(0.5, 15.0)


@dataclass
class Outcome:
    """How the messages of an invocation turned out, apart from those that are retried.

    Attributes:
        done: messages that are done.
        dead: messages that are dead as a whole, with the reason.
        partly_dead: messages of which some events are dead, with the dead letters of these.
        results: what is published of the processing.
    """

    done: list[Message] = field(default_factory=list[Message])
    dead: list[tuple[Message, str]] = field(default_factory=list[tuple[Message, str]])
    partly_dead: list[tuple[Message, list[DeadLetter]]] = field(
        default_factory=list[tuple[Message, list[DeadLetter]]]
    )
    results: list[Outgoing] = field(default_factory=list[Outgoing])


class OutcomeHandler:
    """Applies the outcomes of one binding."""

    def __init__(
        self,
        labels: tuple[str, str],
        inflight: InFlightMessages,
        attempts: AttemptCounter[MessageKey],
        breaker: CircuitBreaker,
        publisher: DeadLetterPublisher,
        results: ResultPublisher,
        *,
        publish_again: Callable[[], Awaitable[bool]],
    ) -> None:
        """Make a handler.

        Args:
            labels: function and stream, for metrics.
            inflight: acknowledges messages.
            attempts: the attempts charged to messages.
            breaker: whether dead messages may be dead-lettered.
            publisher: publishes dead letters.
            results: publishes what the function answers.
            publish_again: called after something was not stored; returns whether to publish it
                again.
        """
        self._inflight = inflight
        self._attempts = attempts
        self._breaker = breaker
        self._publisher = publisher
        self._results = results
        self.held_back: str | None = None
        """Why what was published last is not stored, and its messages are held; None: it is."""
        self._publish_again = publish_again
        self._done = metrics.DONE.labels(*labels)
        self._done_events = metrics.DONE_EVENTS.labels(*labels)
        self._dead = metrics.DEAD.labels(*labels)
        self._dead_events = metrics.DEAD_EVENTS.labels(*labels)

    def interpret(
        self, messages: Sequence[Message], response: Success
    ) -> tuple[Outcome, list[RetryRequest]] | Failed:
        """Sort messages by what the function's response says of them.

        Returns:
            What is done and dead, and what the function asked to get again; a failure if the
            response names an event that does not exist.
        """
        if response.all_done:
            return Outcome(done=list(messages)), []
        outcome = Outcome()
        requests: list[RetryRequest] = []
        for message in messages:
            if results := response.results.get(message.id):
                outgoing = self._results.of_message(message, results)
                if too_large := self._results.too_large(outgoing):
                    outcome.dead.append((message, too_large))
                    continue
                outcome.results += outgoing
            if retry := response.retry.get(message.id):
                requests.append(RetryRequest(message, retry.reason, retry.delay))
            elif deferral := response.deferred.get(message.id):
                requests.append(
                    RetryRequest(message, deferral.reason, deferral.delay, charged=False)
                )
            elif reason := response.dead.get(message.id):
                outcome.dead.append((message, reason))
            elif events := response.dead_events.get(message.id):
                attempts = self._attempts.count(message.key) + 1
                try:
                    letters = dead_letters_for_events(
                        message, events, attempts, self._publisher.route
                    )
                except IndexError:
                    text = f"malformed response: {message.id} has no event {events[-1].index}"
                    return Failed(Fault.ERROR, text)
                outcome.partly_dead.append((message, letters))
            else:
                outcome.done.append(message)
        return outcome, requests

    async def apply(self, outcome: Outcome, now: float) -> list[Message]:
        """Acknowledge what is done, and dead-letter what is dead if the breaker allows it.

        What is published is stored by JetStream before the message that it comes from is
        acknowledged: after a crash in between it is published once more, with the same id.

        Args:
            outcome: how messages turned out.
            now: the time on a monotonic clock, in seconds.

        Returns:
            Dead messages that the breaker holds back; they have to be delivered again.
        """
        dead = len(outcome.dead) + sum(
            len(letters) / message.events for message, letters in outcome.partly_dead
        )
        total = len(outcome.done) + len(outcome.dead) + len(outcome.partly_dead)
        if not await self._store(outcome.results, "results", self._results.publish):
            return []
        await self._complete(outcome.done)
        if not total:
            return []
        if not self._breaker.decide(total - dead, dead, now):
            return [message for message, _ in (*outcome.dead, *outcome.partly_dead)]
        letters = [letter for _, letters in outcome.partly_dead for letter in letters]
        for message, reason in outcome.dead:
            attempts = max(self._attempts.count(message.key), 1)
            letters += dead_letters_for_message(message, reason, attempts, self._publisher.route)
        if not await self._store(letters, "dead letters", self._publisher.publish):
            return []
        copies = [self._publisher.fitting(each) for each in self._results.of_dead_letters(letters)]
        if not await self._store(copies, "copies of dead letters", self._results.publish_errors):
            return []
        for message, _ in outcome.dead:
            self._log_dead(message, message.events)
            await self._resolve(message, message.events)
        for message, its_letters in outcome.partly_dead:
            self._log_dead(message, len(its_letters))
            await self._resolve(message, len(its_letters))
        return []

    async def _complete(self, messages: Sequence[Message]) -> None:
        """Resolve messages that are done; faster than `_resolve` for many whole messages."""
        whole: list[Message] = []
        for message in messages:
            if message.parent is None and message in self._inflight:
                message.unresolved = 0
                self._attempts.reset(message.key)
                whole.append(message)
            else:
                await self._resolve(message, 0)
        self._done.inc(len(whole))
        self._done_events.inc(sum(message.events for message in whole))
        await self._inflight.ack(whole)

    async def _resolve(self, message: Message, dead: int) -> None:
        """Count a message, or a part of one, and acknowledge it when all its events are resolved.

        Args:
            message: the message or part.
            dead: how many of its events are dead; the others are done.
        """
        top = message.top
        dead = min(dead, message.events)  # the function may have named an event more than once
        self._attempts.reset(message.key)
        if top not in self._inflight:
            return
        top.unresolved -= message.events
        top.dead += dead
        self._done_events.inc(message.events - dead)
        self._dead_events.inc(dead)
        if top.unresolved <= 0:
            (self._dead if top.dead == top.events else self._done).inc()
            self._attempts.reset(top.key)
            await self._inflight.ack([top])

    async def _store(
        self,
        messages: Sequence[Outgoing],
        what: str,
        publish: Callable[[Sequence[Outgoing]], Awaitable[None]],
    ) -> bool:
        """Publish messages, however long it takes; return False if that was given up."""
        failures = 0
        while messages:
            try:
                await publish(messages)
            except* (NatsError, OSError, TimeoutError) as errors:
                failures += 1
                error = errors.exceptions[0]
                self.held_back = (
                    f"{len(messages)} {what} are not stored and their messages are held: "
                    f"{str(error) or type(error).__name__}"
                )
                logger.error("%s", self.held_back)
            else:
                self.held_back = None
                return True
            if not await self._publish_again():
                return False
            pause = PUBLISH_BACKOFF.delay(failures, random.random())  # noqa: S311
            await asyncio.sleep(pause)
        return True

    def _log_dead(self, message: Message, events: int) -> None:
        # the reason is in the dead letter: it may quote the event
        logger.warning(
            "%d of %d events of a message are dead; the dead-letter queue has the reason",
            events,
            message.events,
            extra={
                "message_id": message.id,
                "subject": message.subject,
                "attempts": self._attempts.count(message.key),
                "events": events,
                "callId": message.headers.get(CALL_ID_HEADER, ""),
            },
        )
