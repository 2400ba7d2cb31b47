"""How long to wait before something that failed is tried again."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """A schedule of delays, jittered so that many retries do not come at once.

    Attributes:
        delays: seconds before the first, second, ... retry; the last one repeats.
        jitter: the part of each delay that is random, from 0 (none) to 1 (all of it).

    Raises:
        ValueError: there is no delay, one is negative, or the jitter is out of its range.
    """

    delays: tuple[float, ...]
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if not self.delays or min(self.delays) < 0 or not 0 <= self.jitter <= 1:
            raise ValueError(f"not a backoff: {self}")

    @classmethod
    def exponential(
        cls, first: float, longest: float, *, factor: float = 2.0, jitter: float = 0.5
    ) -> "Backoff":
        """Return a backoff that grows from `first` seconds by `factor` up to `longest` seconds.

        Raises:
            ValueError: as the class does, or the delays would not grow.
        """
        if longest > first and (first <= 0 or factor <= 1):
            raise ValueError(f"not a backoff: {first} s never grows to {longest} s by {factor}")
        delays = [first]
        while delays[-1] < longest:
            delays.append(min(delays[-1] * factor, longest))
        return cls(tuple(delays), jitter)

    def delay(self, failures: int, chance: float = 1.0) -> float:
        """Return the seconds to wait after `failures` failures in a row (1 for the first).

        Args:
            failures: how often it failed so far.
            chance: a random number from 0 to 1, which decides about the jitter; 1.0 is the whole
                delay.
        """
        delay = self.delays[min(max(failures, 1), len(self.delays)) - 1]
        return delay * (1 - self.jitter + self.jitter * chance)
