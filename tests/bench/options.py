"""What a benchmark is asked for on the command line."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """The options of `python -m tests.bench`.

    Attributes:
        quick: take seconds where minutes give better figures.
        against: an earlier commit to compare with, where a benchmark can.
    """

    quick: bool = False
    against: str | None = None
