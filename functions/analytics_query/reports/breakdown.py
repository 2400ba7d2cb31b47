"""Events, people, purchases and revenue by the values of any property."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from ..database import Row, Snapshot
from ..formatting import Count, Money, Rate, ReportRange, format_money, format_optional_time, ratio
from ..query.events_to_read import check_events_to_read, events_of_range
from ..query.filters import FilterText, ReportQuery
from ..query.properties import COLUMNS
from ..query.property_filters import property_of
from ..query.rollup_query import query_rollups
from ..query.statements import Statements
from ..query.told_country import LeftOut, left_out
from ..settings import settings
from ..users.accuracy import Accuracy, estimated_accuracy, exact_accuracy
from ..users.sampling import SAMPLING_MODULUS, sample_bounds
from .report import Report

SQL = Statements("report_breakdown.sql")

ROLLED_UP = tuple(name for name in COLUMNS if name != "userId")
"""Properties that rollups have."""

BreakdownSort = Literal["events", "people", "purchases", "revenue"]


def check_property(name: str) -> str:
    """Check the name of a property. Raises PydanticCustomError, in words."""
    property_of(name)
    return name


class BreakdownQuery(ReportQuery):
    """The query parameters of the report."""

    by: Annotated[FilterText, AfterValidator(check_property)] = Field(
        "eventType",
        description="The property: a known name (`/analytics/properties` lists them) or a path "
        "such as `data.engagement.device` or `extra.campaign.note`.",
        examples=["device"],
    )
    sort: BreakdownSort = Field(
        "events", description="Which values come first: those with most.", examples=["revenue"]
    )
    limit: int = Field(
        20, ge=1, le=1000, description="Maximum number of values; all others are in `other`."
    )


class BreakdownFigures(TypedDict):
    """Some events; `conversionRate` is people who bought of these people, null without any."""

    events: Count
    people: Count
    peopleAccuracy: Accuracy
    conversionRate: Rate | None
    purchases: Count
    revenue: Money


class ValueFigures(BreakdownFigures):
    """The events of one value; of one of more than 200 characters these are its first."""

    value: str


class OtherFigures(BreakdownFigures):
    """The events of all values beyond the limit, and how many values these are."""

    values: Count


class Breakdown(ReportRange):
    """Values of a property; `unknown` covers the events that do not tell it."""

    by: str
    items: list[ValueFigures]
    other: OtherFigures | None
    unknown: BreakdownFigures
    leftOut: LeftOut | None


def breakdown(snapshot: Snapshot, query: BreakdownQuery) -> Breakdown:
    """Return the report.

    Raises:
        UnsupportedQueryError: the range has too many events to read them.
    """
    if _in_rollups(snapshot, query):
        items, other, unknown = _from_rollups(snapshot, query)
    else:
        check_events_to_read(snapshot, query, "by")
        items, other, unknown = _from_events(snapshot, query)
    return {
        "from": format_optional_time(query.from_),
        "to": format_optional_time(query.to),
        "by": query.by,
        "items": items,
        "other": other,
        "unknown": unknown,
        "leftOut": left_out(snapshot, query),
    }


def _in_rollups(snapshot: Snapshot, query: BreakdownQuery) -> bool:
    """Return whether rollups are read: they have all that is asked for, and events are many."""
    return (
        query.by in ROLLED_UP
        and query.sort != "people"
        and not query.from_events
        and events_of_range(snapshot, query) > settings().exact_users_max_events
    )


_Parts = tuple[list[ValueFigures], OtherFigures | None, BreakdownFigures]
_NOTHING: Row = {"events": 0, "people": 0, "buyers": 0, "purchases": 0, "revenue": Decimal()}


def _from_events(snapshot: Snapshot, query: BreakdownQuery) -> _Parts:
    value = property_of(query.by).value("value")
    asked = {"value": value, "sort": query.sort, "limit": query.limit}
    rows = snapshot.rows(SQL["breakdown"], query.params() | asked)
    by_place = {row["place"]: row for row in rows}
    other = by_place.pop(query.limit + 1, None)
    unknown = by_place.pop(None, _NOTHING)
    return (
        [{"value": row["value"], **_figures(row)} for row in by_place.values()],
        {"values": other["number"], **_figures(other)} if other else None,
        _figures(unknown),
    )


def _from_rollups(snapshot: Snapshot, query: BreakdownQuery) -> _Parts:
    column = COLUMNS[query.by]
    rows = query_rollups(
        snapshot,
        SQL,
        "breakdown_of_sums",
        query,
        by_country=query.by == "country",
        by_campaign=query.by == "campaignId",
        column=column,
    )
    known = sorted(
        (row for row in rows if row["value"] is not None),
        key=lambda row: (-row[query.sort], -row["events"], row["value"]),
    )
    first, rest = known[: query.limit], known[query.limit :]
    total = query_rollups(snapshot, SQL, "breakdown_sums_total", query)
    unknown = {name: total[0][name] - sum(row[name] for row in known) for name in _SUMS}
    others = {name: sum((row[name] for row in rest), Decimal()) for name in _SUMS}
    params = query.params() | {
        "value": property_of(query.by).value("value"),
        "values": [row["value"] for row in first],
    }
    people = {
        -1 if row["unknown"] else row["place"]: row
        for row in snapshot.rows(SQL["breakdown_people"], params)
    }
    return (
        [
            {"value": row["value"], **_figures(row, people.get(place, _NOTHING))}
            for place, row in enumerate(first, start=1)
        ],
        {"values": len(rest), **_figures(others, people.get(None, _NOTHING))} if rest else None,
        _figures(unknown, people.get(-1, _NOTHING)),
    )


_SUMS = ("events", "purchases", "revenue")


def _figures(row: Row, sampled: Row | None = None) -> BreakdownFigures:
    people = row if sampled is None else sampled
    number = people["people"]
    return {
        "events": int(row["events"]),
        "people": number if sampled is None else number * SAMPLING_MODULUS,
        "peopleAccuracy": exact_accuracy(number)
        if sampled is None
        else estimated_accuracy(*sample_bounds(number)),
        "conversionRate": ratio(people["buyers"], number),
        "purchases": int(row["purchases"]),
        "revenue": format_money(row["revenue"]),
    }


REPORT = Report(
    name="breakdown",
    summary="Figures by any property",
    description="Events, people, purchases and revenue by the values of a property, most first; "
    "`other` has the values beyond the limit, `unknown` the events that do not tell the property. "
    "Read from the stored events of the range, people counted, up to a limit that the refusal "
    "names. By source, stage, type, country and campaign a range may have any number of events: "
    "of more than 100,000, sums are read from rollups, and people are estimated from every 32nd, "
    "with bounds; so is the conversion then.",
    query=BreakdownQuery,
    response=Breakdown,
    compute=breakdown,
)
