"""The most active users and the best customers."""

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from functions.common.events import SOURCES

from ..database import Row, Snapshot
from ..formatting import (
    Count,
    Money,
    ReportRange,
    Time,
    format_money,
    format_optional_time,
    format_time,
)
from ..query.filters import FilterText, ReportQuery
from ..query.statements import Statements
from ..query.time_range import split_range
from .report import Report

SQL = Statements("report_users.sql")


class UsersQuery(ReportQuery):
    """The query parameters of the report."""

    repeatable = ReportQuery.repeatable | {"userId"}

    userId: Annotated[tuple[FilterText, ...], Field(max_length=100)] = Field(
        (),
        description="Only these users, each named by a `userId` of its own: what they did in "
        "another range, say. One without an event is not in the answer.",
        examples=[["fb-user-1", "tt-user-2"]],
    )
    by: Literal["events", "revenue"] = Field(
        "events", description="The sort order, descending.", examples=["revenue"]
    )
    limit: int = Field(20, ge=1, le=1000, description="Maximum number of users.")

    def params(self) -> dict[str, Any]:
        """Return the parameters of the filters, the users, their order and their number."""
        users = list(self.userId) or None
        return super().params() | {"user_ids": users, "by": self.by, "limit": self.limit}


class UserActivity(TypedDict):
    """One user; `source` is null for one with events of several sources."""

    userId: str
    source: str | None
    events: Count
    topEvents: Count
    bottomEvents: Count
    purchases: Count
    revenue: Money
    firstEvent: Time
    lastEvent: Time


class TopUsers(ReportRange):
    """Users, by events or by revenue, descending."""

    by: Literal["events", "revenue"]
    items: list[UserActivity]


def _user(row: Row) -> UserActivity:
    return {
        "userId": row["user_id"],
        "source": row["source"],
        "events": row["events"],
        "topEvents": row["top"],
        "bottomEvents": row["bottom"],
        "purchases": row["purchases"],
        "revenue": format_money(row["revenue"]),
        "firstEvent": format_time(row["first_at"]),
        "lastEvent": format_time(row["last_at"]),
    }


def users(snapshot: Snapshot, query: UsersQuery) -> TopUsers:
    """Return the report."""
    filtered = (query.funnelStage, query.eventType, query.campaignId, query.country)
    if query.from_events or query.userId or any(value is not None for value in filtered):
        rows = snapshot.rows(SQL["top_users_exact"], query.params())
    else:
        rows = _top_users(snapshot, query)
    return {
        "from": format_optional_time(query.from_),
        "to": format_optional_time(query.to),
        "by": query.by,
        "items": [_user(row) for row in rows],
    }


def _top_users(snapshot: Snapshot, query: UsersQuery) -> list[Row]:
    """Select candidates from little data, then compute the exact figures of the candidates only."""
    params = query.params() | split_range(query.from_, query.to).params()
    days = snapshot.rows(SQL["user_days"], params)
    # day_users is out of date for a sealed day with late events: it is computed from the events
    sealed = [row["day"] for row in days if row["sealed"] and not row["pending"]]
    params |= {
        "sealed_days": sealed,
        # null where there is none: for an empty list the planner looks at every partition
        "open_days": [row["day"] for row in days if not row["sealed"] or row["pending"]] or None,
    }
    from ..users.leading_users import find_candidates  # noqa: PLC0415 - numpy takes long to import

    slots = len(sealed) * (1 if query.source else len(SOURCES))
    candidates = find_candidates(snapshot, params, query.limit, slots)
    if candidates is not None:
        few = {"user_ids": candidates.user_ids, "limit": len(candidates.user_ids)}
        rows = snapshot.rows(SQL["top_users"], params | few)
        if candidates.agree([row["listed"] for row in rows]):
            return rows[: query.limit]
    ids = None  # few customers, or they are all alike: rank all users
    if query.by == "events":
        ids = [row["user_id"] for row in snapshot.rows(SQL["most_active"], params)]
    return snapshot.rows(SQL["top_users"], params | {"user_ids": ids})


REPORT = Report(
    name="users",
    summary="Top users",
    description="Users by number of events or by revenue. A user is a `userId`.",
    query=UsersQuery,
    response=TopUsers,
    compute=users,
)
