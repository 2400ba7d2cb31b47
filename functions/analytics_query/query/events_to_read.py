"""How many events a report may read one by one, because no rollup has what is asked for."""

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
    if query.exact:
        return
    events, most = events_of_range(snapshot, query), settings().filter_max_events
    if events > most:
        raise UnsupportedQueryError(
            parameter,
            f"This range has {events:,} events, and a report that reads them one by one may read "
            f"{most:,}. Ask for a shorter range, or use source, funnelStage, eventType, "
            "campaignId and country, which rollups have; exact=true reads them all, within the "
            "time limit of a report.",
        )
