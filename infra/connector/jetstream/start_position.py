"""Where in its stream a new consumer begins."""

from dataclasses import dataclass
from datetime import datetime

from nats.js.api import DeliverPolicy

_WORDS = {
    "all": DeliverPolicy.ALL,
    "new": DeliverPolicy.NEW,
    "last-per-subject": DeliverPolicy.LAST_PER_SUBJECT,
}


@dataclass(frozen=True)
class StartPosition:
    """The first message that a consumer delivers.

    Attributes:
        policy: which one that is.
        sequence: its sequence, where the policy asks for one.
        time: when it was stored at the earliest, where the policy asks for that.
    """

    policy: DeliverPolicy = DeliverPolicy.ALL
    sequence: int | None = None
    time: datetime | None = None

    def __str__(self) -> str:
        """Return it as `parse_start` reads it."""
        words = {policy: word for word, policy in _WORDS.items()}
        time = self.time.isoformat() if self.time else ""
        return words.get(self.policy) or time or str(self.sequence)


FROM_THE_BEGINNING = StartPosition()


def parse_start(text: str) -> StartPosition:
    """Return the position for `all`, `new`, `last-per-subject`, a sequence, or a time (RFC 3339).

    Raises:
        ValueError: it is none of these.
    """
    plain = text.strip()
    if policy := _WORDS.get(plain):
        return StartPosition(policy)
    if plain.isascii() and plain.isdigit() and int(plain) > 0:
        return StartPosition(DeliverPolicy.BY_START_SEQUENCE, sequence=int(plain))
    try:
        time = datetime.fromisoformat(plain)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise ValueError(
            "not all, new, last-per-subject, a sequence from 1 on, or a time such as "
            f"2026-01-31T12:00:00Z: {text!r}"
        )
    return StartPosition(DeliverPolicy.BY_START_TIME, time=time)
