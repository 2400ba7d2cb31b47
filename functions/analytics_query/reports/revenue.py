"""Money: by source, campaign, country and over time."""

from decimal import Decimal
from typing import Any

from pydantic import Field
from typing_extensions import TypedDict

from ..database import Row, Snapshot
from ..formatting import Count, Money, Range, Time, average, money, time, utc
from ..query.filters import ReportQuery
from ..query.intervals import GRAIN, Interval, starts
from ..query.rollup_query import span, sums
from ..query.statements import Statements
from .report import Report

SQL = Statements("report_revenue.sql")


class RevenueQuery(ReportQuery):
    """Parameters of the report."""

    interval: Interval | None = Field(
        None,
        description="The time between points. By default the range decides: minutes up to 6 hours, "
        "hours up to 8 days, else days.",
        examples=["day"],
    )
    limit: int = Field(
        100,
        ge=1,
        le=1000,
        description="The most campaigns, and the most countries; those with most revenue are kept.",
    )


class Figures(TypedDict):
    """Purchases (events with an amount), their sum and their average."""

    purchases: Count
    revenue: Money
    averageOrderValue: Money | None


class OfSource(Figures):
    """One source."""

    source: str


class OfCampaign(Figures):
    """One campaign; null: purchases of no campaign."""

    campaignId: str | None


class OfCountry(Figures):
    """One country; null: purchases that name none."""

    country: str | None


class Point(Figures):
    """One interval."""

    time: Time


class Revenue(Range, Figures):
    """Revenue in total and by parts; the points have no gaps."""

    interval: Interval
    bySource: list[OfSource]
    byCampaign: list[OfCampaign]
    byCountry: list[OfCountry]
    points: list[Point]


def _figures(row: Row | None) -> Figures:
    if row is None:
        return {"purchases": 0, "revenue": "0", "averageOrderValue": None}
    return {
        "purchases": row["purchases"],
        "revenue": money(row["revenue"]),
        "averageOrderValue": average(row["revenue"], row["purchases"]),
    }


def revenue(now: Snapshot, query: RevenueQuery) -> Revenue:
    """Compute the report."""

    def by(split: str, **options: Any) -> list[Row]:
        params = {"interval": None, "split": split} | options
        return sums(now, SQL, "revenue", query, **params)

    by_source = by("source")
    total: Row = {
        "purchases": sum(row["purchases"] for row in by_source),
        "revenue": sum((row["revenue"] for row in by_source), Decimal()),
    }
    by_campaign = by("campaignId", by_campaign=True)
    without: Row = {
        "key": None,
        "purchases": total["purchases"] - sum(row["purchases"] for row in by_campaign),
        "revenue": total["revenue"] - sum((row["revenue"] for row in by_campaign), Decimal()),
    }
    by_country = by("country", by_country=True)
    # the span of all events: rollups do not tell when the first and the last purchase was
    interval, times = starts(query.from_, query.to, query.interval, *span(now, query))
    over_time = by("all", interval=interval, grain=GRAIN[interval]) if times else []
    points = {row["time"]: row for row in over_time}
    return {
        "from": time(query.from_),
        "to": time(query.to),
        **_figures(total),
        "interval": interval,
        "bySource": [{"source": row["key"], **_figures(row)} for row in by_source],
        "byCampaign": [
            {"campaignId": row["key"], **_figures(row)}
            for row in [*by_campaign[: query.limit], *([without] if without["purchases"] else [])]
        ],
        "byCountry": [
            {"country": row["key"], **_figures(row)} for row in by_country[: query.limit]
        ],
        "points": [{"time": utc(at), **_figures(points.get(at))} for at in times],
    }


REPORT = Report(
    name="revenue",
    summary="Revenue by source, campaign, country and over time",
    description="Purchases (events with an amount), revenue and average order value. Averages are "
    "rounded to two decimals, sums are exact.",
    query=RevenueQuery,
    answer=Revenue,
    compute=revenue,
)
