"""Runs a report's statement over the smallest rollup that can answer it."""

from datetime import datetime
from typing import Any

from ..database import Row, Snapshot
from .filters import ReportQuery
from .statements import Statements
from .time_range import Grain, split_range

_TIMESERIES = Statements("report_timeseries.sql")


def query_rollups(
    snapshot: Snapshot,
    statements: Statements,
    name: str,
    query: ReportQuery,
    *,
    by_country: bool = False,
    by_campaign: bool = False,
    grain: Grain | None = "day",
    **params: Any,
) -> list[Row]:
    """Run a statement that includes `{{sums}}`; return its rows.

    Whole days and hours are read from rollups, partial hours from the events. With `exact`,
    filters by properties or without a grain all rows come from the events.

    Args:
        snapshot: the view of the database to read.
        statements: the SQL file of the statement.
        name: the statement's name in that file.
        query: which events to sum.
        by_country: whether the statement groups by country.
        by_campaign: whether it groups by campaign; events without a campaign are left out.
        grain: the longest period that the statement need not divide; None: any may be divided.
        params: the statement's own parameters.
    """
    if query.from_events or grain is None:
        fragment = "sums_campaign_events" if by_campaign else "sums_events"
    else:
        fragment = _rollup_fragment(query, by_country, by_campaign)
    parts = split_range(query.from_, query.to, grain or "day")
    statement = statements.over(name, sums=fragment)
    return snapshot.rows(statement, query.params() | parts.params() | params)


def event_time_bounds(
    snapshot: Snapshot, query: ReportQuery, *, by_country: bool = False, by_campaign: bool = False
) -> tuple[datetime | None, datetime | None]:
    """Return the times of the first and the last event, where the range is open at an end.

    Both are None where there are no events or the range has both ends, so that they are not
    needed. `by_country` and `by_campaign` are as in `query_rollups`.
    """
    if query.from_ is not None and query.to is not None:
        return None, None
    [row] = query_rollups(
        snapshot,
        _TIMESERIES,
        "timeseries_span",
        query,
        by_country=by_country,
        by_campaign=by_campaign,
    )
    return row["first_at"], row["last_at"]


def _rollup_fragment(query: ReportQuery, by_country: bool, by_campaign: bool) -> str:
    """Return the name of the fragment that reads the smallest rollup with the needed columns."""
    country = by_country or query.country is not None
    campaign = by_campaign or query.campaignId is not None
    if country:
        return "sums_campaign_countries" if campaign else "sums_countries"
    return "sums_campaigns" if campaign else "sums_types"
