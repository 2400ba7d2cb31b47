"""The points in time that reports over time have."""

from datetime import datetime, timedelta
from typing import Literal

from ..errors import UnsupportedQueryError
from .time_range import Grain

Interval = Literal["minute", "hour", "day"]
LENGTH = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
GRAIN: dict[str, Grain | None] = {"minute": None, "hour": "hour", "day": "day"}
MOST_POINTS = 10_000
"""The most points of one series."""


def fitting_interval(length: timedelta) -> Interval:
    """Return the interval that shows a range of this length well."""
    if length <= timedelta(hours=6):
        return "minute"
    return "hour" if length <= timedelta(days=8) else "day"


def floor(moment: datetime, interval: Interval) -> datetime:
    """Return the start of the interval that a moment lies in."""
    start = moment.replace(second=0, microsecond=0)
    if interval != "minute":
        start = start.replace(minute=0)
    return start.replace(hour=0) if interval == "day" else start


def starts(
    start: datetime | None,
    end: datetime | None,
    interval: Interval | None,
    first: datetime | None,
    last: datetime | None,
) -> tuple[Interval, list[datetime]]:
    """Return the interval, and the starts of all intervals of a range.

    Args:
        start: of the range; None: that of the first event.
        end: of the range, exclusive; None: just after the last event.
        interval: that was asked for; None: what fits the range.
        first: moment of the first event, None where there is none.
        last: moment of the last.

    Raises:
        UnsupportedQueryError: there are more than `MOST_POINTS`.
    """
    start = start or first
    end = end or (last and last + timedelta.resolution)
    if start is None or end is None or start >= end:
        return interval or "hour", []
    interval = interval or fitting_interval(end - start)
    at = floor(start, interval)
    number = -((at - end) // LENGTH[interval])
    if number > MOST_POINTS:
        raise UnsupportedQueryError(
            "interval",
            f"The range has {number:,} intervals of a {interval}, at most {MOST_POINTS:,} are "
            "answered: ask for longer ones or a shorter range.",
        )
    return interval, [at + index * LENGTH[interval] for index in range(number)]
