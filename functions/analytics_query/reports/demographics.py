"""Events and revenue per demographic group of each source."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from pydantic import Field
from typing_extensions import TypedDict

from functions.common.events import demographics as groups_of

from ..database import Row, Snapshot
from ..formatting import Count, Money, ReportRange, format_money, format_optional_time
from ..query.filters import ReportQuery
from ..query.statements import Statements
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
        _count_events(snapshot.stream(SQL["demographics_events_exact"], params), totals)
        return totals
    if query.country is not None:
        groups = "groups_of_country"
    elif query.campaignId is not None:
        groups = "groups_of_campaign"
    else:
        groups = "groups_of_all"
    for row in snapshot.rows(SQL.over("demographics", groups=groups), params):
        _add(totals, (row["source"], row["dimension"], row["value"]), row["events"], row["revenue"])
    if parts.edges:
        _count_events(snapshot.rows(SQL["demographics_events"], params), totals)
    if params["told"]:
        _count_events(snapshot.rows(SQL["demographics_events_told"], params), totals)
    return totals


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
