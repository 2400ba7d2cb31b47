"""The intervals of reports over time."""

from datetime import UTC, datetime, timedelta

import pytest

from functions.analytics_query.errors import UnsupportedQueryError
from functions.analytics_query.query.intervals import MAX_INTERVALS, interval_starts
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
