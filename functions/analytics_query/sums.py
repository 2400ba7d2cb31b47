"""Sums over events: which rows a report adds up."""

from typing import Any

from .database import Row, Snapshot
from .filters import Filters
from .statements import Statements


def sums(
    now: Snapshot,
    statements: Statements,
    name: str,
    query: Filters,
    **params: Any,
) -> list[Row]:
    """Run a statement that includes `{{sums}}` over the events that `query` is about."""
    return now.rows(statements.over("events", name), query.params() | params)
