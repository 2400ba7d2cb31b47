"""Where events come from."""

from pydantic import Field
from typing_extensions import TypedDict

from ..database import Row, Snapshot
from ..formatting import Count, Money, Range, Rate, money, rate, time
from ..query.filters import ReportQuery
from ..query.rollup_query import sums
from ..query.statements import Statements
from ..users.unique_users import RelativeAccuracy, unique_users_by_country
from .report import Report

SQL = Statements("report_countries.sql")


class CountriesQuery(ReportQuery):
    """Parameters of the report."""

    limit: int = Field(
        100, ge=1, le=1000, description="The most countries; those with most events are kept."
    )


class Figures(TypedDict):
    """What happened."""

    events: Count
    uniqueUsers: Count
    purchases: Count
    revenue: Money
    conversionRate: Rate | None


class Country(Figures):
    """What happened in one country."""

    country: str


class Countries(Range):
    """Countries by events, and what happened in no known country."""

    items: list[Country]
    unknown: Figures
    omitted: Count
    uniqueUsersAccuracy: RelativeAccuracy


def _figures(row: Row | None, users: int) -> Figures:
    row = row or {"events": 0, "purchases": 0, "revenue": None, "top": 0, "bottom": 0}
    return {
        "events": row["events"],
        "uniqueUsers": users,
        "purchases": row["purchases"],
        "revenue": money(row["revenue"]),
        "conversionRate": rate(row["bottom"], row["top"]),
    }


def countries(now: Snapshot, query: CountriesQuery) -> Countries:
    """Compute the report."""
    rows = {row["country"]: row for row in sums(now, SQL, "countries", query, by_country=True)}
    unknown = rows.pop(None, None)
    users, accuracy = unique_users_by_country(now, query)
    known = list(rows.items())
    return {
        "from": time(query.from_),
        "to": time(query.to),
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
    summary="Where events come from",
    description="Events, different users and revenue by country, most events first. `unknown` "
    "holds the events that name no country.",
    query=CountriesQuery,
    answer=Countries,
    compute=countries,
)
