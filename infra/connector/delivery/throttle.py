"""How fast a function is invoked while it is unavailable or does nothing but fail."""

from infra.connector.delivery.backoff import Backoff

IN_THE_WAKE_OF_A_CRASH = 0.25
"""Seconds that a process which is just dying may still accept connections, to reset them."""


class Pace:
    """Slows a binding down while its function takes nothing.

    After the function was unavailable, or failed many times in a row without one success, the
    binding pauses; then one invocation at a time is tried, until one gets through.
    """

    def __init__(self, backoff: Backoff, tolerated_failures: int = 10) -> None:
        self._backoff = backoff
        self._tolerated = tolerated_failures
        self._streak = 0
        self._failures = 0
        self._resume_at = 0.0
        self._crash_over_at = 0.0

    @property
    def steady(self) -> bool:
        """Whether the function takes invocations as far as is known."""
        return self._streak == 0

    @property
    def troubled(self) -> bool:
        """Whether invocations fail one after the other, without any success in between."""
        return self._failures > self._tolerated

    @property
    def resume_at(self) -> float:
        """When the pause ends; in the past if there is none."""
        return max(self._resume_at, self._crash_over_at)

    def permits(self, now: float, running: int) -> bool:
        """Return whether another invocation may start.

        Args:
            now: the time on a clock that never goes back.
            running: how many invocations run.
        """
        return now >= self.resume_at and (self.steady or running == 0)

    def succeeded(self) -> None:
        """The function answered for itself."""
        self._streak = self._failures = 0
        self._resume_at = 0.0

    def unavailable(self, now: float, retry_after: float | None, chance: float) -> float:
        """The function could not take an invocation. Return when to try again."""
        if now >= self._resume_at:  # not for each of several invocations that failed together
            self._streak += 1
        wait = self._backoff.delay(self._streak, chance) if retry_after is None else retry_after
        self._resume_at = max(self._resume_at, now + wait)
        return self._resume_at

    def failed(self, now: float, chance: float, *, crashed: bool = False) -> None:
        """An invocation failed. One bad message causes a few in a row; many mean an outage.

        Args:
            now: the time on a clock that never goes back.
            chance: a random number from 0 to 1.
            crashed: the function's process may have died: what it is sent before it is quite gone
                would fail as well, and be blamed for it.
        """
        self._failures += 1
        if crashed:
            self._crash_over_at = now + IN_THE_WAKE_OF_A_CRASH
        if self._failures > self._tolerated:
            self.unavailable(now, None, chance)
