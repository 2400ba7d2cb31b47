"""Who comes back: people by the week of their first event, and when they are seen again."""

import math
from bisect import bisect_right
from datetime import datetime
from typing import Literal

from pydantic import Field
from typing_extensions import TypedDict

from ..database import Row, Snapshot
from ..errors import UnsupportedQueryError
from ..formatting import Count, Rate, ReportRange, Time, format_optional_time, format_time
from ..query.filters import ReportQuery
from ..query.intervals import interval_starts
from ..query.rollup_query import event_time_bounds
from ..query.statements import Statements
from ..query.told_country import LeftOut, left_out, with_users_country
from ..users.accuracy import (
    STANDARD_DEVIATIONS,
    Accuracy,
    estimated_accuracy,
    exact_accuracy,
)
from ..users.sampling import SAMPLING_MODULUS, sample_bounds, should_sample
from .report import Report

SQL = Statements("report_retention.sql")

MAX_COHORTS = 100
"""Cohorts of one response: a table of more can hardly be read, and grows with their square."""

CohortInterval = Literal["day", "week", "month"]
RetentionSplit = Literal["none", "source", "campaignId"]


class RetentionQuery(ReportQuery):
    """The query parameters of the report; the filters choose the events that people begin with."""

    interval: CohortInterval = Field(
        "week", description="How long a cohort gathers people.", examples=["week"]
    )
    split: RetentionSplit = Field(
        "none",
        description="Cohorts for each value of this field: a person is in that of the first event "
        "with the value.",
        examples=["source"],
    )
    returns: Literal["any", "same"] = Field(
        "any",
        description="What counts as coming back: `any` event of the person, or the `same`, an "
        "event that the filters choose too.",
        examples=["any"],
    )
    limit: int = Field(
        10, ge=1, le=50, description="Maximum number of values; those with most people are kept."
    )


class Cohort(TypedDict):
    """People with their first event in an interval that starts at `time`.

    `returned` are those of them who are seen in the same interval and in each that follows, up to
    the end of the range. `returned` divided by `users` is wrong by `rateError` at most, at 95 per
    cent confidence; 0: counted.
    """

    time: Time
    users: Count
    usersAccuracy: Accuracy
    returned: list[Count]
    rateError: Rate


class Cohorts(TypedDict):
    """The cohorts of one value; `key` is `all` without a split."""

    key: str
    users: Count
    cohorts: list[Cohort]


class Retention(ReportRange):
    """Cohorts of people; `times` are the starts of all intervals, the last may not be over."""

    interval: CohortInterval
    timezone: str
    split: RetentionSplit
    times: list[Time]
    items: list[Cohorts]
    omitted: Count
    leftOut: LeftOut | None


def retention(snapshot: Snapshot, query: RetentionQuery) -> Retention:
    """Return the report."""
    bounds = event_time_bounds(snapshot, query)
    _, times = interval_starts(query.from_, query.to, query.interval, *bounds, zone=query.zone)
    if len(times) > MAX_COHORTS:
        raise UnsupportedQueryError(
            "interval",
            f"The range has {len(times):,} cohorts of one {query.interval}, the maximum is "
            f"{MAX_COHORTS}. Use a longer interval or a shorter range.",
        )
    # a first event is the first of all times: whoever was there before the range is not new
    ever = with_users_country(snapshot, query.of_users(()).model_copy(update={"from_": None}))
    sampled = should_sample(snapshot, ever)
    rows = snapshot.rows(
        SQL["retention"],
        ever.params()
        | {
            "interval": query.interval,
            "zone": query.timezone,
            "split": query.split,
            "any_event": query.returns == "any",
            "limit": query.limit,
            "sampled": sampled,
            "since": query.from_,
            "since_day": query.from_ and query.from_.date(),
        },
    )
    items = [_cohorts(key, of_key, times, sampled) for key, of_key in _by_key(rows).items()]
    items.sort(key=lambda item: (-item["users"], item["key"]))
    return {
        "from": format_optional_time(query.from_),
        "to": format_optional_time(query.to),
        "interval": query.interval,
        "timezone": query.timezone,
        "split": query.split,
        "times": [format_time(at) for at in times],
        "items": items,
        "omitted": max((row["keys"] for row in rows), default=0) - len(items),
        "leftOut": left_out(snapshot, query),
    }


def _by_key(rows: list[Row]) -> dict[str, list[Row]]:
    by_key: dict[str, list[Row]] = {}
    for row in rows:
        by_key.setdefault(row["key"], []).append(row)
    return by_key


def _cohorts(key: str, rows: list[Row], times: list[datetime], sampled: bool) -> Cohorts:
    numbers = [[0] * (len(times) - place) for place in range(len(times))]
    for row in rows:
        cohort = bisect_right(times, row["cohort"]) - 1
        numbers[cohort][bisect_right(times, row["period"]) - 1 - cohort] += row["users"]
    return {
        "key": key,
        "users": sum(of_cohort[0] for of_cohort in numbers) * _each(sampled),
        "cohorts": [
            _cohort(at, of_cohort, sampled)
            for at, of_cohort in zip(times, numbers, strict=True)
            if of_cohort[0]
        ],
    }


def _each(sampled: bool) -> int:
    return SAMPLING_MODULUS if sampled else 1


def _cohort(at: datetime, numbers: list[int], sampled: bool) -> Cohort:
    """Return a cohort; all its people are seen in the interval that they are first seen in."""
    users = numbers[0]
    return {
        "time": format_time(at),
        "users": users * _each(sampled),
        "usersAccuracy": estimated_accuracy(*sample_bounds(users))
        if sampled
        else exact_accuracy(users),
        "returned": [number * _each(sampled) for number in numbers],
        # the widest that an interval of a share of so many people can be
        "rateError": min(1.0, round(STANDARD_DEVIATIONS * 0.5 / math.sqrt(users), 6))
        if sampled
        else 0.0,
    }


REPORT = Report(
    name="retention",
    summary="Retention: who comes back",
    description="People by the day, week or month of their first event, and how many of them were "
    "seen again in each that follows. The filters choose the events that people begin with "
    "(`campaignId`: those whose first click on it is in the interval); whoever had such an event "
    "before the range is in no cohort. Read from the stored events: counted where these are few, "
    "else estimated from every 32nd person, with bounds; `exact=true` counts, within the time "
    "limit of a report.",
    query=RetentionQuery,
    response=Retention,
    compute=retention,
)
