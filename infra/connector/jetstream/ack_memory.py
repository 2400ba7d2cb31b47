"""The last acknowledgements that were sent, should the server not have heard of them."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator

MAX_REMEMBERED = 50_000
"""Acknowledgements of all consumers together: about 16 MB. What is lost with a connection, or with
a server that stops, is among the newest."""
AT_ONCE = 250
PAUSE_SECONDS = 0.02
"""Repeated acknowledgements leave the server room for others: at most 12,500 in a second."""


class AckMemory:
    """Remembers the last acknowledgements of all consumers of a connector."""

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        """Make an empty memory.

        Args:
            limit: how many it remembers, of all consumers together.
        """
        self._limit = limit
        self._order: deque[OrderedDict[int, str]] = deque()
        self.repeating = asyncio.Lock()
        """Held by the consumer that repeats its acknowledgements: one after the other."""

    @property
    def size(self) -> int:
        """How many are remembered."""
        return len(self._order)

    def of_consumer(self) -> "ConsumerAcks":
        """Return the part of one consumer, empty."""
        return ConsumerAcks(self)

    def added_to(self, replies: OrderedDict[int, str]) -> None:
        """Record that an acknowledgement was added, and forget the oldest beyond the limit."""
        self._order.append(replies)
        while len(self._order) > self._limit:
            oldest = self._order.popleft()
            if oldest:
                oldest.popitem(last=False)


class ConsumerAcks:
    """The remembered acknowledgements of one consumer."""

    def __init__(self, memory: AckMemory) -> None:
        self.memory = memory
        self._replies: OrderedDict[int, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._replies)

    def add(self, sequence: int, reply: str) -> None:
        """Remember that the message of a sequence was acknowledged by a reply to this subject."""
        # that of an earlier stream of the same name keeps its place
        known = sequence in self._replies
        self._replies[sequence] = reply
        if not known:
            self.memory.added_to(self._replies)

    def reply(self, sequence: int) -> str | None:
        """Return the subject by which a message was acknowledged; None if that is not known."""
        return self._replies.get(sequence)

    def chunks(self) -> Iterator[list[str]]:
        """Yield the subjects of all that is remembered now, the oldest first, some at a time."""
        replies = list(self._replies.values())
        for start in range(0, len(replies), AT_ONCE):
            yield replies[start : start + AT_ONCE]

    def clear(self) -> None:
        """Forget them."""
        self._replies.clear()
