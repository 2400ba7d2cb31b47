"""The parts of a time range cover it without gaps and without overlaps."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from functions.analytics_query.query.time_range import DAY, HOUR, Grain, TimeSpan, split_range

START = datetime(2024, 6, 10, tzinfo=UTC)
# near the bounds of hours and days, where splitting can go wrong
MOMENTS = st.builds(
    lambda hours, micros: START + timedelta(hours=hours, microseconds=micros),
    st.integers(0, 100),
    st.sampled_from([0, 1, 59_999_999, 1_800_000_000, 3_599_999_999]),
)
GRAINS: list[Grain] = ["day", "hour"]


@given(st.tuples(MOMENTS, MOMENTS).map(sorted), st.sampled_from(GRAINS))
def test_parts_cover_the_range(bounds: list[datetime], grain: Grain) -> None:
    start, end = bounds
    parts = split_range(start, end, grain)
    days: list[TimeSpan] = [parts.days] if parts.days else []
    spans: list[TimeSpan] = sorted([*days, *parts.hours, *parts.edges])
    if start == end:
        assert spans == []
        return
    assert (spans[0][0], spans[-1][1]) == (start, end)
    assert all(one[1] == other[0] for one, other in pairwise(spans))
    assert len(parts.hours) <= 2
    assert len(parts.edges) <= 2
    assert all(_whole(span, HOUR) for span in parts.hours)
    assert parts.days is None or (grain == "day" and _whole(parts.days, DAY))
    assert all(one[1] - one[0] < HOUR for one in parts.edges)
    assert all(_within_a_day(span) for span in parts.edges)
    rest = sum((b - a for a, b in parts.rest), timedelta())
    assert rest == sum((b - a for a, b in (*parts.hours, *parts.edges)), timedelta())
    if grain == "day":
        assert len(parts.rest) <= 2
        assert all(_within_a_day(span) for span in parts.rest)


def _whole(span: TimeSpan, unit: timedelta) -> bool:
    return all((bound - START) % unit == timedelta() for bound in span) and span[0] < span[1]


def _within_a_day(span: TimeSpan) -> bool:
    return span[0].date() == (span[1] - timedelta.resolution).date()


def test_an_unbounded_range_has_only_days() -> None:
    parts = split_range(None, None)
    assert parts.days is not None
    assert (parts.hours, parts.edges) == ((), ())
