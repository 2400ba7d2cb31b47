"""Finds out how many calls at the same time a function takes: it answers 429 to more."""

MIN_INTERVAL_SECONDS = 1.0
MAX_INTERVAL_SECONDS = 15.0
"""How long it takes, at most, to notice that a function takes more calls than before."""


class AdaptiveLimit:
    """Limits the calls of one function that run at the same time, while it refuses more.

    A refused call costs one round trip, and its message waits. So the limit becomes the number of
    calls that the function did take, and from time to time one more is tried: the more seldom, the
    more often that was refused; by larger steps while it is not.
    """

    def __init__(self) -> None:
        """Limit nothing yet."""
        self.value: int | None = None
        """Calls that may run at the same time; None: the function has refused none of late."""
        self._interval = MIN_INTERVAL_SECONDS
        self._step = 1
        self._raised = False
        self._raise_at = 0.0

    def allows(self, running: int) -> bool:
        """Return whether one more call may run beside those that are running."""
        return self.value is None or running < self.value

    def refused(self, others: int, now: float) -> None:
        """Record that the function refused a call.

        Args:
            others: calls that are running still: at most so many it takes.
            now: the time on a monotonic clock, in seconds.
        """
        if self._raised:  # by the first one of those that are refused together
            self._interval = min(self._interval * 2, MAX_INTERVAL_SECONDS)
        self._raised, self._step = False, 1
        self._raise_at = now + self._interval
        self.value = max(others if self.value is None else min(self.value, others), 1)

    def succeeded(self, running: int, most: int, now: float) -> None:
        """Record that the function took a call; more may run from now on.

        Args:
            running: calls that ran until this one ended, this one included.
            most: calls that may run in any case.
            now: the time on a monotonic clock, in seconds.
        """
        if self.value is None or running < self.value or now < self._raise_at:
            return
        if self._raised:  # and since then none was refused
            self._step *= 2
            self._interval = MIN_INTERVAL_SECONDS
        if self.value >= most:
            self.value = None
            self._raised, self._step = False, 1
            return
        self.value = min(self.value + self._step, most)
        self._raised = True
        self._raise_at = now + self._interval
