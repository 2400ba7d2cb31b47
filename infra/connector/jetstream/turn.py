"""Whether this connector may deliver the messages of a consumer that keeps messages in order.

It has to be the owner, and to know every message that was delivered to any connector and is not
acknowledged: a later one of the same key must not start before. The server tells how many these
are, and numbers its deliveries, so that one that went elsewhere leaves a gap.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from nats.errors import Error as NatsError

from infra.connector.delivery.ordered_queue import OrderedQueue
from infra.connector.jetstream.consumer import Consumer
from infra.connector.jetstream.lease import RENEWED, Lease

logger = logging.getLogger(__name__)

CHECK_SECONDS = 0.2
OVERDUE_SECONDS = 10.0
"""How long after `ack_wait` a message that was returned counts as one that may be gone."""


class Turn:
    """Keeps the lease, and finds out whether all messages in flight are known."""

    def __init__(self, lease: Lease, consumer: Consumer, queue: OrderedQueue) -> None:
        """Do nothing yet.

        Args:
            lease: the ownership of the consumer.
            consumer: the consumer.
            queue: knows the messages that are not settled.
        """
        self.lease = lease
        self._consumer = consumer
        self._queue = queue
        self._takeovers = 0
        self._owned = False
        self._complete = False
        self._last_delivery = 0
        self._again = asyncio.Event()
        self.missing: int | None = None
        """How many messages in flight are not known; None if that is not known either."""
        consumer.on_delivery = self._delivered

    @property
    def complete(self) -> bool:
        """Whether all messages in flight are known."""
        return self._complete

    def owned(self, now: float) -> bool:
        """Return whether this connector is the owner."""
        return self.lease.owned(now)

    def may_pull(self, now: float) -> bool:
        """Return whether messages may be asked for.

        Not while an invocation of the owner before may still run: what it acknowledges would be
        taken for a message that is still to be delivered.
        """
        return self.owned(now) and (self._complete or now >= self.lease.busy_until)

    def may_start(self, now: float) -> bool:
        """Return whether deliveries may start."""
        return self._complete and self.owned(now)

    def count_again(self) -> None:
        """Start no delivery before all messages in flight are known again: some were forgotten."""
        self._complete, self.missing = False, None
        self._again.set()

    async def run(self, on_change: Callable[[], None]) -> None:
        """Keep the lease until cancelled.

        Args:
            on_change: called when deliveries may start, or may no more.
        """
        renew_at = 0.0
        while True:
            now = time.monotonic()
            try:
                if now >= renew_at:
                    renew_at = now + self.lease.seconds * RENEWED
                    await self.lease.step()
                    await self._check_owner()
                    if self._complete and self._queue.away:
                        await self._count()
                if self._owned and not self._complete:
                    await self._count()
                    if self._complete:
                        on_change()
            except Exception:
                logger.exception("unexpected error: messages in order may have to wait")
            if self._owned != self.lease.owned(time.monotonic()):
                await self._check_owner()
                on_change()
            pause = renew_at - time.monotonic()
            if self._owned and not self._complete:
                pause = min(pause, CHECK_SECONDS)
            self._again.clear()
            # `wait_for` may lose a cancellation when the event is set at the same time
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._again.wait()

    async def _check_owner(self) -> None:
        owned = self.lease.owned(time.monotonic())
        if self._takeovers != self.lease.takeovers:
            self._takeovers = self.lease.takeovers
            self.count_again()
        if self._owned and not owned:
            self._complete = False
            logger.warning("%s is delivered by another connector", self._consumer.target.name)
            await self._consumer.abandon_request()
        self._owned = owned

    def _delivered(self, delivery: int) -> None:
        """Record that the consumer's delivery of a number has arrived."""
        if self._complete and delivery != self._last_delivery + 1:
            self.count_again()
            logger.info("deliveries of %s went elsewhere", self._consumer.target.name)
        self._last_delivery = delivery

    async def _count(self) -> None:
        """Compare the messages in flight that the server and this connector know of."""
        last = self._last_delivery
        try:
            info = await self._consumer.info()
        except (NatsError, OSError) as error:
            logger.debug("messages in flight cannot be counted: %s", error)
            return
        if last != self._last_delivery:
            return  # what has arrived meanwhile is not in the server's answer
        inflight = self._consumer.inflight
        known, pending = len(inflight) + self._queue.away, info.num_ack_pending or 0
        if known > pending:
            overdue = inflight.ack_wait + OVERDUE_SECONDS
            known -= self._queue.forget_away(time.monotonic(), overdue)
        self.missing = max(pending - known, 0)
        if not self._complete and not self.missing:
            self._complete = True
            delivered = info.delivered.consumer_seq if info.delivered else 0
            self._last_delivery = max(last, delivered)
