"""Which messages are delivered next."""

import heapq
import math
from dataclasses import replace
from itertools import count

from infra.connector.delivery.batcher import Batcher, BatchLimits
from infra.connector.delivery.message import Delivery, Message


class DeliveryQueue:
    """Orders new messages and those that are delivered again.

    Batches of new messages take turns with retries, so that neither blocks the other. An exclusive
    delivery starts when no invocation is running.
    """

    def __init__(self, limits: BatchLimits, concurrency: int) -> None:
        """Make an empty queue.

        Args:
            limits: of the batches of new messages.
            concurrency: batches of new messages that may start between two exclusive deliveries.
        """
        self._new: Batcher[Message] = Batcher(limits)
        self._concurrency = concurrency
        self._retries: list[tuple[float, int, Delivery]] = []
        self._order = count()
        self._turns_of_new = 0
        self.events_awaiting_retry = 0
        """Events of the messages that are delivered again later."""

    @property
    def limits(self) -> BatchLimits:
        """The limits of the batches of new messages."""
        return self._new.limits

    @property
    def events_held_back(self) -> int:
        """Events of the messages that are here and may not start yet."""
        return self.events_awaiting_retry

    def change(self, limits: BatchLimits, concurrency: int) -> None:
        """Order by other limits from now on; the arguments are those of the constructor."""
        self._new.limits = limits
        self._concurrency = concurrency

    def add(self, message: Message, now: float, *, more_to_come: bool) -> bool:
        """Add a new message; the arguments are those of `Batcher.add`.

        Returns:
            Whether `next_at` may be earlier now.
        """
        return self._new.add(message, now, more_to_come=more_to_come)

    @property
    def retries(self) -> int:
        """How many deliveries wait for a retry."""
        return len(self._retries)

    @property
    def next_retry(self) -> tuple[float, Delivery] | None:
        """The first of them and when it is due, on a monotonic clock; None if there is none."""
        if not self._retries:
            return None
        due, _, delivery = self._retries[0]
        return due, delivery

    def retry_at(self, delivery: Delivery, due: float) -> None:
        """Deliver messages again from the time `due` on."""
        heapq.heappush(self._retries, (due, next(self._order), delivery))
        self.events_awaiting_retry += delivery.events

    def invoked(self, delivery: Delivery, seconds: float, now: float) -> None:
        """Record that an invocation has ended.

        Args:
            delivery: its messages.
            seconds: how long it took.
            now: the time on a monotonic clock, in seconds.
        """
        self._new.invoked(len(delivery.messages), seconds, now)

    def next_at(self, *, busy: bool) -> float | None:
        """Return the time from which a delivery is ready; None if the queue is empty.

        Args:
            busy: whether an invocation is running.
        """
        times = [at for at in (self._new.ready_at(busy=busy),) if at is not None]
        if self._retries:
            times.append(self._retries[0][0])
        return min(times, default=None)

    def take(self, now: float, *, busy: bool, one: bool = False) -> Delivery | None:
        """Remove and return the next delivery; None if none is ready.

        Args:
            now: the time on a monotonic clock, in seconds.
            busy: whether an invocation is running.
            one: whether to take no more than one message, as a trial of the function.
        """
        delivery = self._next(now, busy=busy)
        if delivery and one and len(delivery.messages) > 1:
            self.retry_at(replace(delivery, messages=delivery.messages[1:]), now)
            return replace(delivery, messages=delivery.messages[:1])
        return delivery

    def _next(self, now: float, *, busy: bool) -> Delivery | None:
        new_ready = self._new.ready(now, busy=busy)
        if self._retries and self._retries[0][0] <= now:
            exclusive = self._retries[0][2].exclusive
            if not (new_ready and self._turns_of_new > 0):
                if exclusive and busy:
                    return None
                self._turns_of_new = self._concurrency if exclusive else 1
                return self._pop_retry()
        if not new_ready:
            return None
        self._turns_of_new = max(self._turns_of_new - 1, 0)
        return Delivery(self._new.take())

    def _pop_retry(self) -> Delivery:
        delivery = heapq.heappop(self._retries)[2]
        self.events_awaiting_retry -= delivery.events
        return delivery

    def release_delayed(self, now: float, min_delay: float) -> list[tuple[Delivery, float]]:
        """Remove and return retries that are due in `min_delay` seconds or later.

        They can be returned to the stream. Exclusive deliveries and parts of messages stay: the
        stream knows neither.

        Returns:
            Each delivery with the seconds until it is due.
        """
        kept: list[tuple[float, int, Delivery]] = []
        released: list[tuple[Delivery, float]] = []
        for due, order, delivery in self._retries:
            partial = any(message.parent for message in delivery.messages)
            if delivery.exclusive or due - now < min_delay or partial:
                kept.append((due, order, delivery))
            else:
                released.append((delivery, due - now))
                self.events_awaiting_retry -= delivery.events
        heapq.heapify(kept)
        self._retries = kept
        return released

    def release_all(self, now: float) -> list[tuple[Delivery, float]]:
        """Remove and return all that can be returned to the stream, as `release_delayed` does."""
        released = self.release_delayed(now, -math.inf)
        if messages := self._new.take_all():
            released.append((Delivery(messages), 0.0))
        return released

    def clear(self) -> None:
        """Drop everything."""
        self._new.take_all()
        self._retries.clear()
        self.events_awaiting_retry = 0
