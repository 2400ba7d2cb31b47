"""How long to wait before something that failed is tried again."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """A schedule of waits, jittered so that many retries do not come at once.

    Attributes:
        delays: seconds before the first, second, ... retry; the last one repeats.
        jitter: the part of each wait that is random, from 0 (none) to 1 (all of it).
    """

    delays: tuple[float, ...]
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if not self.delays or min(self.delays) < 0 or not 0 <= self.jitter <= 1:
            raise ValueError(f"not a backoff: {self}")

    def delay(self, failures: int, chance: float) -> float:
        """Return the seconds to wait after `failures` failures in a row (1 for the first).

        Args:
            failures: how often it failed so far.
            chance: a random number from 0 to 1.
        """
        longest = self.delays[min(max(failures, 1), len(self.delays)) - 1]
        return longest * (1 - self.jitter + self.jitter * chance)


def exponential(first: float, longest: float, factor: float = 2.0) -> Backoff:
    """Return a backoff that grows from `first` seconds by `factor` up to `longest` seconds."""
    delays = [first]
    while delays[-1] < longest:
        delays.append(min(delays[-1] * factor, longest))
    return Backoff(tuple(delays))
