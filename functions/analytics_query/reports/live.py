"""What happens now: people, events and revenue of the last minutes."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from pydantic import Field
from typing_extensions import TypedDict

from functions.common.workspace import workspace

from ..database import Snapshot
from ..formatting import Count, Money, Time, format_money, format_optional_time, format_time
from ..query.filters import ReportQuery, WhatFilters
from ..query.statements import Statements
from ..settings import settings
from ..users.accuracy import Accuracy, exact_accuracy
from ..users.unique_users import sampled_users
from .report import Report

SQL = Statements("report_live.sql")
USERS = Statements("report_unique_users.sql")

MAX_MINUTES = 60
AGE = timedelta(seconds=5)
"""How old an answer may be: the page asks that often, of many readers one is computed."""


class LiveQuery(WhatFilters):
    """The query parameters of the report."""

    minutes: int = Field(
        5,
        ge=1,
        le=MAX_MINUTES,
        description="How many minutes back from now.",
        examples=[5],
    )

    def over(self, start: datetime, end: datetime) -> ReportQuery:
        """Return the question about a range; a country is the events' own."""
        filters = self.model_dump(exclude={"minutes"}, by_alias=True)
        return ReportQuery.model_validate(
            {"from": start, "to": end, **filters, "countryOf": "event"}
        )


class LiveTotals(TypedDict):
    """The whole range; `lastEvent` is the time of the newest event in it, null if it is empty."""

    events: Count
    users: Count
    usersAccuracy: Accuracy
    purchases: Count
    revenue: Money
    lastEvent: Time | None


class LiveSource(TypedDict):
    """One source."""

    source: str
    events: Count
    revenue: Money


class LiveMinute(TypedDict):
    """The 60 seconds from `time` on."""

    time: Time
    events: Count
    revenue: Money


Live = TypedDict(
    "Live",
    {
        "from": Time,
        "to": Time,
        "currency": str | None,
        "totals": LiveTotals,
        "bySource": list[LiveSource],
        "byMinute": list[LiveMinute],
    },
)


def live(snapshot: Snapshot, query: LiveQuery) -> Live:
    """Return the report."""
    return live_at(snapshot, query, datetime.now(UTC))


def live_at(snapshot: Snapshot, query: LiveQuery, now: datetime) -> Live:
    """Return the report as it is at a moment; the second that has begun is part of it."""
    end = now.replace(microsecond=0) + timedelta(seconds=1)
    start = end - timedelta(minutes=query.minutes)
    question = query.over(start, end)
    rows = snapshot.rows(SQL["live_sums"], question.params())
    events = [0] * query.minutes
    revenue = [Decimal()] * query.minutes
    by_source: dict[str, tuple[int, Decimal]] = {}
    for row in rows:
        events[row["minute"]] += row["events"]
        revenue[row["minute"]] += row["revenue"]
        so_far = by_source.get(row["source"], (0, Decimal()))
        by_source[row["source"]] = (so_far[0] + row["events"], so_far[1] + row["revenue"])
    users, accuracy = _users(snapshot, question, sum(events))
    return {
        "from": format_time(start),
        "to": format_time(end),
        "currency": workspace().currency,
        "totals": {
            "events": sum(events),
            "users": users,
            "usersAccuracy": accuracy,
            "purchases": sum(row["purchases"] for row in rows),
            "revenue": format_money(sum(revenue, Decimal())),
            "lastEvent": format_optional_time(max((row["last_at"] for row in rows), default=None)),
        },
        "bySource": [
            {"source": name, "events": number, "revenue": format_money(amount)}
            for name, (number, amount) in sorted(by_source.items())
        ],
        "byMinute": [
            {
                "time": format_time(start + timedelta(minutes=place)),
                "events": number,
                "revenue": format_money(amount),
            }
            for place, (number, amount) in enumerate(zip(events, revenue, strict=True))
        ],
    }


def _users(snapshot: Snapshot, question: ReportQuery, events: int) -> tuple[int, Accuracy]:
    if events > settings().exact_users_max_events:
        return sampled_users(snapshot, question, USERS["unique_users_sampled"])
    users = snapshot.row(USERS["unique_users_exact"], question.params())["users"]
    return users, exact_accuracy(users)


REPORT = Report(
    name="live",
    summary="People and events of the last minutes",
    description="Events, people and revenue of the last minutes up to now, by source and by "
    "minute, by the time at which events *happened*: one that comes late, or is of an old day, is "
    "not in it. A country is the events' own. People of more than `EXACT_USERS_MAX_EVENTS` events "
    f"are estimated. An answer is at most {AGE.seconds} seconds old.",
    query=LiveQuery,
    response=Live,
    compute=live,
    age=AGE,
)
