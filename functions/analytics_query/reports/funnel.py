"""Events and users from the top of the funnel to its bottom."""

from collections.abc import Mapping

from pydantic import Field
from typing_extensions import TypedDict

from ..database import Row, Snapshot
from ..formatting import Count, Money, Rate, ReportRange, format_money, format_optional_time, ratio
from ..query.filters import ReportQuery
from ..query.rollup_query import query_rollups
from ..query.statements import Statements
from ..query.told_country import LeftOut, known_stages, left_out
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
    """Events at both stages; `clickThroughRate` is bottom/top, null if top is 0.

    A figure is null where nothing can be known of it: there are events, but they do not tell what
    is filtered or split by.
    """

    top: Count | None
    bottom: Count | None
    clickThroughRate: Rate | None
    revenue: Money | None


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

    leftOut: LeftOut | None
    bySource: list[SourceFunnel]
    byCampaign: list[CampaignFunnel]
    byCountry: list[CountryFunnel]
    users: Continuation


STAGES = ("top", "bottom")


def _stages(row: Row, known: Mapping[str, bool]) -> FunnelStages:
    top, bottom = (row[stage] if known[stage] else None for stage in STAGES)
    return {
        "top": top,
        "bottom": bottom,
        "clickThroughRate": None if top is None or bottom is None else ratio(bottom, top),
        "revenue": format_money(row["revenue"]) if known["bottom"] or row["revenue"] else None,
    }


def _known_of_parts(rows: list[Row], total: Row) -> dict[str, bool]:
    """Return of which stages the events tell what they are split by."""
    return {
        stage: not total[stage] or any(row[stage] for row in rows if row["key"] is not None)
        for stage in STAGES
    }


def funnel(snapshot: Snapshot, query: FunnelQuery) -> Funnel:
    """Return the report."""
    by_source = query_rollups(snapshot, SQL, "funnel", query, split="source")
    by_campaign = query_rollups(
        snapshot, SQL, "funnel", query, by_campaign=True, split="campaignId"
    )
    by_country = query_rollups(snapshot, SQL, "funnel", query, by_country=True, split="country")
    total = {name: sum(row[name] for row in by_source) for name in (*STAGES, "revenue")}
    stages = known_stages(snapshot, query)
    known = {
        stage: any(told for (_, at), told in stages.items() if at == stage)
        or not any(at == stage for _, at in stages)
        for stage in STAGES
    }
    of_campaigns = _known_of_parts(by_campaign, total)
    of_countries = _known_of_parts(by_country, total)
    return {
        "from": format_optional_time(query.from_),
        "to": format_optional_time(query.to),
        **_stages(total, known),
        "leftOut": left_out(snapshot, query),
        "bySource": [
            {
                "source": row["key"],
                **_stages(row, {stage: stages.get((row["key"], stage), True) for stage in STAGES}),
            }
            for row in by_source
        ],
        "byCampaign": [
            {"campaignId": row["key"], **_stages(row, of_campaigns)}
            for row in by_campaign[: query.limit]
        ],
        "byCountry": [
            {"country": row["key"], **_stages(row, of_countries if row["key"] else known)}
            for row in by_country[: query.limit]
        ],
        "users": continuation(snapshot, query, known=known["top"] and known["bottom"]),
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
