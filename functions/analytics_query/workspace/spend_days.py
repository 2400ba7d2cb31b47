"""Which days of spend a time range has: spend is known by whole days of the workspace's zone."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from ..settings import settings

MIDNIGHT = datetime.min.time()


def workspace_zone() -> ZoneInfo:
    """Return the time zone of the days of spend."""
    return ZoneInfo(settings().timezone)


def first_day_from(moment: datetime | None) -> date | None:
    """Return the first day that begins at a moment or later; None for None.

    The days of a range `[from, to)` are those that begin in it: from `first_day_from(from)` to
    before `first_day_from(to)`. So ranges that meet have no day in common and leave none out.
    """
    if moment is None:
        return None
    local = moment.astimezone(workspace_zone())
    return local.date() if _is_start(local) else local.date() + timedelta(days=1)


def is_start_of_day(moment: datetime | None) -> bool:
    """Return whether a day begins at a moment; true for None."""
    return moment is None or _is_start(moment.astimezone(workspace_zone()))


def _is_start(local: datetime) -> bool:
    # where the clocks go forward at midnight, the day begins at one
    start = datetime.combine(local.date(), MIDNIGHT, local.tzinfo)
    return start.timestamp() == local.timestamp()
