"""How many messages the next pull request asks for."""

from typing import NamedTuple

FIRST_REQUEST = 10
MAX_REQUEST = 2000
EXTRA_EVENTS_WHILE_FAILING = 1000


class PullSize(NamedTuple):
    """The limits of a pull request.

    Attributes:
        messages: at most that many.
        size: at most that many bytes.
    """

    messages: int
    size: int


class PullSizer:
    """Sizes pull requests so that messages in flight stay within a capacity.

    A request cannot be cancelled at the server: the first ones are small, until the number of
    events in a message is known.
    """

    def __init__(self, max_events: int, max_bytes: int) -> None:
        """Make a sizer.

        Args:
            max_events: events that may be in flight.
            max_bytes: bytes of payload that may be in flight.
        """
        self.resize(max_events, max_bytes)
        self._messages = 0
        self.events_per_message = 1.0
        """The average, weighted towards the latest messages."""

    def resize(self, max_events: int, max_bytes: int) -> None:
        """Change the capacity; the arguments are those of the constructor."""
        self.max_events = max_events
        self._max_bytes = max_bytes

    def record(self, events: int) -> None:
        """Record that a message with so many events was received."""
        self._messages += 1
        weight = max(1 / self._messages, 0.05)
        self.events_per_message += (events - self.events_per_message) * weight

    def next_size(
        self, messages: int, events: int, size: int, *, failing: bool = False
    ) -> PullSize | None:
        """Return the size of the next request; None while there is too little room for one.

        Args:
            messages: messages in flight.
            events: their events.
            size: their bytes.
            failing: whether every invocation fails: some messages more than the capacity may show
                whether the cause is those in flight or the function.
        """
        free_events = self.max_events - events + (EXTRA_EVENTS_WHILE_FAILING if failing else 0)
        free_bytes = self._max_bytes - size
        if messages and (free_events * 4 < self.max_events or free_bytes * 4 < self._max_bytes):
            return None  # few large requests are cheaper than many small ones
        wanted = max(int(free_events / max(self.events_per_message, 1.0)), 1)
        wanted = min(wanted, max(self._messages * 4, FIRST_REQUEST), MAX_REQUEST)
        return PullSize(wanted, free_bytes)
