"""Events and revenue over time, one point per interval."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from ..database import Row, Snapshot
from ..formatting import (
    Count,
    Money,
    ReportRange,
    Time,
    format_money,
    format_optional_time,
    format_time,
)
from ..query.filters import ReportQuery
from ..query.intervals import Interval, coarsest_grain, interval_starts
from ..query.rollup_query import event_time_bounds, query_rollups
from ..query.statements import Statements
from .report import Report

SQL = Statements("report_timeseries.sql")

SeriesSplit = Literal["none", "source", "funnelStage", "eventType", "country", "campaignId"]
MAX_TOTAL_POINTS = 50_000
"""The maximum number of points in one response, summed over all series."""


class TimeseriesQuery(ReportQuery):
    """The query parameters of the report."""

    interval: Interval | None = Field(
        None,
        description="Interval between points. Default: by the length of the range: minutes up to "
        "6 hours, hours up to 8 days, days beyond.",
        examples=["hour"],
    )
    split: SeriesSplit = Field(
        "none",
        description="Return one series per value of this field. Series by campaignId leave out the "
        "events without a campaign.",
        examples=["source"],
    )
    limit: int = Field(
        20,
        ge=1,
        le=100,
        description="Maximum number of series; those with the most events are returned.",
    )


class TimeseriesPoint(TypedDict):
    """One interval."""

    time: Time
    events: Count
    revenue: Money


class TimeseriesSeries(TypedDict):
    """One series; `key` is `all` without a split, null for events without a value."""

    key: str | None
    points: list[TimeseriesPoint]


class Timeseries(ReportRange):
    """Events and revenue over time; `time` is the start of an interval, without events 0."""

    interval: Interval
    timezone: str
    split: SeriesSplit
    series: list[TimeseriesSeries]
    omittedSeries: Count


def timeseries(snapshot: Snapshot, query: TimeseriesQuery) -> Timeseries:
    """Return the report."""
    options: dict[str, Any] = {
        "by_country": query.split == "country",
        "by_campaign": query.split == "campaignId",
    }
    interval, times = interval_starts(
        query.from_,
        query.to,
        query.interval,
        *event_time_bounds(snapshot, query, **options),
        zone=query.zone,
    )
    by_key: dict[str | None, dict[datetime, Row]] = {}
    if times:
        options |= {
            "grain": coarsest_grain(interval, times, query.zone),
            "interval": interval,
            "zone": query.timezone,
            "split": query.split,
        }
        for row in query_rollups(snapshot, SQL, "timeseries", query, **options):
            by_key.setdefault(row["key"], {})[row["time"]] = row
    if query.split == "none":
        by_key.setdefault("all", {})
    keys = sorted(
        by_key,
        key=lambda key: (-sum(row["events"] for row in by_key[key].values()), key or ""),
    )
    limit = min(query.limit, max(MAX_TOTAL_POINTS // max(len(times), 1), 1))
    labels = [(at, format_time(at)) for at in times]
    return {
        "from": format_optional_time(query.from_),
        "to": format_optional_time(query.to),
        "interval": interval,
        "timezone": query.timezone,
        "split": query.split,
        "series": [{"key": key, "points": _points(labels, by_key[key])} for key in keys[:limit]],
        "omittedSeries": len(keys[limit:]),
    }


def _points(labels: list[tuple[datetime, str]], rows: dict[datetime, Row]) -> list[TimeseriesPoint]:
    no_events: Row = {"events": 0, "revenue": None}
    return [
        {"time": label, "events": row["events"], "revenue": format_money(row["revenue"])}
        for at, label in labels
        for row in (rows.get(at, no_events),)
    ]


REPORT = Report(
    name="timeseries",
    summary="Events and revenue over time",
    description="One point per interval, in a time zone, from the start of the range to its end; "
    "intervals without events are zeros. Without `from` or `to` the points start at the first "
    "event or end at the last one.",
    query=TimeseriesQuery,
    response=Timeseries,
    compute=timeseries,
)
