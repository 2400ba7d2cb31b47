"""Events and revenue over time, without gaps."""

from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field
from typing_extensions import TypedDict

from ..answers import Count, Money, Range, Time, money, time, utc
from ..database import Row, Snapshot
from ..filters import ReportQuery
from ..statements import Statements
from ..sums import sums
from ..unanswerable import Unanswerable
from .report import Report

SQL = Statements("report_timeseries.sql")

Interval = Literal["minute", "hour", "day"]
Split = Literal["none", "source", "funnelStage", "eventType", "country", "campaignId"]
LENGTH = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
MOST_POINTS = 50_000
"""The most points in one answer, all series together."""
MOST_SERIES_POINTS = 10_000
"""The most points in one series."""


class TimeseriesQuery(ReportQuery):
    """Parameters of the report."""

    interval: Interval | None = Field(
        None,
        description="The time between points. By default the range decides: minutes up to 6 hours, "
        "hours up to 8 days, else days.",
        examples=["hour"],
    )
    split: Split = Field("none", description="One series for each of these.", examples=["source"])
    limit: int = Field(
        20, ge=1, le=100, description="The most series; those with most events are kept."
    )


class Point(TypedDict):
    """One interval."""

    time: Time
    events: Count
    revenue: Money


class Series(TypedDict):
    """The points of one part; `key` is `all` without a split, null for events that have none."""

    key: str | None
    points: list[Point]


class Timeseries(Range):
    """Events and revenue over time; points are the starts of intervals, gaps are zeros."""

    interval: Interval
    split: Split
    series: list[Series]
    omittedSeries: Count


def _floor(moment: datetime, interval: Interval) -> datetime:
    start = moment.replace(second=0, microsecond=0)
    if interval != "minute":
        start = start.replace(minute=0)
    return start.replace(hour=0) if interval == "day" else start


def fitting_interval(length: timedelta) -> Interval:
    """Return the interval that shows a range of this length well."""
    if length <= timedelta(hours=6):
        return "minute"
    return "hour" if length <= timedelta(days=8) else "day"


def _ceil(moment: datetime, interval: Interval) -> datetime:
    start = _floor(moment, interval)
    return start if start == moment else start + LENGTH[interval]


def _span(now: Snapshot, query: TimeseriesQuery) -> tuple[datetime, datetime] | None:
    """Return the moments that the points reach from and to, None where there is nothing."""
    if query.from_ is not None and query.to is not None:
        return (query.from_, query.to) if query.from_ < query.to else None
    found = sums(now, SQL, "timeseries_span", query)[0]
    if found["first_at"] is None:
        return None
    return query.from_ or found["first_at"], query.to or found["last_at"] + timedelta.resolution


def timeseries(now: Snapshot, query: TimeseriesQuery) -> Timeseries:
    """Compute the report."""
    span = _span(now, query)
    length = span[1] - span[0] if span else timedelta()
    interval = query.interval or fitting_interval(length)
    times: list[str] = []
    by_key: dict[str | None, dict[str, Row]] = {}
    if span is not None:
        start, end = _floor(span[0], interval), _ceil(span[1], interval)
        number = (end - start) // LENGTH[interval]
        if number > MOST_SERIES_POINTS:
            raise Unanswerable(
                "interval",
                f"The range has {number:,} intervals of a {interval}, at most "
                f"{MOST_SERIES_POINTS:,} are answered: ask for longer ones or a shorter range.",
            )
        times = [utc(start + index * LENGTH[interval]) for index in range(number)]
        for row in sums(now, SQL, "timeseries", query, interval=interval, split=query.split):
            by_key.setdefault(row["key"], {})[utc(row["time"])] = row
    if query.split == "none":
        by_key.setdefault("all", {})
    most = min(query.limit, max(MOST_POINTS // max(len(times), 1), 1))
    keys = sorted(
        by_key,
        key=lambda key: (-sum(row["events"] for row in by_key[key].values()), key or ""),
    )
    return {
        "from": time(query.from_),
        "to": time(query.to),
        "interval": interval,
        "split": query.split,
        "series": [{"key": key, "points": _points(times, by_key[key])} for key in keys[:most]],
        "omittedSeries": len(keys[most:]),
    }


def _points(times: list[str], rows: dict[str, Row]) -> list[Point]:
    nothing: Row = {"events": 0, "revenue": None}
    return [
        {"time": at, "events": row["events"], "revenue": money(row["revenue"])}
        for at in times
        for row in (rows.get(at, nothing),)
    ]


REPORT = Report(
    name="timeseries",
    summary="Events and revenue over time",
    description="One point an interval (UTC), from the start of the range to its end; intervals "
    "without events are zeros. Without `from` or `to` the points reach from the first event to "
    "the last.",
    query=TimeseriesQuery,
    answer=Timeseries,
    compute=timeseries,
)
