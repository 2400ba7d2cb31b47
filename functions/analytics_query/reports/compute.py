"""Computes a report, whoever asks."""

from typing import Any

from ..database import Snapshot
from ..query.events_to_read import check_events_to_read
from ..query.filters import QueryParameters, ReportQuery
from ..query.told_country import with_users_country
from .report import Report


def compute(snapshot: Snapshot, report: Report, query: QueryParameters) -> Any:
    """Return the response of a report.

    Raises:
        UnsupportedQueryError: it would read too many events, or cannot be answered.
    """
    if isinstance(query, ReportQuery):
        if query.filter:
            check_events_to_read(snapshot, query, "filter")
        query = with_users_country(snapshot, query)
    return report.compute(snapshot, query)
