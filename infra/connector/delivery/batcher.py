"""Collects messages into batches."""

from collections import deque
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class BatchItem(Protocol):
    """A message as far as batching is concerned."""

    @property
    def events(self) -> int:
        """How many events it holds, at least 1."""
        ...

    @property
    def size(self) -> int:
        """Its size in bytes."""
        ...


T = TypeVar("T", bound=BatchItem)


@dataclass(frozen=True)
class BatchLimits:
    """When a batch is complete: as soon as one of these holds.

    Attributes:
        max_events: it holds that many events, or the next message would exceed them.
        max_bytes: it holds that many bytes, or the next message would exceed them.
        window: seconds that its oldest message has waited.
        linger: seconds since the last message arrived, if the stream has no more, no invocation is
            running, and the pause after the last one is over.
        min_events: how many events a batch has at least before `linger` counts.
        max_messages: it holds that many messages; None: it may hold any number.
    """

    max_events: int
    max_bytes: int
    window: float
    linger: float = 0.002
    min_events: int = 1
    max_messages: int | None = None


MAX_PAUSE = 4
"""How long the pause after an invocation is at most, in durations of that invocation."""


class Batcher(Generic[T]):
    """Makes batches of messages, in order of arrival.

    A message that alone exceeds a limit makes a batch of its own. While more messages are on their
    way, or the function is busy, a batch waits up to `window` to fill; when the stream has nothing
    left, it is ready after the short `linger`, so that a single event is delivered immediately;
    where `min_events` asks for more than there are, it waits for the whole window.

    A call costs as much as dozens of events do. So after an invocation of several messages there is
    a pause, in proportion to how long that took: where messages come one after the other they
    gather, the more the busier the machine is. A lone message is followed by none.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self.limits = limits
        self._waiting: deque[tuple[T, float]] = deque()
        self._last_arrival = 0.0
        self._more_to_come = False
        self._pause_ends = 0.0
        self.events = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, item: T, now: float, *, more_to_come: bool) -> bool:
        """Add a message.

        Args:
            item: the message.
            now: the time on a monotonic clock, in seconds.
            more_to_come: whether the stream had more to deliver when it sent this message.

        Returns:
            Whether `ready_at` may be earlier now. One more message after others makes it later,
            if anything: whoever waits need not look for each.
        """
        min_events = self.limits.min_events
        waited_for_more = self._more_to_come or self.events < min_events
        self._waiting.append((item, now))
        self._last_arrival = now
        self._more_to_come = more_to_come
        self.events += item.events
        self.size += item.size
        enough = not (more_to_come or self.events < min_events)
        return (waited_for_more and enough) or len(self._waiting) == 1 or self.full

    def invoked(self, messages: int, seconds: float, now: float) -> None:
        """Begin the pause after an invocation.

        Args:
            messages: how many messages it had.
            seconds: how long it took.
            now: the time on a monotonic clock, in seconds, when it ended.
        """
        self._pause_ends = now + min(messages - 1, MAX_PAUSE) * seconds

    @property
    def full(self) -> bool:
        """Whether a batch is complete without any more waiting."""
        limits = self.limits
        return bool(self._waiting) and (
            self.events >= limits.max_events
            or self.size >= limits.max_bytes
            or (limits.max_messages is not None and len(self._waiting) >= limits.max_messages)
        )

    def ready_at(self, *, busy: bool = False) -> float | None:
        """Return the time from which a batch is ready; None while no message waits.

        Args:
            busy: whether an invocation is running.
        """
        if not self._waiting:
            return None
        oldest = self._waiting[0][1]
        if self.full:
            return oldest
        window_ends = oldest + self.limits.window
        if self._more_to_come or busy or self.events < self.limits.min_events:
            return window_ends
        lingered = self._last_arrival + self.limits.linger
        return min(window_ends, max(lingered, self._pause_ends))

    def ready(self, now: float, *, busy: bool = False) -> bool:
        """Return whether a batch is ready."""
        at = self.ready_at(busy=busy)
        return at is not None and at <= now

    def take(self) -> list[T]:
        """Remove and return the next batch: as many of the oldest messages as the limits allow."""
        batch: list[T] = []
        events = size = 0
        while self._waiting:
            item = self._waiting[0][0]
            if batch and (
                events + item.events > self.limits.max_events
                or size + item.size > self.limits.max_bytes
                or len(batch) == self.limits.max_messages
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
        """Remove and return all waiting messages."""
        items = [item for item, _ in self._waiting]
        self._waiting.clear()
        self.events = self.size = 0
        return items
