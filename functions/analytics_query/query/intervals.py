"""The intervals of reports over time: one point per interval."""

from datetime import UTC, datetime, timedelta, tzinfo
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
NO_OFFSET = timedelta(0)
MAX_INTERVALS = 10_000
"""The maximum number of intervals in one response."""


def default_interval(length: timedelta) -> Interval:
    """Return the interval for a range of this length where the request names none."""
    if length <= timedelta(hours=6):
        return "minute"
    return "hour" if length <= timedelta(days=8) else "day"


def start_of_interval(moment: datetime, interval: Interval, zone: tzinfo = UTC) -> datetime:
    """Return the start, in UTC, of the interval in a time zone that contains a moment."""
    start = moment.astimezone(zone).replace(second=0, microsecond=0)
    if interval != "minute":
        start = start.replace(minute=0)
    if interval == "day":
        start = start.replace(hour=0, fold=0)
    return start.astimezone(UTC)


def coarsest_grain(interval: Interval, times: list[datetime], zone: tzinfo) -> Grain | None:
    """Return the coarsest rollup that can tell intervals of a time zone apart.

    Rollups are of UTC hours and days: days of another time zone are put together from hours, and
    where its offset is not of whole hours, hours and days from the events.
    """
    offsets = [moment.astimezone(zone).utcoffset() or NO_OFFSET for moment in (times[0], times[-1])]
    if interval == "minute" or not any(offsets):
        return ROLLUP_GRAIN[interval]
    whole = all(offset % INTERVAL_LENGTH["hour"] == NO_OFFSET for offset in offsets)
    return "hour" if whole else None


def interval_starts(
    start: datetime | None,
    end: datetime | None,
    interval: Interval | None,
    first_event: datetime | None,
    last_event: datetime | None,
    zone: tzinfo = UTC,
) -> tuple[Interval, list[datetime]]:
    """Return the interval to use, and the starts of all intervals in a range.

    Args:
        start: of the range, inclusive; None: the first event.
        end: of the range, exclusive; None: just after the last event.
        interval: as requested; None: `default_interval` of the range.
        first_event: time of the first event; None: there is no event.
        last_event: time of the last event; None: there is no event.
        zone: the time zone of days; with daylight saving time one may have 23 or 25 hours.

    Raises:
        UnsupportedQueryError: the range has more than `MAX_INTERVALS` intervals.
    """
    start = start or first_event
    end = end or (last_event and last_event + timedelta.resolution)
    if start is None or end is None or start >= end:
        return interval or "hour", []
    interval = interval or default_interval(end - start)
    first_start = start_of_interval(start, interval, zone)
    length = INTERVAL_LENGTH[interval]
    number = -((first_start - end) // length)
    if number > MAX_INTERVALS:
        raise UnsupportedQueryError(
            "interval",
            f"The range has {number:,} intervals of one {interval}, the maximum is "
            f"{MAX_INTERVALS:,}. Use a longer interval or a shorter range.",
        )
    if interval != "day":
        return interval, [first_start + index * length for index in range(number)]
    first_day = first_start.astimezone(zone).replace(tzinfo=None)
    days = ((first_day + index * length).replace(tzinfo=zone) for index in range(number + 1))
    starts = (start_of_day.astimezone(UTC) for start_of_day in days)
    return interval, [moment for moment in starts if moment < end]
