"""Events and revenue per demographic group of each source."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from pydantic import Field
from typing_extensions import TypedDict

from functions.common.events import SOURCES
from functions.common.events import demographics as groups_of

from ..database import Row, Snapshot
from ..formatting import Count, Money, ReportRange, format_money, format_optional_time
from ..query.filters import ReportQuery
from ..query.property_filters import property_of
from ..query.statements import SqlText, Statements
from ..query.time_range import split_range
from .report import Report

SQL = Statements("report_demographics.sql")


class DemographicsQuery(ReportQuery):
    """The query parameters of the report."""

    limit: int = Field(
        25,
        ge=1,
        le=1000,
        description="Maximum number of groups per dimension; those with the most events are "
        "returned.",
    )


class DemographicGroup(TypedDict):
    """One group of a dimension, such as an age group."""

    value: str
    events: Count
    revenue: Money


class DemographicDimension(TypedDict):
    """The groups of one dimension of a source's users."""

    source: str
    dimension: str
    items: list[DemographicGroup]
    omitted: Count


class Demographics(ReportRange):
    """Groups of users by source and dimension."""

    dimensions: list[DemographicDimension]


GroupKey = tuple[str, str, str]
"""Source, dimension and value."""
GroupTotals = dict[GroupKey, tuple[int, Decimal]]
"""Events and revenue."""


def _count_events(events: Iterable[Row], totals: GroupTotals) -> None:
    """Add each event to its groups, as process-batch does when it writes the rollups."""
    for event in events:
        for dimension, value in groups_of(event):
            _add(totals, (event["source"], dimension, value), 1, event["revenue"] or Decimal())


def _add(totals: GroupTotals, key: GroupKey, events: int, revenue: Decimal) -> None:
    events_before, revenue_before = totals.get(key, (0, Decimal()))
    totals[key] = (events_before + events, revenue_before + revenue)


def _totals(snapshot: Snapshot, query: DemographicsQuery) -> GroupTotals:
    parts = split_range(query.from_, query.to)
    params = query.params() | parts.params()
    totals: GroupTotals = {}
    campaign_and_country = query.campaignId is not None and query.country is not None
    if query.from_events or campaign_and_country:  # no rollup has both columns
        for row in snapshot.rows(SQL["demographics_events_exact"], params | {"groups": _groups()}):
            key = (row["source"], row["dimension"], row["value"])
            _add(totals, key, row["events"], row["revenue"])
        return totals
    if query.country is not None:
        groups = "groups_of_country"
    elif query.campaignId is not None:
        groups = "groups_of_campaign"
    elif query.funnelStage is None and query.eventType is None:
        groups = "groups_of_all_types"
    else:
        groups = "groups_of_all"
    for row in snapshot.rows(SQL.over("demographics", groups=groups), params):
        _add(totals, (row["source"], row["dimension"], row["value"]), row["events"], row["revenue"])
    if parts.edges:
        _count_events(snapshot.rows(SQL["demographics_events"], params), totals)
    if params["told"]:
        _count_events(snapshot.rows(SQL["demographics_events_told"], params), totals)
    return totals


def _groups() -> SqlText:
    """Return the rows of SQL with the groups of an event, null where it tells none of a dimension.

    A dimension is the property of the same name, and a source's own.
    """
    rows: list[str] = []
    params: dict[str, Any] = {}
    dimensions = [(of.name, name) for of in SOURCES.values() for name in of.dimensions]
    for place, (source, dimension) in enumerate(dimensions):
        prefix = f"group_{place}"
        value = property_of(dimension).value(prefix)
        rows.append(
            f"(%({prefix})s::text, CASE WHEN source = %({prefix}_of)s THEN {value.text} END)"
        )
        params |= {**value.params, prefix: dimension, f"{prefix}_of": source}
    return SqlText(f"VALUES {', '.join(rows)}", params)


def demographics(snapshot: Snapshot, query: DemographicsQuery) -> Demographics:
    """Return the report."""
    by_dimension: defaultdict[tuple[str, str], list[DemographicGroup]] = defaultdict(list)
    totals = _totals(snapshot, query)
    for (source, dimension, value), (events, revenue) in sorted(
        totals.items(), key=lambda item: (-item[1][0], item[0])
    ):
        by_dimension[source, dimension].append(
            {"value": value, "events": events, "revenue": format_money(revenue)}
        )
    return {
        "from": format_optional_time(query.from_),
        "to": format_optional_time(query.to),
        "dimensions": [
            {
                "source": source,
                "dimension": dimension,
                "items": groups[: query.limit],
                "omitted": len(groups[query.limit :]),
            }
            for (source, dimension), groups in sorted(by_dimension.items())
        ],
    }


REPORT = Report(
    name="demographics",
    summary="Demographic groups",
    description="Events and revenue by demographic group of the users of each source. Facebook: "
    "`ageGroup`, `gender`, `country`, `city`; TikTok: `followerBand`, `device`. An event counts "
    "once in each dimension.",
    query=DemographicsQuery,
    response=Demographics,
    compute=demographics,
)
