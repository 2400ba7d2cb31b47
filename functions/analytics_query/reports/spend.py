"""What was spent on campaigns, as it was imported."""

from pydantic import Field
from typing_extensions import TypedDict

from functions.common.events import SourceName
from functions.common.workspace import workspace

from ..database import Snapshot
from ..formatting import Count, Money, Time, format_money, format_time
from ..query.filters import FilterText, TimeRange
from ..query.statements import Statements
from ..settings import settings
from ..workspace.spend_days import first_day_from
from .report import Report

SQL = Statements("report_spend.sql")


class SpendQuery(TimeRange):
    """The query parameters of the report; `from` and `to` choose the days that begin in between."""

    source: SourceName | None = Field(None, description="Only this source.", examples=["facebook"])
    campaignId: FilterText | None = Field(
        None, description="Only this campaign.", examples=["campaign-7"]
    )
    limit: int = Field(
        1000, ge=1, le=10_000, description="Maximum number of entries; the latest days first."
    )


class DayOfSpend(TypedDict):
    """What was spent on a campaign on a day of the time zone of the workspace."""

    date: str
    source: str
    campaignId: str
    amount: Money
    importedAt: Time


class SpendReport(TypedDict):
    """Entries, how many more there are than the limit, and the sum of them all."""

    timezone: str
    currency: str | None
    items: list[DayOfSpend]
    omitted: Count
    total: Money


def spend(snapshot: Snapshot, query: SpendQuery) -> SpendReport:
    """Return the report."""
    params = {
        "first_day": first_day_from(query.from_),
        "end_day": first_day_from(query.to),
        "source": query.source,
        "campaign_id": query.campaignId,
    }
    rows = snapshot.rows(SQL["spend_entries"], params | {"limit": query.limit})
    all_of_it = snapshot.row(SQL["spend_total"], params)
    return {
        "timezone": settings().timezone,
        "currency": workspace().currency,
        "items": [
            {
                "date": row["day"].isoformat(),
                "source": row["source"],
                "campaignId": row["campaign_id"],
                "amount": format_money(row["amount"]),
                "importedAt": format_time(row["imported_at"]),
            }
            for row in rows
        ],
        "omitted": all_of_it["entries"] - len(rows),
        "total": format_money(all_of_it["amount"]),
    }


REPORT = Report(
    name="spend",
    summary="What was spent, as imported",
    description="Spend by day, source and campaign. Days are those of the workspace's time zone "
    "(`TIMEZONE`); of a range that does not begin or end at a midnight there, the days that begin "
    "in it.",
    query=SpendQuery,
    response=SpendReport,
    compute=spend,
)
