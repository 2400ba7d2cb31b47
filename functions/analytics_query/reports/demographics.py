"""Who acts: the demographic groups that each source knows."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from pydantic import Field
from typing_extensions import TypedDict

from functions.common.events import demographics as groups_of

from ..database import Row, Snapshot
from ..formatting import Count, Money, Range, money, time
from ..query.filters import ReportQuery
from ..query.statements import Statements
from ..query.time_range import cut
from .report import Report

SQL = Statements("report_demographics.sql")


class DemographicsQuery(ReportQuery):
    """Parameters of the report."""

    limit: int = Field(
        25,
        ge=1,
        le=1000,
        description="The most groups of a dimension; those with most events are kept.",
    )


class Group(TypedDict):
    """One group, such as an age group."""

    value: str
    events: Count
    revenue: Money


class Dimension(TypedDict):
    """The groups of one kind that a source's users fall into."""

    source: str
    dimension: str
    items: list[Group]
    omitted: Count


class Demographics(Range):
    """Groups of users by source and dimension."""

    dimensions: list[Dimension]


Key = tuple[str, str, str]
Sums = dict[Key, tuple[int, Decimal]]


def _count_events(events: Iterable[Row], into: Sums) -> None:
    """Add events up group by group, as they were when they were written."""
    for event in events:
        for dimension, value in groups_of(event):
            _add(into, (event["source"], dimension, value), 1, event["revenue"] or Decimal())


def _add(into: Sums, key: Key, events: int, revenue: Decimal) -> None:
    former = into.get(key, (0, Decimal()))
    into[key] = (former[0] + events, former[1] + revenue)


def _sums(now: Snapshot, query: DemographicsQuery) -> Sums:
    pieces = cut(query.from_, query.to)
    params = query.params() | pieces.params()
    sums: Sums = {}
    campaign_and_country = query.campaignId is not None and query.country is not None
    if query.exact or campaign_and_country:  # there is no rollup by both
        _count_events(now.stream(SQL["demographics_events_exact"], params), sums)
        return sums
    if query.country is not None:
        groups = "groups_of_country"
    elif query.campaignId is not None:
        groups = "groups_of_campaign"
    else:
        groups = "groups_of_all"
    for row in now.rows(SQL.over("demographics", groups=groups), params):
        _add(sums, (row["source"], row["dimension"], row["value"]), row["events"], row["revenue"])
    if pieces.edges:
        _count_events(now.rows(SQL["demographics_events"], params), sums)
    return sums


def demographics(now: Snapshot, query: DemographicsQuery) -> Demographics:
    """Compute the report."""
    by_dimension: defaultdict[tuple[str, str], list[Group]] = defaultdict(list)
    sums = _sums(now, query)
    for (source, dimension, value), (events, revenue) in sorted(
        sums.items(), key=lambda item: (-item[1][0], item[0])
    ):
        by_dimension[source, dimension].append(
            {"value": value, "events": events, "revenue": money(revenue)}
        )
    return {
        "from": time(query.from_),
        "to": time(query.to),
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
    summary="Who acts",
    description="Events and revenue by the groups that a source's users fall into. Facebook: "
    "`ageGroup`, `gender`, `country`, `city`; TikTok: `followerBand`, `device`. An event counts "
    "once in each dimension.",
    query=DemographicsQuery,
    answer=Demographics,
    compute=demographics,
)
