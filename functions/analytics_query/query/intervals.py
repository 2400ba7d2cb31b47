"""The intervals of reports over time: one point per interval."""

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Literal

from ..errors import UnsupportedQueryError
from .time_range import Grain

Interval = Literal["minute", "hour", "day", "week", "month", "quarter", "year"]
INTERVAL_LENGTH: dict[Interval, timedelta] = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
}
"""Intervals of a fixed length, but for days and weeks in which clocks are changed."""
MONTHS: dict[Interval, int] = {"month": 1, "quarter": 3, "year": 12}
ROLLUP_GRAIN: dict[Interval, Grain | None] = {"minute": None, "hour": "hour"}
"""The coarsest rollup that can tell the intervals apart, days for all others; None: only the
events can."""
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
    if interval not in ("minute", "hour"):
        day = _first_day(start.date(), interval)
        start = datetime(day.year, day.month, day.day, tzinfo=zone)
    return start.astimezone(UTC)


def _first_day(day: date, interval: Interval) -> date:
    """Return the first day of the calendar interval that contains a day; weeks start on Monday."""
    if interval == "week":
        return day - timedelta(days=day.weekday())
    if interval in MONTHS:
        months = MONTHS[interval]
        return day.replace(month=(day.month - 1) // months * months + 1, day=1)
    return day


def _next_first_day(day: date, interval: Interval) -> date:
    if interval in MONTHS:
        years, month = divmod(day.month - 1 + MONTHS[interval], 12)
        return day.replace(year=day.year + years, month=month + 1)
    return day + INTERVAL_LENGTH[interval]


def coarsest_grain(interval: Interval, times: list[datetime], zone: tzinfo) -> Grain | None:
    """Return the coarsest rollup that can tell intervals of a time zone apart.

    Rollups are of UTC hours and days: days of another time zone are put together from hours, and
    where its offset is not of whole hours, hours and days from the events.
    """
    # of every one: London's offset is none in both winters, and an hour in the summer between them
    offsets = {moment.astimezone(zone).utcoffset() or NO_OFFSET for moment in times}
    if interval == "minute" or not any(offsets):
        return ROLLUP_GRAIN.get(interval, "day")
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
    length = INTERVAL_LENGTH.get(interval, timedelta(days=28))
    number = -((first_start - end) // length)
    if number > MAX_INTERVALS:
        raise UnsupportedQueryError(
            "interval",
            f"The range has {number:,} intervals of one {interval}, the maximum is "
            f"{MAX_INTERVALS:,}. Use a longer interval or a shorter range.",
        )
    if interval in ("minute", "hour"):
        return interval, [first_start + index * length for index in range(number)]
    starts: list[datetime] = []
    day, moment = first_start.astimezone(zone).date(), first_start
    while moment < end:
        starts.append(moment)
        day = _next_first_day(day, interval)
        moment = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    return interval, starts
