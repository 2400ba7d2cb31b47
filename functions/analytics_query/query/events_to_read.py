"""How many events a report may read one by one, because no rollup has what is asked for."""

from collections.abc import Callable
from datetime import datetime

from ..database import Snapshot
from ..errors import UnsupportedQueryError
from ..settings import settings
from .filters import ReportQuery
from .rollup_query import query_rollups
from .statements import Statements

SQL = Statements("report_unique_users.sql")


def events_of_range(snapshot: Snapshot, query: ReportQuery) -> int:
    """Return how many events there are in the range of a query, whatever its filters."""
    return events_between(snapshot, query.from_, query.to)


def events_between(
    snapshot: Snapshot, start: datetime | None, end: datetime | None, source: str | None = None
) -> int:
    """Return how many events there are between two times; None: not restricted."""
    asked = ReportQuery.model_validate({"from": start, "to": end, "source": source})
    [row] = query_rollups(snapshot, SQL, "number_of_events", asked)
    return row["events"]


def check_events_to_read(snapshot: Snapshot, query: ReportQuery, parameter: str) -> None:
    """Check that a report which reads all events of its range has not too many to read.

    Args:
        snapshot: the view of the database to read.
        query: which events are looked at; with `exact`, any number may be read.
        parameter: the one that makes it read them.

    Raises:
        UnsupportedQueryError: there are more than `FILTER_MAX_EVENTS`.
    """
    check_number_to_read(
        query,
        lambda: events_of_range(snapshot, query),
        settings().filter_max_events,
        parameter,
        "This range has",
        "Ask for a shorter range, or use source, funnelStage, eventType, campaignId and country, "
        "which rollups have",
    )


def check_number_to_read(
    query: ReportQuery,
    events: Callable[[], int],
    most: int,
    parameter: str,
    what_has: str,
    what_helps: str,
) -> None:
    """Check that a report has not too many events to read one by one, unless it is told `exact`.

    Args:
        query: the question.
        events: returns how many events it would read.
        most: it may read so many.
        parameter: the one that makes it read them, for the response.
        what_has: so many events; the beginning of the response.
        what_helps: what to ask instead.

    Raises:
        UnsupportedQueryError: there are more.
    """
    if query.exact:
        return
    if (number := events()) > most:
        raise UnsupportedQueryError(
            parameter,
            f"{what_has} {number:,} events, and {most:,} may be read one by one. "
            f"{what_helps}; exact=true reads them all, within the time limit of a report.",
        )
