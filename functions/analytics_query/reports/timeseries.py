"""Events and revenue over time, without gaps."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from ..database import Row, Snapshot
from ..formatting import Count, Money, Range, Time, money, time, utc
from ..query.filters import ReportQuery
from ..query.intervals import GRAIN, Interval, starts
from ..query.rollup_query import span, sums
from ..query.statements import Statements
from .report import Report

SQL = Statements("report_timeseries.sql")

Split = Literal["none", "source", "funnelStage", "eventType", "country", "campaignId"]
MOST_POINTS = 50_000
"""The most points in one answer, all series together."""


class TimeseriesQuery(ReportQuery):
    """Parameters of the report."""

    interval: Interval | None = Field(
        None,
        description="The time between points. By default the range decides: minutes up to 6 hours, "
        "hours up to 8 days, else days.",
        examples=["hour"],
    )
    split: Split = Field(
        "none",
        description="One series for each of these. Series by campaignId leave out the events of no "
        "campaign.",
        examples=["source"],
    )
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


def timeseries(now: Snapshot, query: TimeseriesQuery) -> Timeseries:
    """Compute the report."""
    options: dict[str, Any] = {
        "by_country": query.split == "country",
        "by_campaign": query.split == "campaignId",
    }
    interval, times = starts(query.from_, query.to, query.interval, *span(now, query, **options))
    by_key: dict[str | None, dict[datetime, Row]] = {}
    if times:
        options |= {"grain": GRAIN[interval], "interval": interval, "split": query.split}
        for row in sums(now, SQL, "timeseries", query, **options):
            by_key.setdefault(row["key"], {})[row["time"]] = row
    if query.split == "none":
        by_key.setdefault("all", {})
    keys = sorted(
        by_key,
        key=lambda key: (-sum(row["events"] for row in by_key[key].values()), key or ""),
    )
    most = min(query.limit, max(MOST_POINTS // max(len(times), 1), 1))
    labels = [(at, utc(at)) for at in times]
    return {
        "from": time(query.from_),
        "to": time(query.to),
        "interval": interval,
        "split": query.split,
        "series": [{"key": key, "points": _points(labels, by_key[key])} for key in keys[:most]],
        "omittedSeries": len(keys[most:]),
    }


def _points(labels: list[tuple[datetime, str]], rows: dict[datetime, Row]) -> list[Point]:
    nothing: Row = {"events": 0, "revenue": None}
    return [
        {"time": label, "events": row["events"], "revenue": money(row["revenue"])}
        for at, label in labels
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
