"""How many attempts were charged to each message."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class AttemptCounter(Generic[K]):
    """Counts charged attempts by message, also while the message is back in the stream.

    The server's own delivery count is not used: it also counts deliveries that failed because the
    function was away. Beyond `capacity`, the counts that changed longest ago are dropped.
    """

    def __init__(self, max_deliver: int, capacity: int = 100_000) -> None:
        """Make an empty counter.

        Args:
            max_deliver: attempts after which a message is exhausted.
            capacity: how many messages are counted at most.

        Raises:
            ValueError: one of them is less than 1.
        """
        if max_deliver < 1 or capacity < 1:
            raise ValueError("max_deliver and capacity must be at least 1")
        self.max_deliver = max_deliver
        self._capacity = capacity
        self._counts: OrderedDict[K, int] = OrderedDict()
        self._changed: set[K] = set()

    def __len__(self) -> int:
        return len(self._counts)

    def count(self, key: K) -> int:
        """Return how many attempts were charged to the message."""
        return self._counts.get(key, 0)

    def record(self, key: K) -> int:
        """Charge one attempt to the message, and return its new count."""
        count = self._counts.get(key, 0) + 1
        self._counts[key] = count
        self._counts.move_to_end(key)
        self._changed.add(key)
        if len(self._counts) > self._capacity:
            self._changed.discard(self._counts.popitem(last=False)[0])
        return count

    def restore(self, key: K, count: int) -> None:
        """Let the count of a message be at least `count`: so many were charged elsewhere."""
        if count > self._counts.get(key, 0):
            self._counts[key] = count

    def take_changed(self, key: K) -> bool:
        """Return whether the message was charged since this was last called for it."""
        if key not in self._changed:
            return False
        self._changed.remove(key)
        return True

    def exhausted(self, key: K) -> bool:
        """Return whether the message has no attempt left."""
        return self.count(key) >= self.max_deliver

    def inherit(self, key: K, part: K) -> None:
        """Start the count of a part of a message at the count of the message."""
        self.restore(part, self._counts.get(key, 0))

    def reset(self, key: K) -> None:
        """Drop the count of a message that is done or dead."""
        self._counts.pop(key, None)
        self._changed.discard(key)
