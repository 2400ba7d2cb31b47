"""Purchases and revenue by source, campaign and country, and over time."""

from datetime import datetime
from decimal import Decimal
from functools import partial

from pydantic import Field
from typing_extensions import TypedDict

from functions.common.workspace import workspace

from ..database import Row, Snapshot
from ..formatting import (
    Count,
    Money,
    ReportRange,
    Time,
    format_average,
    format_money,
    format_optional_time,
    format_time,
)
from ..query.filters import ReportQuery
from ..query.intervals import Interval, coarsest_grain, interval_starts
from ..query.rollup_query import event_time_bounds, query_rollups
from ..query.statements import Statements
from .report import Report

SQL = Statements("report_revenue.sql")


class RevenueQuery(ReportQuery):
    """The query parameters of the report."""

    interval: Interval | None = Field(
        None,
        description="Interval between points. Default: by the length of the range: minutes up to "
        "6 hours, hours up to 8 days, days beyond.",
        examples=["day"],
    )
    limit: int = Field(
        100,
        ge=1,
        le=1000,
        description="Maximum number of campaigns and of countries; those with the most revenue are "
        "returned.",
    )


class PurchaseFigures(TypedDict):
    """Purchases (events with an amount), their sum and their average."""

    purchases: Count
    revenue: Money
    averageOrderValue: Money | None


class SourceRevenue(PurchaseFigures):
    """One source."""

    source: str


class CampaignRevenue(PurchaseFigures):
    """One campaign; null: purchases without a campaign."""

    campaignId: str | None


class CountryRevenue(PurchaseFigures):
    """One country; null: purchases without a country."""

    country: str | None


class RevenuePoint(PurchaseFigures):
    """One interval."""

    time: Time


class Revenue(ReportRange, PurchaseFigures):
    """Revenue in total, by source, campaign and country; intervals without purchases are zeros.

    `currency` is that of all amounts, null where none is set.
    """

    currency: str | None
    interval: Interval
    timezone: str
    bySource: list[SourceRevenue]
    byCampaign: list[CampaignRevenue]
    byCountry: list[CountryRevenue]
    points: list[RevenuePoint]


def _figures(row: Row | None) -> PurchaseFigures:
    if row is None:
        return {"purchases": 0, "revenue": "0", "averageOrderValue": None}
    return {
        "purchases": row["purchases"],
        "revenue": format_money(row["revenue"]),
        "averageOrderValue": format_average(row["revenue"], row["purchases"]),
    }


def revenue(snapshot: Snapshot, query: RevenueQuery) -> Revenue:
    """Return the report."""
    query_by = partial(query_rollups, snapshot, SQL, "revenue", query, zone=query.timezone)
    by_source = query_by(split="source", interval=None)
    by_campaign = query_by(split="campaignId", interval=None, by_campaign=True)
    by_country = query_by(split="country", interval=None, by_country=True)
    total: Row = {
        "purchases": sum(row["purchases"] for row in by_source),
        "revenue": sum((row["revenue"] for row in by_source), Decimal()),
    }
    without_campaign: Row = {
        "key": None,
        "purchases": total["purchases"] - sum(row["purchases"] for row in by_campaign),
        "revenue": total["revenue"] - sum((row["revenue"] for row in by_campaign), Decimal()),
    }
    # the bounds of all events: rollups do not contain the times of the first and last purchase
    bounds = event_time_bounds(snapshot, query)
    interval, times = interval_starts(
        query.from_, query.to, query.interval, *bounds, zone=query.zone
    )
    points: dict[datetime, Row] = {}
    if times:
        over_time = query_by(
            split="all", interval=interval, grain=coarsest_grain(interval, times, query.zone)
        )
        points = {row["time"]: row for row in over_time}
    return {
        "from": format_optional_time(query.from_),
        "to": format_optional_time(query.to),
        **_figures(total),
        "currency": workspace().currency,
        "interval": interval,
        "timezone": query.timezone,
        "bySource": [{"source": row["key"], **_figures(row)} for row in by_source],
        "byCampaign": [
            {"campaignId": row["key"], **_figures(row)}
            for row in [
                *by_campaign[: query.limit],
                *([without_campaign] if without_campaign["purchases"] else []),
            ]
        ],
        "byCountry": [
            {"country": row["key"], **_figures(row)} for row in by_country[: query.limit]
        ],
        "points": [{"time": format_time(at), **_figures(points.get(at))} for at in times],
    }


REPORT = Report(
    name="revenue",
    summary="Revenue by source, campaign, country and over time",
    description="Purchases (events with an amount), revenue and average order value. Averages are "
    "rounded to two decimals, sums are exact.",
    query=RevenueQuery,
    response=Revenue,
    compute=revenue,
)
