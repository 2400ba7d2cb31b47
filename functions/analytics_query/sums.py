"""Sums over events: which rows a report adds up."""

from typing import Any

from .database import Row, Snapshot
from .filters import ReportQuery
from .pieces import Grain, cut
from .statements import Statements


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
        rows = "campaign_events" if by_campaign else "events"
    else:
        rows = _rollup(query, by_country, by_campaign)
    pieces = cut(query.from_, query.to, grain or "day")
    return now.rows(statements.over(rows, name), query.params() | pieces.params() | params)


def _rollup(query: ReportQuery, by_country: bool, by_campaign: bool) -> str:
    """Return the smallest rollup that can tell what is asked."""
    country = by_country or query.country is not None
    campaign = by_campaign or query.campaignId is not None
    if country:
        return "campaign_countries" if campaign else "countries"
    return "campaigns" if campaign else "types"
