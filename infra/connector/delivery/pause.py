"""Pauses: a function gets nothing for a time, or until somebody resumes it."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime

FOREVER_SECONDS = 100 * 365 * 86_400.0
"""NATS pauses until a time: this one stands for none."""
_OPEN_END_SECONDS = FOREVER_SECONDS / 2


@dataclass(frozen=True)
class Pause:
    """A pause that lasts still.

    Attributes:
        by: who has paused the function: `annotation`, or `nats` for its consumer.
        seconds: how long it lasts still; infinite: until somebody ends it.
    """

    by: str
    seconds: float

    @property
    def in_nats(self) -> bool:
        """Whether the server delivers nothing."""
        return self.by == "nats"

    @property
    def open_ended(self) -> bool:
        """Whether nobody has said when it ends."""
        return self.seconds > _OPEN_END_SECONDS

    def until(self, now: float) -> str | None:
        """Return when it ends (RFC 3339); None if nobody has said that.

        Args:
            now: seconds since 1970.
        """
        if self.open_ended:
            return None
        return datetime.fromtimestamp(round(now + self.seconds), UTC).isoformat("T", "seconds")


def parse_paused(text: str) -> float:
    """Return until when a function is paused, in seconds since 1970: 0 if it is not.

    Raises:
        ValueError: it is neither `true` nor `false`, nor a time such as 2026-01-31T12:00:00Z.
    """
    plain = text.strip().lower()
    if plain in ("true", "false"):
        return math.inf if plain == "true" else 0.0
    try:
        until = datetime.fromisoformat(text.strip())
    except ValueError:
        until = None
    if until is None or until.tzinfo is None:
        raise ValueError(f"not true, false, or a time such as 2026-01-31T12:00:00Z: {text!r}")
    return until.timestamp()


def current_pause(wanted: float, in_nats: float) -> Pause | None:
    """Return the pause that lasts; None if there is none.

    Args:
        wanted: seconds for which the function's owner has still paused it.
        in_nats: seconds for which its consumer is still paused in NATS.
    """
    if max(wanted, in_nats) <= 0:
        return None
    if wanted >= in_nats:
        return Pause("annotation", wanted)
    return Pause("nats", in_nats)
