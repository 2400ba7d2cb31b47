"""Which attempts are charged to a message, and when it has used them up."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class AttemptLedger(Generic[K]):
    """Counts charged attempts by message, also while a message is back in the stream.

    The server's own delivery count says nothing about whose fault a delivery was, so it is not
    used. Accounts that were not touched for the longest are forgotten beyond `capacity`.
    """

    def __init__(self, max_deliver: int, capacity: int = 100_000) -> None:
        if max_deliver < 1 or capacity < 1:
            raise ValueError("max_deliver and capacity are at least 1")
        self.max_deliver = max_deliver
        self._capacity = capacity
        self._charged: OrderedDict[K, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._charged)

    def attempts(self, key: K) -> int:
        """Return how many attempts were charged to the message."""
        return self._charged.get(key, 0)

    def charge(self, key: K) -> int:
        """Charge one attempt, and return how many that makes."""
        count = self._charged.get(key, 0) + 1
        self._charged[key] = count
        self._charged.move_to_end(key)
        if len(self._charged) > self._capacity:
            self._charged.popitem(last=False)
        return count

    def exhausted(self, key: K) -> bool:
        """Return whether no attempt is left."""
        return self.attempts(key) >= self.max_deliver

    def carry_over(self, key: K, part: K) -> None:
        """Let a part of a message start with the attempts that the message was charged."""
        if count := self._charged.get(key, 0):
            self._charged[part] = count

    def forget(self, key: K) -> None:
        """Close the account of a message that is done or dead."""
        self._charged.pop(key, None)
