"""What campaigns bring."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from ..database import Row, Snapshot
from ..formatting import Count, Money, Range, Rate, Time, average, money, rate, time, utc
from ..query.filters import ReportQuery
from ..query.rollup_query import sums
from ..query.statements import Statements
from .report import Report

SQL = Statements("report_campaigns.sql")

Sort = Literal["events", "clicks", "conversions", "revenue", "conversionRate", "campaignId"]


class CampaignsQuery(ReportQuery):
    """Parameters of the report."""

    sort: Sort = Field(
        "events",
        description="What the campaigns are ordered by, most first; campaignId: by name.",
        examples=["revenue"],
    )
    limit: int = Field(100, ge=1, le=1000, description="The most campaigns.")


class Campaign(TypedDict):
    """One campaign; `conversionRate` is conversions/clicks, null where only clicks is 0."""

    campaignId: str
    events: Count
    clicks: Count
    conversions: Count
    conversionRate: Rate | None
    purchases: Count
    revenue: Money
    averageOrderValue: Money | None
    firstEvent: Time
    lastEvent: Time


class Campaigns(Range):
    """Campaigns, and how many more there are."""

    items: list[Campaign]
    omitted: Count


def _campaign(row: Row) -> Campaign:
    return {
        "campaignId": row["campaign_id"],
        "events": row["events"],
        "clicks": row["clicks"],
        "conversions": row["conversions"],
        "conversionRate": rate(row["conversions"], row["clicks"]),
        "purchases": row["purchases"],
        "revenue": money(row["revenue"]),
        "averageOrderValue": average(row["revenue"], row["purchases"]),
        "firstEvent": utc(row["first_at"]),
        "lastEvent": utc(row["last_at"]),
    }


_ORDER: dict[Sort, Callable[[Campaign], Any]] = {
    "events": lambda campaign: -campaign["events"],
    "clicks": lambda campaign: -campaign["clicks"],
    "conversions": lambda campaign: -campaign["conversions"],
    "revenue": lambda campaign: -Decimal(campaign["revenue"]),
    "conversionRate": lambda campaign: -(campaign["conversionRate"] or 0),
    "campaignId": lambda campaign: campaign["campaignId"],
}


def campaigns(now: Snapshot, query: CampaignsQuery) -> Campaigns:
    """Compute the report."""
    items = [_campaign(row) for row in sums(now, SQL, "campaigns", query, by_campaign=True)]
    items.sort(key=_ORDER[query.sort])
    return {
        "from": time(query.from_),
        "to": time(query.to),
        "items": items[: query.limit],
        "omitted": len(items[query.limit :]),
    }


REPORT = Report(
    name="campaigns",
    summary="What campaigns bring",
    description="Events, clicks, conversions (completed purchases), conversion rate and revenue by "
    "campaign. Events of no campaign are left out.",
    query=CampaignsQuery,
    answer=Campaigns,
    compute=campaigns,
)
