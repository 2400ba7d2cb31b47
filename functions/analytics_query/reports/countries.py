"""Events, distinct users and revenue per country."""

from pydantic import Field
from typing_extensions import TypedDict

from ..database import Row, Snapshot
from ..formatting import Count, Money, Rate, ReportRange, format_money, format_optional_time, ratio
from ..query.filters import ReportQuery
from ..query.rollup_query import query_rollups
from ..query.statements import Statements
from ..users.unique_users import RelativeAccuracy, unique_users_by_country
from .report import Report

SQL = Statements("report_countries.sql")


class CountriesQuery(ReportQuery):
    """The query parameters of the report."""

    limit: int = Field(
        100,
        ge=1,
        le=1000,
        description="Maximum number of countries; those with the most events are returned.",
    )


class CountryFigures(TypedDict):
    """The events of one country, or of no known country.

    `clickThroughRate` is events at the bottom of the funnel per event at its top.
    """

    events: Count
    uniqueUsers: Count
    purchases: Count
    revenue: Money
    clickThroughRate: Rate | None


class NamedCountryFigures(CountryFigures):
    """The events of one country."""

    country: str


class Countries(ReportRange):
    """Countries by number of events; `unknown` covers the events without a country."""

    items: list[NamedCountryFigures]
    unknown: CountryFigures
    omitted: Count
    uniqueUsersAccuracy: RelativeAccuracy


def _figures(row: Row | None, users: int) -> CountryFigures:
    row = row or {"events": 0, "purchases": 0, "revenue": None, "top": 0, "bottom": 0}
    return {
        "events": row["events"],
        "uniqueUsers": users,
        "purchases": row["purchases"],
        "revenue": format_money(row["revenue"]),
        "clickThroughRate": ratio(row["bottom"], row["top"]),
    }


def countries(snapshot: Snapshot, query: CountriesQuery) -> Countries:
    """Return the report."""
    rows = query_rollups(snapshot, SQL, "countries", query, by_country=True)
    by_country = {row["country"]: row for row in rows}
    unknown = by_country.pop(None, None)
    users, accuracy = unique_users_by_country(snapshot, query)
    known = list(by_country.items())
    return {
        "from": format_optional_time(query.from_),
        "to": format_optional_time(query.to),
        "items": [
            {"country": name, **_figures(row, users.get(name, 0))}
            for name, row in known[: query.limit]
        ],
        "unknown": _figures(unknown, users.get(None, 0)),
        "omitted": len(known[query.limit :]),
        "uniqueUsersAccuracy": accuracy,
    }


REPORT = Report(
    name="countries",
    summary="Events by country",
    description="Events, distinct users and revenue by country, most events first. `unknown` "
    "covers the events without a country.",
    query=CountriesQuery,
    response=Countries,
    compute=countries,
)
