"""How many different users did something."""

from .database import Snapshot
from .filters import ReportQuery
from .statements import Statements

SQL = Statements("report_unique_users.sql")


def unique_users(now: Snapshot, query: ReportQuery) -> int:
    """Return how many different users the events of a question are of."""
    return now.row(SQL["unique_users_exact"], query.params())["users"]


def unique_users_by_country(now: Snapshot, query: ReportQuery) -> dict[str | None, int]:
    """Return the same by country."""
    rows = now.rows(SQL["unique_users_by_country_exact"], query.params())
    return {row["country"]: row["users"] for row in rows}
