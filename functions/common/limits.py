"""What one event may be: bounds that ingest and process-batch share.

`ingest` holds producers to them. `process-batch` applies them to what comes from the stream, which
others can publish to as well; what ingest has accepted always passes there (see `MAX_REPLAY_AGE`).
"""

import time
from datetime import UTC, datetime, timedelta

from pydantic import Field

from functions.common.dead_letter import DLQ_DAYS
from functions.common.workspace import WorkspaceSettings

MAX_REPLAY_AGE = timedelta(days=DLQ_DAYS + 1)
"""How much older than at ingest an event may be at process-batch.

An event's age counts at the moment at which the stream stored its message, so the time that it
waits there, in an outage, does not matter. A dead letter that is replayed is stored anew, after the
days that the DLQ keeps it at most; the day more is for clocks that differ.
"""
_SAFE_SECONDS = 3600.0
_BEGINNING = datetime.min.replace(tzinfo=UTC)


class EventLimits(WorkspaceSettings):
    """Bounds on a single event, and the currency of its amount."""

    max_event_bytes: int = Field(
        default=256 * 1024,
        gt=0,
        description="largest event, its unknown fields included; a larger one is rejected, and not "
        "kept in the DLQ",
    )
    max_event_age_days: int = Field(
        default=400,
        ge=0,
        le=100_000,
        description="age in days up to which events are taken when they arrive; each day has a "
        "partition in the database; 0: any age",
    )

    def oldest(self, accepted: datetime) -> datetime:
        """Return the earliest timestamp of an event that is accepted at a moment (in UTC)."""
        if not self.max_event_age_days:
            return _BEGINNING
        return accepted - timedelta(days=self.max_event_age_days)

    def oldest_replayed(self, stored: datetime) -> datetime:
        """Return the same for an event whose message the stream stored at a moment."""
        return self.oldest(stored - MAX_REPLAY_AGE)


class AgeLimit:
    """Tells, cheaper than `EventLimits.oldest`, whether an event that arrives now is too old."""

    __slots__ = ("_limits", "_safe", "_until")

    def __init__(self, limits: EventLimits) -> None:
        self._limits = limits
        self._until = 0.0
        self._safe = _BEGINNING

    def accepts(self, timestamp: datetime) -> bool:
        """Return whether an event of that time is accepted."""
        now = time.time()
        if now > self._until:  # what is not too old at that moment is not before it
            self._until = now + _SAFE_SECONDS
            self._safe = self._limits.oldest(datetime.fromtimestamp(self._until, UTC))
        return timestamp >= self._safe or timestamp >= self._limits.oldest(datetime.now(UTC))


def too_old(limits: EventLimits) -> str:
    """Return what is wrong with an event that is too old."""
    return f"Timestamp is more than {limits.max_event_age_days} days ago"


def too_large(size: int, limit: int) -> str:
    """Return what is wrong with an event of `size` bytes."""
    return f"The event has {size} bytes; at most {limit} are taken"
