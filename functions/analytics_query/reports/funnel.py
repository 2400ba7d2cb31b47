"""Events and users from the top of the funnel to its bottom."""

from pydantic import Field
from typing_extensions import TypedDict

from ..database import Row, Snapshot
from ..formatting import Count, Money, Rate, ReportRange, format_money, format_optional_time, ratio
from ..query.filters import ReportQuery
from ..query.rollup_query import query_rollups
from ..query.statements import Statements
from ..users.continuation import Continuation, continuation
from .report import Report

SQL = Statements("report_funnel.sql")


class FunnelQuery(ReportQuery):
    """The query parameters of the report."""

    limit: int = Field(
        50,
        ge=1,
        le=1000,
        description="Maximum number of campaigns and of countries; those with the most events are "
        "returned.",
    )


class FunnelStages(TypedDict):
    """Events at both stages; `clickThroughRate` is bottom/top, null if top is 0."""

    top: Count
    bottom: Count
    clickThroughRate: Rate | None
    revenue: Money


class SourceFunnel(FunnelStages):
    """The stages of one source."""

    source: str


class CampaignFunnel(FunnelStages):
    """The stages of one campaign."""

    campaignId: str


class CountryFunnel(FunnelStages):
    """The stages of one country; null: events without a country."""

    country: str | None


class Funnel(ReportRange, FunnelStages):
    """The funnel in total, by source, campaign and country; `users` counts users, not events."""

    bySource: list[SourceFunnel]
    byCampaign: list[CampaignFunnel]
    byCountry: list[CountryFunnel]
    users: Continuation


def _stages(row: Row) -> FunnelStages:
    return {
        "top": row["top"],
        "bottom": row["bottom"],
        "clickThroughRate": ratio(row["bottom"], row["top"]),
        "revenue": format_money(row["revenue"]),
    }


def funnel(snapshot: Snapshot, query: FunnelQuery) -> Funnel:
    """Return the report."""
    by_source = query_rollups(snapshot, SQL, "funnel", query, split="source")
    by_campaign = query_rollups(
        snapshot, SQL, "funnel", query, by_campaign=True, split="campaignId"
    )
    by_country = query_rollups(snapshot, SQL, "funnel", query, by_country=True, split="country")
    total = {name: sum(row[name] for row in by_source) for name in ("top", "bottom", "revenue")}
    return {
        "from": format_optional_time(query.from_),
        "to": format_optional_time(query.to),
        **_stages(total),
        "bySource": [{"source": row["key"], **_stages(row)} for row in by_source],
        "byCampaign": [
            {"campaignId": row["key"], **_stages(row)} for row in by_campaign[: query.limit]
        ],
        "byCountry": [{"country": row["key"], **_stages(row)} for row in by_country[: query.limit]],
        "users": continuation(snapshot, query),
    }


REPORT = Report(
    name="funnel",
    summary="Funnel: top to bottom",
    description="Events at the top and at the bottom of the funnel and their ratio, in total, by "
    "source, by campaign and by country. `users` counts users: one goes on (`continued`) who has "
    "an event at the top and a later one at the bottom.",
    query=FunnelQuery,
    response=Funnel,
    compute=funnel,
)
