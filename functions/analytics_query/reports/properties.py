"""Which properties events have, and which values: for those who choose filters."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from ..database import Snapshot
from ..formatting import Count, ReportRange, format_optional_time
from ..query.filters import EventFilters, FilterText, ReportQuery
from ..query.properties import MAX_PATH_DEPTH, ROOTS, Path, find_property, known_properties
from ..query.property_filters import PropertyFilter
from .breakdown import ROLLED_UP, BreakdownQuery, breakdown, check_property
from .events import MAX_PAGE_SIZE, EventsQuery, search
from .report import Report

MAX_PATHS = 200
MOST_VALUES = 1000
"""Values of a property of rollups among which is searched."""


class PropertyOfEvents(TypedDict):
    """A property; `known`: it has a name of its own, else its name is its path."""

    name: str
    known: bool
    sources: list[str]


class Properties(ReportRange):
    """Properties: the known ones, then others that the newest events have."""

    items: list[PropertyOfEvents]
    eventsLookedAt: Count


def properties(snapshot: Snapshot, query: EventFilters) -> Properties:
    """Return the report."""
    asked = query.model_dump(by_alias=True, include=set(EventFilters.model_fields))
    page = search(snapshot, EventsQuery.model_validate(asked | {"limit": MAX_PAGE_SIZE}))
    known = known_properties()
    of_known = {path for each in known.values() for path in each.paths}
    found: dict[str, set[str]] = {}
    for event in page["items"]:
        for root in ROOTS:
            for path in _paths((root,), event[root]):
                name = ".".join(path)
                if path not in of_known and find_property(name) and len(found) < MAX_PATHS:
                    found.setdefault(name, set()).add(event["source"])
    return {
        "from": format_optional_time(query.from_),
        "to": format_optional_time(query.to),
        "items": [
            *(
                {"name": name, "known": True, "sources": list(each.sources)}
                for name, each in known.items()
            ),
            *(
                {"name": name, "known": False, "sources": sorted(found[name])}
                for name in sorted(found)
            ),
        ],
        "eventsLookedAt": len(page["items"]),
    }


def _paths(path: Path, value: Any) -> Iterator[Path]:
    """Yield the paths of all that is no object, down to the deepest that can be asked for."""
    if isinstance(value, dict):
        if len(path) <= MAX_PATH_DEPTH:
            for key, inner in value.items():  # pyright: ignore[reportUnknownVariableType]
                yield from _paths((*path, key), inner)  # pyright: ignore[reportUnknownArgumentType]
    elif value is not None:
        yield path


class ValuesQuery(ReportQuery):
    """The query parameters of the report."""

    property: Annotated[FilterText, AfterValidator(check_property)] = Field(
        "eventType", description="The property, as in `breakdown`.", examples=["city"]
    )
    search: FilterText | None = Field(
        None, description="Only values with this in them, whatever the case.", examples=["ber"]
    )
    limit: int = Field(20, ge=1, le=1000, description="Maximum number of values.")


class PropertyValue(TypedDict):
    """A value, and how many events have it."""

    value: str
    events: Count


class PropertyValues(ReportRange):
    """The values of a property that most events have; `omitted`: how many more there are."""

    property: str
    items: list[PropertyValue]
    omitted: Count


def values(snapshot: Snapshot, query: ValuesQuery) -> PropertyValues:
    """Return the report.

    Raises:
        UnsupportedQueryError: the range has too many events to read them.
    """
    few = query.property in ROLLED_UP
    filters = query.filter
    if query.search is not None and not few:
        filters = (*filters, PropertyFilter(query.property, "contains", (query.search,)))
    asked = query.model_dump(by_alias=True, include=set(ReportQuery.model_fields) - {"filter"})
    limit = MOST_VALUES if few and query.search else query.limit
    whole = BreakdownQuery.model_validate(asked | {"by": query.property, "limit": limit})
    whole = whole.model_copy(update={"filter": filters})
    found = breakdown(snapshot, whole)
    searched = (query.search or "").lower()
    items = [item for item in found["items"] if not few or searched in item["value"].lower()]
    other = found["other"]
    beyond = other["values"] if other and not (few and query.search) else 0
    return {
        "from": format_optional_time(query.from_),
        "to": format_optional_time(query.to),
        "property": query.property,
        "items": [
            {"value": item["value"], "events": item["events"]} for item in items[: query.limit]
        ],
        "omitted": len(items[query.limit :]) + beyond,
    }


PROPERTIES = Report(
    name="properties",
    summary="Properties of events",
    description="What events can be filtered and broken down by: the known properties, with the "
    f"sources that have them, and the paths that are in the newest {MAX_PAGE_SIZE:,} events "
    "besides, as far as these fit into a page (2 MiB).",
    query=EventFilters,
    response=Properties,
    compute=properties,
)
REPORT = Report(
    name="properties/values",
    summary="Values of a property",
    description="The values of a property in the events of a range, those of most events first; "
    "under the same limit as `breakdown`.",
    query=ValuesQuery,
    response=PropertyValues,
    compute=values,
)
