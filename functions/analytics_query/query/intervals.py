"""The intervals of reports over time: one point per interval."""

from datetime import datetime, timedelta
from typing import Literal

from ..errors import UnsupportedQueryError
from .time_range import Grain

Interval = Literal["minute", "hour", "day"]
INTERVAL_LENGTH: dict[Interval, timedelta] = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
ROLLUP_GRAIN: dict[Interval, Grain | None] = {"minute": None, "hour": "hour", "day": "day"}
"""The coarsest rollup that can tell the intervals apart; None: only the events can."""
MAX_INTERVALS = 10_000
"""The maximum number of intervals in one response."""


def default_interval(length: timedelta) -> Interval:
    """Return the interval for a range of this length where the request names none."""
    if length <= timedelta(hours=6):
        return "minute"
    return "hour" if length <= timedelta(days=8) else "day"


def start_of_interval(moment: datetime, interval: Interval) -> datetime:
    """Return the start of the interval that contains a moment."""
    start = moment.replace(second=0, microsecond=0)
    if interval != "minute":
        start = start.replace(minute=0)
    return start.replace(hour=0) if interval == "day" else start


def interval_starts(
    start: datetime | None,
    end: datetime | None,
    interval: Interval | None,
    first_event: datetime | None,
    last_event: datetime | None,
) -> tuple[Interval, list[datetime]]:
    """Return the interval to use, and the starts of all intervals in a range.

    Args:
        start: of the range, inclusive; None: the first event.
        end: of the range, exclusive; None: just after the last event.
        interval: as requested; None: `default_interval` of the range.
        first_event: time of the first event; None: there is no event.
        last_event: time of the last event; None: there is no event.

    Raises:
        UnsupportedQueryError: the range has more than `MAX_INTERVALS` intervals.
    """
    start = start or first_event
    end = end or (last_event and last_event + timedelta.resolution)
    if start is None or end is None or start >= end:
        return interval or "hour", []
    interval = interval or default_interval(end - start)
    first_start = start_of_interval(start, interval)
    length = INTERVAL_LENGTH[interval]
    number = -((first_start - end) // length)
    if number > MAX_INTERVALS:
        raise UnsupportedQueryError(
            "interval",
            f"The range has {number:,} intervals of one {interval}, the maximum is "
            f"{MAX_INTERVALS:,}. Use a longer interval or a shorter range.",
        )
    return interval, [first_start + index * length for index in range(number)]
