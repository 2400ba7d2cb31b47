"""The views of the dashboard that were saved by name."""

from typing_extensions import TypedDict

from ..database import Snapshot
from ..formatting import Time, format_time
from ..query.filters import QueryParameters
from ..query.statements import Statements
from .report import Report

SQL = Statements("views.sql")


class ViewsQuery(QueryParameters):
    """The query parameters of the report: none."""


class SavedView(TypedDict):
    """A view; `query` is that of the page's address."""

    id: str
    name: str
    query: str
    changedAt: Time


class Views(TypedDict):
    """All views, by name."""

    items: list[SavedView]


def views(snapshot: Snapshot, _: ViewsQuery) -> Views:
    """Return the report."""
    return {
        "items": [
            {
                "id": row["id"],
                "name": row["name"],
                "query": row["query"],
                "changedAt": format_time(row["changed_at"]),
            }
            for row in snapshot.rows(SQL["all_views"])
        ]
    }


REPORT = Report(
    name="views",
    summary="Saved views",
    description="Views of the dashboard that were saved by name: range, filters and tab, as the "
    "query of the page's address.",
    query=ViewsQuery,
    response=Views,
    compute=views,
)
