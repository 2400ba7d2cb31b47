"""Events, clicks, purchases and revenue per campaign."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

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
    format_time,
    ratio,
)
from ..query.filters import ReportQuery
from ..query.rollup_query import query_rollups
from ..query.statements import Statements
from .report import Report

SQL = Statements("report_campaigns.sql")

CampaignSort = Literal["events", "clicks", "purchases", "revenue", "purchaseRate", "campaignId"]


class CampaignsQuery(ReportQuery):
    """The query parameters of the report."""

    sort: CampaignSort = Field(
        "events",
        description="The sort order, descending; `campaignId` sorts by name.",
        examples=["revenue"],
    )
    limit: int = Field(100, ge=1, le=1000, description="Maximum number of campaigns.")


class CampaignFigures(TypedDict):
    """One campaign; `purchaseRate` is purchases/clicks, null if clicks is 0."""

    campaignId: str
    events: Count
    clicks: Count
    purchases: Count
    purchaseRate: Rate | None
    revenue: Money
    averageOrderValue: Money | None
    firstEvent: Time
    lastEvent: Time


class Campaigns(ReportRange):
    """Campaigns, and how many more there are than the limit."""

    items: list[CampaignFigures]
    omitted: Count


def _campaign(row: Row) -> CampaignFigures:
    return {
        "campaignId": row["campaign_id"],
        "events": row["events"],
        "clicks": row["clicks"],
        "purchases": row["purchases"],
        "purchaseRate": ratio(row["purchases"], row["clicks"]),
        "revenue": format_money(row["revenue"]),
        "averageOrderValue": format_average(row["revenue"], row["purchases"]),
        "firstEvent": format_time(row["first_at"]),
        "lastEvent": format_time(row["last_at"]),
    }


_SORT_KEYS: dict[CampaignSort, Callable[[CampaignFigures], Any]] = {
    "events": lambda campaign: -campaign["events"],
    "clicks": lambda campaign: -campaign["clicks"],
    "purchases": lambda campaign: -campaign["purchases"],
    "revenue": lambda campaign: -Decimal(campaign["revenue"]),
    "purchaseRate": lambda campaign: -(campaign["purchaseRate"] or 0),
    "campaignId": lambda campaign: campaign["campaignId"],
}


def campaigns(snapshot: Snapshot, query: CampaignsQuery) -> Campaigns:
    """Return the report."""
    rows = query_rollups(snapshot, SQL, "campaigns", query, by_campaign=True)
    items = [_campaign(row) for row in rows]
    items.sort(key=_SORT_KEYS[query.sort])
    return {
        "from": format_optional_time(query.from_),
        "to": format_optional_time(query.to),
        "items": items[: query.limit],
        "omitted": len(items[query.limit :]),
    }


REPORT = Report(
    name="campaigns",
    summary="Campaign performance",
    description="Events, clicks, purchases (events with an amount), purchases per click and "
    "revenue by campaign. Events without a campaign are left out.",
    query=CampaignsQuery,
    response=Campaigns,
    compute=campaigns,
)
