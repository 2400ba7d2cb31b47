"""Who does most."""

from typing import Literal

from pydantic import Field
from typing_extensions import TypedDict

from functions.common.events import SOURCES

from ..database import Row, Snapshot
from ..formatting import Count, Money, Range, Time, money, time, utc
from ..query.filters import ReportQuery
from ..query.statements import Statements
from ..query.time_range import cut
from .report import Report

SQL = Statements("report_users.sql")


class UsersQuery(ReportQuery):
    """Parameters of the report."""

    by: Literal["events", "revenue"] = Field(
        "events", description="What the users are ordered by, most first.", examples=["revenue"]
    )
    limit: int = Field(20, ge=1, le=1000, description="The most users.")


class User(TypedDict):
    """One user; `source` is null for a user of several sources."""

    userId: str
    source: str | None
    events: Count
    topEvents: Count
    bottomEvents: Count
    purchases: Count
    revenue: Money
    firstEvent: Time
    lastEvent: Time


class Users(Range):
    """Users, those who do most first."""

    by: Literal["events", "revenue"]
    items: list[User]


def _user(row: Row) -> User:
    return {
        "userId": row["user_id"],
        "source": row["source"],
        "events": row["events"],
        "topEvents": row["top"],
        "bottomEvents": row["bottom"],
        "purchases": row["purchases"],
        "revenue": money(row["revenue"]),
        "firstEvent": utc(row["first_at"]),
        "lastEvent": utc(row["last_at"]),
    }


def users(now: Snapshot, query: UsersQuery) -> Users:
    """Compute the report."""
    filtered = (query.funnelStage, query.eventType, query.campaignId, query.country)
    params = query.params() | {"by": query.by, "limit": query.limit}
    if query.exact or any(value is not None for value in filtered):
        rows = now.rows(SQL["top_users_exact"], params)
    else:
        rows = _top_users(now, query, params | cut(query.from_, query.to).params())
    return {
        "from": time(query.from_),
        "to": time(query.to),
        "by": query.by,
        "items": [_user(row) for row in rows],
    }


def _top_users(now: Snapshot, query: UsersQuery, params: Row) -> list[Row]:
    """Find those who can be among the first by little data, and what exactly they did then."""
    days = now.rows(SQL["user_days"], params)
    # what users did on a day with late events is counted anew
    sealed = [row["day"] for row in days if row["sealed"] and not row["pending"]]
    params |= {
        "sealed_days": sealed,
        "open_days": [row["day"] for row in days if not row["sealed"] or row["pending"]],
        "slots": len(sealed) * (1 if query.source else len(SOURCES)),
    }
    by_revenue = query.by == "revenue"
    found = now.rows(SQL["best_buyers" if by_revenue else "perhaps_most_active"], params)
    if not found and not by_revenue:
        found = now.rows(SQL["most_active"], params)
    ids = [row["user_id"] for row in found] or None  # by revenue: too few bought anything
    return now.rows(SQL["top_users"], params | {"user_ids": ids})


REPORT = Report(
    name="users",
    summary="Who does most",
    description="Users by the number of their events or by what they spent. A user is a `userId`.",
    query=UsersQuery,
    answer=Users,
    compute=users,
)
