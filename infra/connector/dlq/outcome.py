"""Carries out what was decided about messages: acknowledges them, buries them, counts them."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from nats.errors import Error as NatsError

from functions.common.correlation import CALL_ID_HEADER
from infra.connector import metrics
from infra.connector.delivery.attempts import AttemptLedger
from infra.connector.delivery.backoff import exponential
from infra.connector.delivery.circuit_breaker import Breaker
from infra.connector.delivery.message import Key, Message
from infra.connector.delivery.response import Done, Failed, Fault
from infra.connector.dlq.publisher import DeadLetter, DeadLetterQueue, parts, whole
from infra.connector.jetstream.inflight import InHand

log = logging.getLogger(__name__)

DLQ_BACKOFF = exponential(0.5, 15.0)


@dataclass
class Verdict:
    """What is to be done with the messages of an invocation.

    Attributes:
        done: these are done.
        dead: these are dead as a whole, with the reason.
        partly: of these some events are dead, as these dead letters.
    """

    done: list[Message] = field(default_factory=list)
    dead: list[tuple[Message, str]] = field(default_factory=list)
    partly: list[tuple[Message, list[DeadLetter]]] = field(default_factory=list)


Wanted = list[tuple[Message, str, float | None]]


class Settlement:
    """Settles the messages of one binding."""

    def __init__(
        self,
        labels: tuple[str, str],
        hand: InHand,
        ledger: AttemptLedger[Key],
        breaker: Breaker,
        queue: DeadLetterQueue,
        dlq_subject: str,
    ) -> None:
        self._hand = hand
        self._ledger = ledger
        self._breaker = breaker
        self._queue = queue
        self._dlq_subject = dlq_subject
        self._done = metrics.DONE.labels(*labels)
        self._done_events = metrics.DONE_EVENTS.labels(*labels)
        self._dead = metrics.DEAD.labels(*labels)
        self._dead_events = metrics.DEAD_EVENTS.labels(*labels)

    def read(self, messages: Sequence[Message], answer: Done) -> tuple[Verdict, Wanted] | Failed:
        """Sort messages by what the function says of them.

        Returns:
            What is done and dead, and what is wanted again with reason and wait; or a failure
            when the answer names an event that is not there.
        """
        verdict = Verdict()
        wanted: Wanted = []
        for message in messages:
            if retry := answer.retry.get(message.id):
                wanted.append((message, retry.reason, retry.delay))
            elif reason := answer.dead.get(message.id):
                verdict.dead.append((message, reason))
            elif events := answer.dead_events.get(message.id):
                attempts = self._ledger.attempts(message.key) + 1
                try:
                    letters = parts(message, events, attempts, self._dlq_subject)
                except IndexError:
                    text = f"malformed answer: {message.id} has no event {events[-1].index}"
                    return Failed(Fault.ERROR, text)
                verdict.partly.append((message, letters))
            else:
                verdict.done.append(message)
        return verdict, wanted

    async def carry_out(
        self, verdict: Verdict, now: float, again: Callable[[], Awaitable[bool]]
    ) -> list[Message]:
        """Do what was decided.

        Args:
            verdict: what was decided.
            now: the time on a clock that never goes back.
            again: called when the dead-letter queue takes nothing, before it is tried again; tells
                whether to go on.

        Returns:
            Those that the breaker holds back: they are neither dead nor done.
        """
        dead = len(verdict.dead) + sum(len(letters) / m.events for m, letters in verdict.partly)
        total = len(verdict.done) + len(verdict.dead) + len(verdict.partly)
        await self._finish(verdict.done)
        if not total:
            return []
        if not self._breaker.decide(total - dead, dead, now):
            return [m for m, _ in verdict.dead] + [m for m, _ in verdict.partly]
        letters = [letter for _, letters in verdict.partly for letter in letters]
        for message, reason in verdict.dead:
            attempts = max(self._ledger.attempts(message.key), 1)
            letters += whole(message, reason, attempts, self._dlq_subject)
        if not letters or not await self._bury(letters, again):
            return []
        for message, reason in verdict.dead:
            self._say(message, reason, message.events)
            await self._resolve(message, message.events)
        for message, its_letters in verdict.partly:
            self._say(message, "some of its events", len(its_letters))
            await self._resolve(message, len(its_letters))
        return []

    async def _finish(self, messages: Sequence[Message]) -> None:
        """Do as `_resolve` does, with all whole messages at once."""
        whole_ones: list[Message] = []
        for message in messages:
            if message.parent is None and message in self._hand:
                message.unresolved = 0
                self._ledger.forget(message.key)
                whole_ones.append(message)
            else:
                await self._resolve(message, 0)
        self._done.inc(len(whole_ones))
        self._done_events.inc(sum(message.events for message in whole_ones))
        await self._hand.acknowledge(whole_ones)

    async def _resolve(self, message: Message, dead: int) -> None:
        """Count a message, or a part of one, and acknowledge it when nothing of it is left."""
        top = message.top
        dead = min(dead, message.events)  # whatever a function says, it comes to an end
        self._ledger.forget(message.key)
        if top not in self._hand:
            return
        top.unresolved -= message.events
        top.dead += dead
        self._done_events.inc(message.events - dead)
        self._dead_events.inc(dead)
        if top.unresolved <= 0:
            (self._dead if top.dead == top.events else self._done).inc()
            self._ledger.forget(top.key)
            await self._hand.acknowledge([top])

    async def _bury(
        self, letters: Sequence[DeadLetter], again: Callable[[], Awaitable[bool]]
    ) -> bool:
        failures = 0
        while True:
            try:
                await self._queue.publish(letters)
            except* (NatsError, OSError, TimeoutError) as errors:
                failures += 1
                log.error(
                    "%d dead letters are held, the dead-letter queue does not take them: %s",
                    len(letters),
                    errors.exceptions[0],
                )
            else:
                return True
            if not await again():
                return False
            await asyncio.sleep(DLQ_BACKOFF.delay(failures, random.random()))  # noqa: S311

    def _say(self, message: Message, reason: str, events: int) -> None:
        log.warning(
            "dead: %s",
            reason,
            extra={
                "message_id": message.id,
                "subject": message.subject,
                "attempts": self._ledger.attempts(message.key),
                "events": events,
                "callId": message.headers.get(CALL_ID_HEADER, ""),
            },
        )
