"""However a range is bounded, its pieces are that range: nothing missing, nothing twice."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.analytics_query.errors import UnsupportedQueryError
from functions.analytics_query.query.intervals import MOST_POINTS, starts
from functions.analytics_query.query.time_range import DAY, HOUR, Grain, Span, cut
from functions.analytics_query.web.report_cache import AnswerCache, answer

FROM = datetime(2024, 6, 10, tzinfo=UTC)
# near the bounds of hours and days, where cutting goes wrong
MOMENTS = st.builds(
    lambda hours, micros: FROM + timedelta(hours=hours, microseconds=micros),
    st.integers(0, 100),
    st.sampled_from([0, 1, 59_999_999, 1_800_000_000, 3_599_999_999]),
)
GRAINS: list[Grain] = ["day", "hour"]


@given(st.tuples(MOMENTS, MOMENTS).map(sorted), st.sampled_from(GRAINS))
def test_pieces_make_up_the_range(bounds: list[datetime], grain: Grain) -> None:
    start, end = bounds
    pieces = cut(start, end, grain)
    days: list[Span] = [pieces.days] if pieces.days else []
    spans: list[Span] = sorted([*days, *pieces.hours, *pieces.edges])
    if start == end:
        assert spans == []
        return
    assert (spans[0][0], spans[-1][1]) == (start, end)
    assert all(one[1] == other[0] for one, other in pairwise(spans))
    assert len(pieces.hours) <= 2
    assert len(pieces.edges) <= 2
    assert all(_whole(span, HOUR) for span in pieces.hours)
    assert pieces.days is None or (grain == "day" and _whole(pieces.days, DAY))
    assert all(one[1] - one[0] < HOUR for one in pieces.edges)
    assert all(_within_a_day(span) for span in pieces.edges)
    rest = sum((b - a for a, b in pieces.rest), timedelta())
    assert rest == sum((b - a for a, b in (*pieces.hours, *pieces.edges)), timedelta())
    if grain == "day":
        assert len(pieces.rest) <= 2
        assert all(_within_a_day(span) for span in pieces.rest)


def _whole(span: Span, unit: timedelta) -> bool:
    return all((bound - FROM) % unit == timedelta() for bound in span) and span[0] < span[1]


def _within_a_day(span: Span) -> bool:
    return span[0].date() == (span[1] - timedelta.resolution).date()


def test_an_unbounded_range_is_days_alone() -> None:
    pieces = cut(None, None)
    assert pieces.days is not None
    assert (pieces.hours, pieces.edges) == ((), ())


def test_points_reach_from_the_start_to_the_end() -> None:
    interval, times = starts(FROM + HOUR / 2, FROM + 3 * HOUR, "hour", None, None)
    assert (interval, times) == ("hour", [FROM, FROM + HOUR, FROM + 2 * HOUR])
    assert starts(FROM, FROM, "day", None, None) == ("day", [])
    assert starts(None, None, None, None, None)[1] == []
    assert starts(None, None, "day", FROM + HOUR, FROM + DAY) == ("day", [FROM, FROM + DAY])


def test_too_many_points_are_refused_before_they_are_computed() -> None:
    starts(FROM, FROM + timedelta(minutes=MOST_POINTS), "minute", None, None)
    with pytest.raises(UnsupportedQueryError, match="interval"):
        starts(FROM, FROM + timedelta(minutes=MOST_POINTS + 1), "minute", None, None)


def test_the_cache_forgets_what_was_asked_longest_ago() -> None:
    cache = AnswerCache(most_bytes=1000)
    for question in ("a", "b", "c"):
        cache.put(question, answer(b"x" * 240, "1"))
    assert cache.get("a", "1")
    cache.put("d", answer(b"x" * 240, "1"))
    cache.put("e", answer(b"x" * 240, "1"))
    assert cache.get("b", "1") is None
    assert cache.get("a", "1")
    assert cache.get("a", "2") is None, "another version of the data"
    cache.put("f", answer(b"x" * 400, "1"))
    assert cache.get("f", "1") is None, "too large to be worth its room"
