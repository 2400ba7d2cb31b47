"""Slows invocations down while the function is unavailable or every invocation fails."""

from functions.common.backoff import Backoff

CRASH_GRACE_SECONDS = 0.25
"""How long a process that is being killed may still accept connections, only to reset them."""


class Throttle:
    """Limits the invocations of one function.

    After the function was unavailable, or failed many times in a row without a success, no
    invocation starts until a backoff is over; then one at a time is tried until one succeeds.
    """

    def __init__(self, backoff: Backoff, tolerated_failures: int = 10) -> None:
        """Make a throttle that limits nothing yet.

        Args:
            backoff: how long to pause, by how often the function was unavailable in a row.
            tolerated_failures: failures in a row that may be the messages' fault.
        """
        self._backoff = backoff
        self._tolerated_failures = tolerated_failures
        self._outages = 0
        self._failures = 0
        self._resume_at = 0.0
        self._crash_grace_ends = 0.0
        self._asked_until = 0.0

    @property
    def healthy(self) -> bool:
        """Whether the function accepts invocations as far as is known."""
        return self._outages == 0

    @property
    def failing(self) -> bool:
        """Whether invocations fail one after the other, without a success in between."""
        return self._failures > self._tolerated_failures

    @property
    def resume_at(self) -> float:
        """When the pause ends; in the past if there is none."""
        return max(self._resume_at, self._crash_grace_ends, self._asked_until)

    def may_invoke(self, now: float, running: int) -> bool:
        """Return whether another invocation may start.

        Args:
            now: the time on a monotonic clock, in seconds.
            running: how many invocations are running.
        """
        return now >= self.resume_at and (self.healthy or running == 0)

    def succeeded(self) -> None:
        """Record that the function itself responded."""
        self._outages = self._failures = 0
        self._resume_at = 0.0

    def busy(self, now: float, retry_after: float | None, chance: float) -> float:
        """Record that the function took no more calls than it had; return when to try again.

        That is no outage. Only where the function asks for it, no other invocation starts before.

        Args:
            now: the time on a monotonic clock, in seconds.
            retry_after: seconds that the function asked to wait, or None.
            chance: a random number from 0 to 1.
        """
        if retry_after is None:
            return now + self._backoff.delay(1, chance)
        self._asked_until = max(self._asked_until, now + retry_after)
        return self._asked_until

    def unavailable(self, now: float, retry_after: float | None, chance: float) -> float:
        """Record that the function could not accept an invocation; return when to try again.

        Args:
            now: the time on a monotonic clock, in seconds.
            retry_after: seconds that the function asked to wait, or None.
            chance: a random number from 0 to 1.
        """
        if now >= self._resume_at:  # counted once for invocations that failed together
            self._outages += 1
        delay = self._backoff.delay(self._outages, chance) if retry_after is None else retry_after
        self._resume_at = max(self._resume_at, now + delay)
        return self._resume_at

    def failed(self, now: float, chance: float, *, crashed: bool = False) -> None:
        """Record that an invocation failed; many failures in a row count as an outage.

        Args:
            now: the time on a monotonic clock, in seconds.
            chance: a random number from 0 to 1.
            crashed: whether the function's process may have died. What it is sent before it is
                gone would fail as well, and be charged for it.
        """
        self._failures += 1
        if crashed:
            self._crash_grace_ends = now + CRASH_GRACE_SECONDS
        if self._failures > self._tolerated_failures:
            self.unavailable(now, None, chance)
