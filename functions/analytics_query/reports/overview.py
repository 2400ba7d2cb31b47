"""Totals of a range: events, users, revenue; by source, stage and type."""

from collections.abc import Iterable
from decimal import Decimal

from typing_extensions import TypedDict

from ..database import Row, Snapshot
from ..formatting import Count, Money, Range, Time, average, money, time
from ..query.filters import ReportQuery, Stage
from ..query.rollup_query import sums
from ..query.statements import Statements
from ..users.unique_users import Accuracy, unique_users
from .report import Report

SQL = Statements("report_overview.sql")


class Totals(TypedDict):
    """The whole range."""

    events: Count
    uniqueUsers: Count
    uniqueUsersAccuracy: Accuracy
    purchases: Count
    revenue: Money
    averageOrderValue: Money | None
    firstEvent: Time | None
    lastEvent: Time | None


class OfSource(TypedDict):
    """One source."""

    source: str
    events: Count
    revenue: Money


class OfStage(TypedDict):
    """One stage of the funnel."""

    funnelStage: Stage
    events: Count
    revenue: Money


class OfType(TypedDict):
    """One type of event of one source."""

    source: str
    funnelStage: Stage
    eventType: str
    events: Count
    revenue: Money


class Overview(Range):
    """Totals of a range."""

    totals: Totals
    bySource: list[OfSource]
    byFunnelStage: list[OfStage]
    byEventType: list[OfType]


def _sums(rows: Iterable[Row], key: str) -> list[tuple[str, int, Decimal]]:
    events: dict[str, int] = {}
    revenue: dict[str, Decimal] = {}
    for row in rows:
        events[row[key]] = events.get(row[key], 0) + row["events"]
        revenue[row[key]] = revenue.get(row[key], Decimal()) + row["revenue"]
    return [(name, events[name], revenue[name]) for name in events]


def overview(now: Snapshot, query: ReportQuery) -> Overview:
    """Compute the report."""
    rows = sums(now, SQL, "overview_by_type", query)
    users, accuracy = unique_users(now, query)
    purchases = sum(row["purchases"] for row in rows)
    revenue = sum((row["revenue"] for row in rows), Decimal())
    return {
        "from": time(query.from_),
        "to": time(query.to),
        "totals": {
            "events": sum(row["events"] for row in rows),
            "uniqueUsers": users,
            "uniqueUsersAccuracy": accuracy,
            "purchases": purchases,
            "revenue": money(revenue),
            "averageOrderValue": average(revenue, purchases),
            "firstEvent": time(min((row["first_at"] for row in rows), default=None)),
            "lastEvent": time(max((row["last_at"] for row in rows), default=None)),
        },
        "bySource": [
            {"source": name, "events": events, "revenue": money(revenue)}
            for name, events, revenue in _sums(rows, "source")
        ],
        "byFunnelStage": [
            {
                "funnelStage": "top" if name == "top" else "bottom",
                "events": events,
                "revenue": money(revenue),
            }
            for name, events, revenue in sorted(_sums(rows, "funnel_stage"), reverse=True)
        ],
        "byEventType": [
            {
                "source": row["source"],
                "funnelStage": row["funnel_stage"],
                "eventType": row["event_type"],
                "events": row["events"],
                "revenue": money(row["revenue"]),
            }
            for row in rows
        ],
    }


REPORT = Report(
    name="overview",
    summary="Totals of a range",
    description="Events, different users and revenue in total, by source, by funnel stage and by "
    "event type.",
    query=ReportQuery,
    answer=Overview,
    compute=overview,
)
