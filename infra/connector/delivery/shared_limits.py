"""This connector's part of limits that hold for all connectors of a function together.

Each of n connectors takes an n-th of them, so that none has to ask another before a call. Who the
others are is known by what they announce; for what one still runs beyond its part, after another
has joined, the others wait. Each announces how many calls it may be running before it runs them.
"""

from collections.abc import Callable
from dataclasses import dataclass

BURST_SECONDS = 0.1
"""What a rate allows in this time may come at once: deliveries do not start on the dot."""


@dataclass(frozen=True)
class Place:
    """A connector's place among those that deliver to a function.

    Attributes:
        index: how many of them have run for longer.
        number: how many they are, this one included.
        used_by_others: calls that the others may be running now.
    """

    index: int
    number: int
    used_by_others: int = 0


def part_of(total: int, place: Place) -> int:
    """Return this connector's part of a number: those that have run for longest get the rest."""
    return total // place.number + (place.index < total % place.number)


class SharedLimits:
    """Limits the calls and messages of one function, over all connectors together."""

    def __init__(
        self,
        place: Callable[[], Place | None],
        on_change: Callable[[], None],
        *,
        max_calls: int | None = None,
        rate: float | None = None,
    ) -> None:
        """Make limits.

        Args:
            place: returns this connector's place; None while that is not known.
            on_change: called when the others are to be told how many calls may be running here.
            max_calls: calls at the same time; None: no limit.
            rate: messages in a second; None: no limit.
        """
        self._place = place
        self._on_change = on_change
        self.max_calls = max_calls
        self.rate = rate
        self._due = 0.0
        self._announced = 0

    @property
    def active(self) -> bool:
        """Whether there is any limit."""
        return self.max_calls is not None or self.rate is not None

    def connectors(self) -> int | None:
        """Return how many connectors deliver to the function; None while that is not known."""
        place = self._place()
        return place.number if place else None

    def part(self) -> int | None:
        """Return how many calls are this connector's part; None: no limit, or not known yet."""
        place = self._place() if self.max_calls is not None else None
        return None if self.max_calls is None or place is None else part_of(self.max_calls, place)

    def calls(self) -> int | None:
        """Return how many calls may run here at the same time now; None: there is no limit."""
        if not self.active:
            return None
        place = self._place()
        if place is None:
            return 0
        if self.max_calls is None:
            return None
        return max(min(part_of(self.max_calls, place), self.max_calls - place.used_by_others), 0)

    def announce(self, running: int) -> int:
        """Return how many calls may be running here until the others are told something else.

        Args:
            running: how many are running.
        """
        self._announced = self._used(running)
        return self._announced

    def ended(self, running: int) -> None:
        """Record that a call has ended.

        Args:
            running: how many are running still.
        """
        if self._used(running) < self._announced:
            self._on_change()

    def _used(self, running: int) -> int:
        return 0 if self.max_calls is None else max(running, self.calls() or 0)

    def messages(self) -> int | None:
        """Return how many messages one call may have, so that a rate is even; None: no limit."""
        return None if self.rate is None else max(int(self._own_rate(self.rate)), 1)

    @property
    def resume_at(self) -> float:
        """When the rate allows the next call, on a monotonic clock; in the past if it does now."""
        return self._due - BURST_SECONDS

    def allows(self, running: int, now: float) -> bool:
        """Return whether one more call may run beside those that are running here."""
        calls = self.calls()
        if calls is None:
            return now >= self.resume_at
        if calls > self._announced:
            self._on_change()
        return running < min(calls, self._announced) and now >= self.resume_at

    def started(self, messages: int, now: float) -> None:
        """Record that a call with so many messages has started."""
        if self.rate is not None:
            self._due = max(self._due, now) + messages / self._own_rate(self.rate)

    def _own_rate(self, rate: float) -> float:
        place = self._place()
        return rate / place.number if place else rate
