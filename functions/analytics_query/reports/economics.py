"""What campaigns cost, and what they bring: spend beside clicks, purchases and revenue."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from typing import Any, Literal

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from functions.common.events import SOURCES
from functions.common.json_text import to_json
from functions.common.workspace import workspace

from ..database import Snapshot
from ..formatting import Count, Money, ReportRange, format_money, format_optional_time
from ..query.filters import ReportQuery
from ..query.rollup_query import query_rollups
from ..query.statements import Statements
from ..settings import settings
from ..workspace.spend_days import first_day_from, is_start_of_day
from .report import Report

SQL = Statements("report_economics.sql")

EconomicsSort = Literal["spend", "clicks", "purchases", "revenue", "returnOnSpend", "name"]
_ANSWERED = frozenset(
    ("timezone", "from_", "to", "source", "campaignId", "exact", "countryOf", "by", "sort", "limit")
)
"""Parameters with which it is known what was spent; no other filter knows a part of an amount."""


class EconomicsQuery(ReportQuery):
    """The query parameters of the report."""

    by: Literal["campaign", "source"] = Field(
        "campaign",
        description="A row for each campaign of a source, of the events that carry one; or for "
        "each source, of all its events.",
        examples=["campaign"],
    )
    sort: EconomicsSort = Field(
        "spend",
        description="The sort order, descending, what is null last; `name` sorts by name.",
        examples=["spend"],
    )
    limit: int = Field(100, ge=1, le=1000, description="Maximum number of rows.")


class EconomicFigures(TypedDict):
    """What was spent, and what came of it; null: not known.

    `spend` is null where none was given, and where a filter is set that spend has not (`country`).
    `clicks`, `purchases` and `revenue` are null for campaigns of a source whose events name none.
    `costPerClick` is spend/clicks, `costPerPurchase` spend/purchases, `returnOnSpend` (ROAS)
    revenue/spend: each null where it cannot be divided.
    """

    spend: Money | None
    spendDays: Count
    clicks: Count | None
    purchases: Count | None
    revenue: Money | None
    costPerClick: Money | None
    costPerPurchase: Money | None
    returnOnSpend: Money | None


class EconomicRow(EconomicFigures):
    """One campaign of a source, or one source; then `campaignId` is null."""

    source: str
    campaignId: str | None


class WithoutEvents(TypedDict):
    """Rows of which only spend is known; the quotients of the totals leave them out."""

    rows: Count
    spend: Money


class WithoutSpend(TypedDict):
    """Rows for which no spend is known; the quotients of the totals leave them out."""

    rows: Count
    clicks: Count
    purchases: Count
    revenue: Money


class Economics(ReportRange):
    """Campaigns or sources, and the totals of all rows, also of those beyond the limit.

    Spend is known by whole days of the time zone of the workspace, `spendTimezone`: those that
    begin in the range, from `spendFrom` to `spendTo` (exclusive; null: not restricted).
    `wholeDays` is false where the range begins or ends within such a day: then spend is of other
    hours than clicks and revenue. `spendKnown` is false where a filter is set that spend has not.
    """

    by: Literal["campaign", "source"]
    currency: str | None
    spendTimezone: str
    spendFrom: str | None
    spendTo: str | None
    wholeDays: bool
    spendKnown: bool
    total: EconomicFigures
    withoutSpend: WithoutSpend
    withoutEvents: WithoutEvents
    items: list[EconomicRow]
    omitted: Count


@dataclass
class _Sums:
    """The sums of one row, or of several; `counted` is whether events tell of it."""

    counted: bool = True
    spend: Decimal | None = None
    days: set[Any] = field(default_factory=set[Any])
    clicks: int = 0
    purchases: int = 0
    revenue: Decimal = Decimal()


_Key = tuple[str, str | None]


def economics(snapshot: Snapshot, query: EconomicsQuery) -> Economics:
    """Return the report."""
    by_campaign = query.by == "campaign"
    rows: dict[_Key, _Sums] = {}
    for row in query_rollups(
        snapshot, SQL, "economics", query, by_campaign=by_campaign, by=query.by
    ):
        sums = rows.setdefault((row["source"], row["campaign_id"]), _Sums())
        sums.clicks, sums.purchases, sums.revenue = row["clicks"], row["purchases"], row["revenue"]
    first, end = first_day_from(query.from_), first_day_from(query.to)
    known = _spend_is_known(query)
    if known:
        params = {
            "first_day": first,
            "end_day": end,
            "source": query.source,
            "campaign_id": query.campaignId,
            "by": query.by,
        }
        for row in snapshot.rows(SQL["economics_spend"], params):
            counted = not by_campaign or row["source"] in sources_with_campaigns()
            sums = rows.setdefault((row["source"], row["campaign_id"]), _Sums(counted))
            sums.spend, sums.days = row["spend"], set(row["days"])
    ordered = sorted(rows.items(), key=lambda item: _order(query.sort, *item))
    without = _sum(sums for sums in rows.values() if sums.spend is None)
    only_spend = [sums for sums in rows.values() if not sums.counted]
    return {
        "from": format_optional_time(query.from_),
        "to": format_optional_time(query.to),
        "by": query.by,
        "currency": workspace().currency,
        "spendTimezone": settings().timezone,
        "spendFrom": first and first.isoformat(),
        "spendTo": end and end.isoformat(),
        "wholeDays": is_start_of_day(query.from_) and is_start_of_day(query.to),
        "spendKnown": known,
        "total": _figures(
            _sum(rows.values()),
            _sum(sums for sums in rows.values() if sums.counted and sums.spend is not None),
        ),
        "withoutSpend": {
            "rows": sum(sums.spend is None for sums in rows.values()),
            "clicks": without.clicks,
            "purchases": without.purchases,
            "revenue": format_money(without.revenue),
        },
        "withoutEvents": {
            "rows": len(only_spend),
            "spend": format_money(_sum(only_spend).spend),
        },
        "items": [
            {"source": source, "campaignId": campaign, **_figures(sums, sums)}
            for (source, campaign), sums in ordered[: query.limit]
        ],
        "omitted": len(ordered[query.limit :]),
    }


@cache
def sources_with_campaigns() -> frozenset[str]:
    """Return the sources whose events name campaigns: of others' campaigns only spend is known."""
    return frozenset(
        name
        for name, source in SOURCES.items()
        if b'"campaignId"' in to_json(TypeAdapter[Any](source.event).json_schema())
    )


