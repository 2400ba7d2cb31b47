"""The links that read with limits, and what one of them may read."""

from typing import Any

from typing_extensions import TypedDict

from functions.common.errors import RequestRefusedError

from ..database import Snapshot
from ..formatting import Time, format_time
from ..query.filters import QueryParameters
from ..query.statements import Statements
from ..workspace.shares import TOKEN_HEADER, ShareQuery, filters_json
from .report import Report

SQL = Statements("shares.sql")


class SharesQuery(QueryParameters):
    """The query parameters of the report: none."""


class Share(TypedDict):
    """A link: its name, the filters that all its reports have, and when it ends."""

    id: str
    name: str
    filters: dict[str, str]
    createdAt: Time
    expiresAt: Time


class Shares(TypedDict):
    """All links that are valid, the newest first."""

    items: list[Share]


class ThisShare(TypedDict):
    """The link that asks."""

    name: str
    filters: dict[str, Any]
    expiresAt: Time


def shares(snapshot: Snapshot, _: SharesQuery) -> Shares:
    """Return the report."""
    return {
        "items": [
            {
                "id": row["id"],
                "name": row["name"],
                "filters": row["filters"],
                "createdAt": format_time(row["created_at"]),
                "expiresAt": format_time(row["expires_at"]),
            }
            for row in snapshot.rows(SQL["all_shares"])
        ]
    }


def share(_: Snapshot, query: ShareQuery) -> ThisShare:
    """Return the report.

    Raises:
        RequestRefusedError: 403, it is not asked with a link.
    """
    if query.limits is None:
        raise RequestRefusedError(403, f"Ask with a link: its token in the header {TOKEN_HEADER}.")
    return {
        "name": query.limits.name,
        "filters": filters_json(query.limits.filters),
        "expiresAt": format_time(query.limits.expires_at),
    }


REPORT = Report(
    name="shares",
    summary="Links that read with limits",
    description="The links that are valid: not revoked, not expired. Their tokens are not told.",
    query=SharesQuery,
    response=Shares,
    compute=shares,
)
THIS = Report(
    name="share",
    summary="What a link may read",
    description=f"Of the link whose token is in the header `{TOKEN_HEADER}`: its name, its "
    "filters, when it ends.",
    query=ShareQuery,
    response=ThisShare,
    compute=share,
)
