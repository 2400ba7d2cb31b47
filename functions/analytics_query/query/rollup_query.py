"""Sums over events: which rows a report adds up."""

from datetime import datetime
from typing import Any

from ..database import Row, Snapshot
from .filters import ReportQuery
from .statements import Statements
from .time_range import Grain, cut

_SPAN = Statements("report_timeseries.sql")


def sums(
    now: Snapshot,
    statements: Statements,
    name: str,
    query: ReportQuery,
    *,
    by_country: bool = False,
    by_campaign: bool = False,
    grain: Grain | None = "day",
    **params: Any,
) -> list[Row]:
    """Run a statement that includes `{{sums}}` over the events that `query` is about.

    Args:
        now: the snapshot to read.
        statements: the file of the statement.
        name: of the statement.
        query: which events; with `exact` the events themselves are read.
        by_country: whether the statement looks at the country.
        by_campaign: whether it looks at the campaign; events of none are then left out.
        grain: the longest time that the statement takes as one moment; None: none is.
        params: what else the statement takes.
    """
    if query.exact or grain is None:
        rows = "sums_campaign_events" if by_campaign else "sums_events"
    else:
        rows = _rollup(query, by_country, by_campaign)
    pieces = cut(query.from_, query.to, grain or "day")
    statement = statements.over(name, sums=rows)
    return now.rows(statement, query.params() | pieces.params() | params)


def span(
    now: Snapshot, query: ReportQuery, *, by_country: bool = False, by_campaign: bool = False
) -> tuple[datetime | None, datetime | None]:
    """Return the first and the last moment that has an event, where the range leaves an end open.

    Without events, and for a range with both ends, there is none. `by_country` and `by_campaign`
    are as in `sums`.
    """
    if query.from_ is not None and query.to is not None:
        return None, None
    row = sums(
        now, _SPAN, "timeseries_span", query, by_country=by_country, by_campaign=by_campaign
    )[0]
    return row["first_at"], row["last_at"]


def _rollup(query: ReportQuery, by_country: bool, by_campaign: bool) -> str:
    """Return the fragment that reads the smallest rollup which can tell what is asked."""
    country = by_country or query.country is not None
    campaign = by_campaign or query.campaignId is not None
    if country:
        return "sums_campaign_countries" if campaign else "sums_countries"
    return "sums_campaigns" if campaign else "sums_types"