def _spend_is_known(query: EconomicsQuery) -> bool:
    fields = type(query).model_fields
    return all(
        getattr(query, name) == fields[name].get_default(call_default_factory=True)
        for name in fields.keys() - _ANSWERED
    )


def _sum(rows: Iterable[_Sums]) -> _Sums:
    total = _Sums()
    for row in rows:
        total.clicks += row.clicks
        total.purchases += row.purchases
        total.revenue += row.revenue
        total.days |= row.days
        if row.spend is not None:
            total.spend = (total.spend or Decimal()) + row.spend
    return total


def _figures(sums: _Sums, costed: _Sums) -> EconomicFigures:
    """Return figures.

    Args:
        sums: of all.
        costed: of those whose spend is known, for the quotients.
    """
    return {
        "spend": None if sums.spend is None else format_money(sums.spend),
        "spendDays": len(sums.days),
        "clicks": sums.clicks if sums.counted else None,
        "purchases": sums.purchases if sums.counted else None,
        "revenue": format_money(sums.revenue) if sums.counted else None,
        "costPerClick": _quotient(costed.spend, costed.clicks),
        "costPerPurchase": _quotient(costed.spend, costed.purchases),
        "returnOnSpend": _quotient(costed.revenue if costed.counted else None, costed.spend),
    }


def _quotient(part: Decimal | None, whole: Decimal | int | None) -> str | None:
    """Return a quotient to four decimals; None where one is not known, or the whole is 0."""
    if part is None or not whole:
        return None
    return f"{(part / whole).quantize(Decimal('0.0001'), ROUND_HALF_EVEN):f}"


def _order(sort: EconomicsSort, key: _Key, sums: _Sums) -> tuple[Any, ...]:
    names = (key[1] or "", key[0])
    if sort == "name":
        return names
    value = _SORT_VALUES[sort](sums) if sums.counted or sort == "spend" else None
    return (value is None, -(value or 0), *names)


def _return(sums: _Sums) -> Decimal | None:
    return sums.revenue / sums.spend if sums.spend else None


_SORT_VALUES: dict[str, Callable[[_Sums], Decimal | int | None]] = {
    "spend": lambda sums: sums.spend,
    "clicks": lambda sums: sums.clicks,
    "purchases": lambda sums: sums.purchases,
    "revenue": lambda sums: sums.revenue,
    "returnOnSpend": _return,
}


REPORT = Report(
    name="economics",
    summary="What campaigns cost and bring",
    description="Spend as imported (`PUT /analytics/spend`) beside clicks, purchases and revenue: "
    "cost per click, cost per purchase, return on spend. Sums are exact, quotients rounded to four "
    "decimals. What is not known is null: spend that was not given is not 0. The quotients of "
    "`total` are of the rows that have both; `withoutSpend` and `withoutEvents` have the others.",
    query=EconomicsQuery,
    response=Economics,
    compute=economics,
)
