"""What was spent on campaigns, as a team imports it."""

from dataclasses import dataclass

import flask
from pydantic import Field
from typing_extensions import TypedDict

from functions.common import spend
from functions.common.spend import Spend, SpendError

from ..database import Connection
from ..formatting import Count
from ..problems import invalid_parameters
from ..query.filters import QueryParameters
from ..web.parameters import parse
from .bodies import CSV_TYPE, JSON_TYPE, parse_json, read_body
from .write import Write


class SpendImportQuery(QueryParameters):
    """The query parameters of an import."""

    dryRun: bool = Field(False, description="Check and say what it would do, and store nothing.")


class SpendImported(TypedDict):
    """What an import did, in entries: one is a day of a campaign."""

    dryRun: bool
    added: Count
    changed: Count
    unchanged: Count
    removed: Count


@dataclass(frozen=True)
class _Import:
    entries: list[Spend]
    dry_run: bool


def _prepare(request: flask.Request) -> _Import:
    query = parse(SpendImportQuery, request.args)
    media_type, body = read_body(request, (CSV_TYPE, JSON_TYPE))
    try:
        if media_type == CSV_TYPE:
            return _Import(spend.read_csv(body), query.dryRun)
        return _Import(spend.read_entries(parse_json(spend.ENTRIES, body)), query.dryRun)
    except SpendError as error:
        raise invalid_parameters(
            [
                {"parameter": fault.place, "message": fault.message, "type": fault.type}
                for fault in error.faults
            ]
        ) from error


def _store(connection: Connection, given: _Import) -> SpendImported:
    stored = spend.store(connection, given.entries, dry_run=given.dry_run)
    return {
        "dryRun": given.dry_run,
        "added": stored.added,
        "changed": stored.changed,
        "unchanged": stored.unchanged,
        "removed": stored.removed,
    }


WRITE = Write(
    name="spend",
    method="PUT",
    summary="Import what was spent",
    description="Stores what was spent by day, source and campaign, as a whole or not at all: of "
    "each day of a campaign the last import wins, and other days and campaigns stay as they are. "
    "Days are those of the workspace's time zone (`TIMEZONE`), amounts in its currency "
    "(`CURRENCY`). CSV has a header with the columns `date`, `source`, `campaignId`, `amount` and, "
    "optionally, `currency`, which has to be that of the workspace. An entry without an amount "
    "takes away what is stored of it.",
    bodies={
        CSV_TYPE: {
            "schema": {"type": "string"},
            "example": "date,source,campaignId,amount\n2026-11-30,facebook,campaign-7,120.50\n",
        },
        JSON_TYPE: {"schema": spend.ENTRIES},
    },
    query=SpendImportQuery,
    response=SpendImported,
    prepare=_prepare,
    store=_store,
)
