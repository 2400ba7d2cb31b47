"""The intervals of reports over time."""

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from functions.analytics_query.errors import UnsupportedQueryError
from functions.analytics_query.query.intervals import (
    MAX_INTERVALS,
    Interval,
    coarsest_grain,
    interval_starts,
)
from functions.analytics_query.query.time_range import DAY, HOUR

START = datetime(2024, 6, 10, tzinfo=UTC)


def test_intervals_cover_the_range_from_start_to_end() -> None:
    interval, times = interval_starts(START + HOUR / 2, START + 3 * HOUR, "hour", None, None)
    assert (interval, times) == ("hour", [START, START + HOUR, START + 2 * HOUR])
    assert interval_starts(START, START, "day", None, None) == ("day", [])
    assert interval_starts(None, None, None, None, None)[1] == []
    day_starts = interval_starts(None, None, "day", START + HOUR, START + DAY)
    assert day_starts == ("day", [START, START + DAY])


def test_too_many_intervals_are_refused_before_they_are_computed() -> None:
    end = START + timedelta(minutes=MAX_INTERVALS)
    interval_starts(START, end, "minute", None, None)
    with pytest.raises(UnsupportedQueryError, match="interval"):
        interval_starts(START, end + timedelta(minutes=1), "minute", None, None)


@pytest.mark.parametrize(
    ("first", "hours"), [((2024, 3, 30), [24, 23, 24]), ((2024, 10, 26), [24, 25, 24])]
)
def test_days_of_a_time_zone_begin_at_its_midnight(
    first: tuple[int, int, int], hours: list[int]
) -> None:
    """Also where the clocks change: such a day has 23 or 25 hours."""
    berlin = ZoneInfo("Europe/Berlin")
    start = datetime(*first, 5, tzinfo=berlin)
    _, times = interval_starts(start, start + 2.5 * DAY, "day", None, None, berlin)
    assert [moment.astimezone(berlin).hour for moment in times] == [0, 0, 0]
    assert times[0] == datetime(*first, tzinfo=berlin)
    lengths = [(b - a) / HOUR for a, b in itertools.pairwise(times)]
    assert lengths == hours[:2]
    assert coarsest_grain("day", times, berlin) == "hour"
    assert coarsest_grain("day", times, ZoneInfo("UTC")) == "day"
    assert coarsest_grain("hour", times, ZoneInfo("Asia/Kolkata")) is None


def test_days_of_london_are_not_those_of_utc_in_its_summer() -> None:
    """Though they are at both ends of such a range."""
    london = ZoneInfo("Europe/London")
    start, end = datetime(2024, 1, 1, tzinfo=london), datetime(2024, 12, 31, tzinfo=london)
    _, times = interval_starts(start, end, "day", None, None, london)
    assert coarsest_grain("day", times, london) == "hour"
    _, years = interval_starts(start, end, "year", None, None, london)
    assert coarsest_grain("year", years, london) == "day"


def test_weeks_months_quarters_and_years_are_those_of_the_calendar() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    start, end = datetime(2023, 11, 15, tzinfo=berlin), datetime(2024, 4, 1, tzinfo=berlin)
    expected: dict[Interval, list[str]] = {
        "month": ["2023-11-01", "2023-12-01", "2024-01-01", "2024-02-01", "2024-03-01"],
        "quarter": ["2023-10-01", "2024-01-01"],
        "year": ["2023-01-01", "2024-01-01"],
    }
    for interval, dates in expected.items():
        _, times = interval_starts(start, end, interval, None, None, berlin)
        assert [str(moment.astimezone(berlin).replace(tzinfo=None)) for moment in times] == [
            f"{day} 00:00:00" for day in dates
        ]
    _, weeks = interval_starts(start, end, "week", None, None, berlin)
    assert {moment.astimezone(berlin).strftime("%a %H") for moment in weeks} == {"Mon 00"}
    assert (len(weeks), weeks[0]) == (20, datetime(2023, 11, 13, tzinfo=berlin))
