"""Pace: so many things in a second, evenly."""


class Pace:
    """Spreads things over time, at a fixed rate."""

    def __init__(self, rate: float) -> None:
        """Begin with nothing done.

        Args:
            rate: things in a second.
        """
        self._rate = rate
        self._due = 0.0

    def at_once(self, limit: int) -> int:
        """Return how many to do at once: those of a tenth of a second, at most `limit`."""
        return max(1, min(limit, int(self._rate / 10)))

    def delay(self, number: int, now: float) -> float:
        """Return the seconds to wait before so many are done.

        Args:
            number: how many are about to be done.
            now: the time on a monotonic clock, in seconds.
        """
        start = max(self._due, now)
        self._due = start + number / self._rate
        return start - now
