"""Links that read with limits: making them, revoking them, and what one may read."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

import flask
import orjson
from itsdangerous import BadSignature, URLSafeSerializer
from pydantic import ConfigDict, Field, PrivateAttr, TypeAdapter
from pydantic.dataclasses import dataclass as checked
from typing_extensions import TypedDict

from functions.common.errors import CredentialsRefusedError, RequestRefusedError

from .. import database
from ..database import Connection, Snapshot
from ..formatting import Time, format_time
from ..problems import invalid_parameters
from ..query.filters import EventFilters, QueryParameters, ReportQuery
from ..query.statements import Statements
from .bodies import JSON_TYPE, read_json
from .by_id import Name, deletion
from .write import Write

SQL = Statements("shares.sql")

TOKEN_HEADER = "X-Share-Token"  # noqa: S105 - the name of the header
SALT = "universe share"
MAX_DAYS = 3660
EQUAL = ("source", "funnelStage", "eventType", "campaignId", "country")
"""Filters that a link may fix; its reports have them whatever else is asked."""

SHARED = frozenset(
    {
        "overview",
        "timeseries",
        "funnel",
        "countries",
        "campaigns",
        "revenue",
        "demographics",
        "share",
    }
)
"""Reports that a link may read: sums within its filters. Not raw events, users and properties,
which name people, and not those that follow people beyond the range."""
PARAMETERS = frozenset(
    {"timezone", "from_", "to", *EQUAL, "exact", "countryOf", "interval", "split", "sort", "limit"}
)
"""Query parameters that a link may ask with."""


@dataclass(frozen=True)
class Limits:
    """What a link may read.

    Attributes:
        id: of the link.
        name: what people call it.
        filters: that every report has.
        expires_at: when it ends.
    """

    id: str
    name: str
    filters: EventFilters
    expires_at: datetime


@checked(config=ConfigDict(extra="forbid"), frozen=True)
class NewShare:
    """A link to make."""

    name: Name
    filters: EventFilters = Field(
        description="What the link may read: `from`, `to`, `source`, `funnelStage`, `eventType`, "
        "`campaignId`, `country`, as in a report."
    )
    days: int = Field(30, ge=1, le=MAX_DAYS, description="After how many days it ends.")


class MadeShare(TypedDict):
    """The link; its token is not shown again."""

    id: str
    token: str
    expiresAt: Time


NEW = TypeAdapter(NewShare)


def limits_of(snapshot: Snapshot, token: str) -> Limits:
    """Return what the holder of a link's token may read.

    Raises:
        CredentialsRefusedError: 403, it is not one of ours, it was revoked or has expired.
    """
    refused = CredentialsRefusedError(
        "wrong", "This link is not valid: it has expired, was revoked or changed.", status=403
    )
    found = snapshot.rows(SQL["share_secret"])
    if not found:
        raise refused
    try:
        named = URLSafeSerializer(found[0]["secret"], salt=SALT).loads(token)
        id_ = UUID(named)
    except (BadSignature, ValueError, TypeError, AttributeError):
        raise refused from None
    rows = snapshot.rows(SQL["share"], {"id": id_})
    if not rows:
        raise refused
    [row] = rows
    filters = EventFilters.model_validate(row["filters"])
    return Limits(row["id"], row["name"], filters, row["expires_at"])


def limits_by(token: str) -> Limits:
    """Return the same, asked in a transaction of its own."""
    with database.snapshot() as snapshot:
        return limits_of(snapshot, token)


class ShareQuery(QueryParameters):
    """The query parameters of the report about a link itself: none."""

    _limits: Limits | None = PrivateAttr(None)

    @property
    def limits(self) -> Limits | None:
        """What the link may read that asks; None: it is none."""
        return self._limits

    def by(self, limits: Limits) -> Self:
        """Return the question as asked with a link."""
        asked = self.model_copy()
        asked._limits = limits
        return asked


def check_included(report_name: str) -> None:
    """Check that links may read a report.

    Raises:
        RequestRefusedError: 403, they may not.
    """
    if report_name not in SHARED:
        raise RequestRefusedError(403, f"This link does not include {report_name}.")


def limited(query: QueryParameters, limits: Limits) -> QueryParameters:
    """Return a question with the filters of a link.

    A range is cut to that of the link.

    Raises:
        RequestRefusedError: 403, the link may not ask this.
    """
    if isinstance(query, ShareQuery):
        return query.by(limits)
    assert isinstance(query, ReportQuery)
    unknown = query.model_fields_set - PARAMETERS
    if unknown:
        raise RequestRefusedError(403, f"This link may not ask with {', '.join(sorted(unknown))}.")
    forced: dict[str, Any] = {"countryOf": "event"}
    for name in EQUAL:
        fixed, asked = getattr(limits.filters, name), getattr(query, name)
        if fixed is None:
            continue
        if asked not in (None, fixed):
            raise RequestRefusedError(403, f"This link is limited to {name} {fixed}.")
        forced[name] = fixed
    start = max(filter(None, (query.from_, limits.filters.from_)), default=None)
    end = min(filter(None, (query.to, limits.filters.to)), default=None)
    if start is not None and end is not None and start > end:
        # of before or after the link's range: nothing, at that end of it
        start = end = end if end == limits.filters.to else start
    return query.model_copy(update=forced | {"from_": start, "to": end})


def filters_json(filters: EventFilters) -> dict[str, Any]:
    """Return the filters that are given, times in UTC."""
    fixed = {"from_", "to", *EQUAL}
    return filters.model_dump(mode="json", by_alias=True, exclude_none=True, include=fixed)


def _prepare_new(request: flask.Request) -> NewShare:
    share = read_json(NEW, request)
    other = share.filters.model_fields_set - {"from_", "to", "timezone", *EQUAL}
    if other:  # it would not be held to them
        raise invalid_parameters(
            [
                {"parameter": f"filters.{name}", "message": "A link cannot fix it", "type": "fixed"}
                for name in sorted(other)
            ]
        )
    return share


def _add(connection: Connection, share: NewShare) -> MadeShare:
    execute: Any = connection.execute
    execute(SQL["make_share_secret"], {"secret": secrets.token_urlsafe(48)})
    secret = execute(SQL["share_secret"]).fetchone()["secret"]
    execute(SQL["delete_expired_shares"])
    filters = orjson.dumps(filters_json(share.filters)).decode()
    params = {"name": share.name, "filters": filters, "days": share.days}
    row = execute(SQL["add_share"], params).fetchone()
    token = URLSafeSerializer(secret, salt=SALT).dumps(row["id"])
    return {"id": row["id"], "token": token, "expiresAt": format_time(row["expires_at"])}


ADD = Write(
    name="shares",
    method="POST",
    summary="Make a link",
    description="Makes a link that may read the totals within its filters, until it ends or is "
    "revoked: overview, timeseries, funnel, countries, campaigns, revenue and demographics; no raw "
    f"events, no users. Its token is sent in the header `{TOKEN_HEADER}` in place of a key; the "
    "dashboard takes it as `#share=TOKEN`.",
    bodies={
        JSON_TYPE: {
            "schema": NEW,
            "example": {
                "name": "Agency, TikTok",
                "filters": {"source": "tiktok", "from": "2026-11-01T00:00:00Z"},
                "days": 90,
            },
        }
    },
    response=MadeShare,
    prepare=_prepare_new,
    store=_add,
)
REVOKE = deletion(
    "shares",
    "Revoke a link",
    "Who has the link reads nothing with it from then on.",
    SQL["revoke_share"],
)
