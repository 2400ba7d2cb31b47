"""From the top of the funnel to its bottom."""

from pydantic import Field
from typing_extensions import TypedDict

from ..database import Row, Snapshot
from ..formatting import Count, Money, Range, Rate, money, rate, time
from ..query.filters import ReportQuery
from ..query.rollup_query import sums
from ..query.statements import Statements
from ..users.conversion import Conversion, conversion
from .report import Report

SQL = Statements("report_funnel.sql")


class FunnelQuery(ReportQuery):
    """Parameters of the report."""

    limit: int = Field(
        50,
        ge=1,
        le=1000,
        description="The most campaigns, and the most countries; those with most events are kept.",
    )


class Stages(TypedDict):
    """Events at both stages; `conversionRate` is bottom/top, null where only top is 0."""

    top: Count
    bottom: Count
    conversionRate: Rate | None
    revenue: Money


class SourceStages(Stages):
    """The same of one source."""

    source: str


class CampaignStages(Stages):
    """The same of one campaign."""

    campaignId: str


class CountryStages(Stages):
    """The same of one country; null: the events name none."""

    country: str | None


class Funnel(Range, Stages):
    """From top to bottom, in total and by parts; `users` is about people instead of events."""

    bySource: list[SourceStages]
    byCampaign: list[CampaignStages]
    byCountry: list[CountryStages]
    users: Conversion


def _stages(row: Row) -> Stages:
    return {
        "top": row["top"],
        "bottom": row["bottom"],
        "conversionRate": rate(row["bottom"], row["top"]),
        "revenue": money(row["revenue"]),
    }


def funnel(now: Snapshot, query: FunnelQuery) -> Funnel:
    """Compute the report."""
    by_source = sums(now, SQL, "funnel", query, split="source")
    by_campaign = sums(now, SQL, "funnel", query, by_campaign=True, split="campaignId")
    by_country = sums(now, SQL, "funnel", query, by_country=True, split="country")
    total = {name: sum(row[name] for row in by_source) for name in ("top", "bottom", "revenue")}
    return {
        "from": time(query.from_),
        "to": time(query.to),
        **_stages(total),
        "bySource": [{"source": row["key"], **_stages(row)} for row in by_source],
        "byCampaign": [
            {"campaignId": row["key"], **_stages(row)} for row in by_campaign[: query.limit]
        ],
        "byCountry": [{"country": row["key"], **_stages(row)} for row in by_country[: query.limit]],
        "users": conversion(now, query),
    }


REPORT = Report(
    name="funnel",
    summary="From the top of the funnel to its bottom",
    description="Events at the top and at the bottom of the funnel and their ratio, in total, by "
    "source, by campaign and by country. `users` counts people: who was seen at the top and later "
    "at the bottom has converted.",
    query=FunnelQuery,
    answer=Funnel,
    compute=funnel,
)
