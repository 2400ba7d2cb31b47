"""Gathers messages until they are worth an invocation."""

from collections import deque
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Weighed(Protocol):
    """What a batch is made of."""

    @property
    def events(self) -> int:
        """How many events it holds, at least 1."""
        ...

    @property
    def size(self) -> int:
        """Its bytes."""
        ...


T = TypeVar("T", bound=Weighed)


@dataclass(frozen=True)
class BatchLimits:
    """When a batch is complete.

    Attributes:
        events: it holds at least that many events, or the next message would exceed them.
        size: its bytes, in the same way.
        window: the oldest message has waited so long (seconds) while more were arriving.
        quiet: nothing arrived for so long (seconds), the stream says that nothing is left, and no
            invocation runs.
    """

    events: int
    size: int
    window: float
    quiet: float = 0.005


class Accumulator(Generic[T]):
    """Makes batches of messages in their order.

    A message that alone exceeds a limit makes a batch of its own. The window is a maximum while
    more messages are on their way; when the stream has no more to deliver, a batch is ready after
    the short `quiet` time, so that a lone event does not wait for company. While the function is
    busy there is no such hurry: what arrives meanwhile goes together.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self.limits = limits
        self._waiting: deque[tuple[T, float]] = deque()
        self._last_arrival = 0.0
        self._more_to_come = False
        self.events = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, item: T, now: float, *, more_to_come: bool) -> None:
        """Take a message in.

        Args:
            item: the message.
            now: the time on a clock that never goes back, in seconds.
            more_to_come: whether the stream had more to deliver when it sent this message.
        """
        self._waiting.append((item, now))
        self._last_arrival = now
        self._more_to_come = more_to_come
        self.events += item.events
        self.size += item.size

    @property
    def full(self) -> bool:
        """Whether a batch is complete without any more waiting."""
        return bool(self._waiting) and (
            self.events >= self.limits.events or self.size >= self.limits.size
        )

    def ready_at(self, *, busy: bool = False) -> float | None:
        """Return the time from which `take` gives a batch; None while nothing waits.

        Args:
            busy: whether an invocation runs.
        """
        if not self._waiting:
            return None
        oldest = self._waiting[0][1]
        if self.full:
            return oldest
        window_ends = oldest + self.limits.window
        if self._more_to_come or busy:
            return window_ends
        return min(window_ends, self._last_arrival + self.limits.quiet)

    def ready(self, now: float, *, busy: bool = False) -> bool:
        """Return whether a batch is ready."""
        at = self.ready_at(busy=busy)
        return at is not None and at <= now

    def take(self) -> list[T]:
        """Take the next batch out: as many of the oldest messages as the limits allow."""
        batch: list[T] = []
        events = size = 0
        while self._waiting:
            item = self._waiting[0][0]
            if batch and (
                events + item.events > self.limits.events or size + item.size > self.limits.size
            ):
                break
            self._waiting.popleft()
            batch.append(item)
            events += item.events
            size += item.size
        self.events -= events
        self.size -= size
        return batch

    def take_all(self) -> list[T]:
        """Take out everything that waits."""
        items = [item for item, _ in self._waiting]
        self._waiting.clear()
        self.events = self.size = 0
        return items
