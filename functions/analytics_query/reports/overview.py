"""Totals of a time range: events, users, revenue; by source, funnel stage and event type."""

from collections.abc import Iterable
from decimal import Decimal

from typing_extensions import TypedDict

from functions.common.workspace import workspace

from ..database import Row, Snapshot
from ..formatting import (
    Count,
    Money,
    Rate,
    ReportRange,
    Time,
    format_average,
    format_money,
    format_optional_time,
)
from ..query.filters import ReportQuery, Stage
from ..query.rollup_query import query_rollups
from ..query.statements import Statements
from ..query.told_country import LeftOut, left_out
from ..users.accuracy import Accuracy, RateAccuracy
from ..users.buyers import buyers, conversion
from ..users.unique_users import unique_users
from .report import Report

SQL = Statements("report_overview.sql")


class OverviewTotals(TypedDict):
    """The whole time range.

    `uniqueUsers` are the people seen, `buyers` those of them with a purchase, and `conversionRate`
    is buyers/uniqueUsers, null if nobody was seen.
    """

    events: Count
    uniqueUsers: Count
    uniqueUsersAccuracy: Accuracy
    buyers: Count
    buyersAccuracy: Accuracy
    conversionRate: Rate | None
    conversionRateAccuracy: RateAccuracy | None
    purchases: Count
    revenue: Money
    averageOrderValue: Money | None
    firstEvent: Time | None
    lastEvent: Time | None


class SourceTotals(TypedDict):
    """One source."""

    source: str
    events: Count
    revenue: Money


class StageTotals(TypedDict):
    """One funnel stage."""

    funnelStage: Stage
    events: Count
    revenue: Money


class EventTypeTotals(TypedDict):
    """One event type of one source."""

    source: str
    funnelStage: Stage
    eventType: str
    events: Count
    revenue: Money


class Overview(ReportRange):
    """Totals of a time range; `currency` is that of all amounts, null where none is set."""

    currency: str | None
    totals: OverviewTotals
    leftOut: LeftOut | None
    bySource: list[SourceTotals]
    byFunnelStage: list[StageTotals]
    byEventType: list[EventTypeTotals]


def _totals_by(rows: Iterable[Row], key: str) -> list[tuple[str, int, Decimal]]:
    """Return the events and the revenue by the value of a column."""
    events: dict[str, int] = {}
    revenue: dict[str, Decimal] = {}
    for row in rows:
        events[row[key]] = events.get(row[key], 0) + row["events"]
        revenue[row[key]] = revenue.get(row[key], Decimal()) + row["revenue"]
    return [(name, events[name], revenue[name]) for name in events]


def overview(snapshot: Snapshot, query: ReportQuery) -> Overview:
    """Return the report."""
    rows = query_rollups(snapshot, SQL, "overview_by_type", query)
    users, accuracy = unique_users(snapshot, query)
    bought, bought_accuracy = buyers(snapshot, query, rows)
    rate, rate_accuracy = conversion((bought, bought_accuracy), (users, accuracy))
    purchases = sum(row["purchases"] for row in rows)
    revenue = sum((row["revenue"] for row in rows), Decimal())
    return {
        "from": format_optional_time(query.from_),
        "to": format_optional_time(query.to),
        "currency": workspace().currency,
        "totals": {
            "events": sum(row["events"] for row in rows),
            "uniqueUsers": users,
            "uniqueUsersAccuracy": accuracy,
            "buyers": bought,
            "buyersAccuracy": bought_accuracy,
            "conversionRate": rate,
            "conversionRateAccuracy": rate_accuracy,
            "purchases": purchases,
            "revenue": format_money(revenue),
            "averageOrderValue": format_average(revenue, purchases),
            "firstEvent": format_optional_time(
                min((row["first_at"] for row in rows), default=None)
            ),
            "lastEvent": format_optional_time(max((row["last_at"] for row in rows), default=None)),
        },
        "leftOut": left_out(snapshot, query),
        "bySource": [
            {"source": name, "events": events, "revenue": format_money(revenue)}
            for name, events, revenue in _totals_by(rows, "source")
        ],
        "byFunnelStage": [
            {
                "funnelStage": "top" if name == "top" else "bottom",
                "events": events,
                "revenue": format_money(revenue),
            }
            for name, events, revenue in sorted(_totals_by(rows, "funnel_stage"), reverse=True)
        ],
        "byEventType": [
            {
                "source": row["source"],
                "funnelStage": row["funnel_stage"],
                "eventType": row["event_type"],
                "events": row["events"],
                "revenue": format_money(row["revenue"]),
            }
            for row in rows
        ],
    }


REPORT = Report(
    name="overview",
    summary="Totals of a time range",
    description="Events, distinct users and revenue in total, by source, by funnel stage and by "
    "event type. `conversionRate` is people who bought of people seen: `buyers`/`uniqueUsers`.",
    query=ReportQuery,
    response=Overview,
    compute=overview,
)
