"""Noting what happened, to be marked on curves."""

from uuid import UUID

import flask
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from ..database import Connection
from ..query.filters import UtcTime
from ..query.statements import Statements
from ..query.time_zone import TimeZoneName
from ..settings import settings
from ..web.parameters import parse
from .bodies import JSON_TYPE, parse_json, read_body
from .by_id import IdQuery, Name, Written, written
from .write import Write

SQL = Statements("annotations.sql")


@dataclass(config=ConfigDict(extra="forbid"), frozen=True, kw_only=True)
class NewAnnotation:
    """Something that happened."""

    # before the time, which it is needed for
    timezone: TimeZoneName = Field(
        default_factory=lambda: settings().timezone,
        description="Whose midnight a date is. Default: that of the workspace.",
    )
    time: UtcTime = Field(description="RFC 3339 with any offset, or a date.")
    label: Name = Field(description="What happened.")


NEW = TypeAdapter(NewAnnotation)


def _prepare_new(request: flask.Request) -> NewAnnotation:
    return parse_json(NEW, read_body(request, (JSON_TYPE,))[1])


def _add(connection: Connection, annotation: NewAnnotation) -> Written:
    params = {"time": annotation.time, "label": annotation.label}
    return written(connection, SQL["add_annotation"], **params)


def _prepare_id(request: flask.Request) -> UUID:
    return parse(IdQuery, request.args).id


def _delete(connection: Connection, id_: UUID) -> Written:
    return written(connection, SQL["delete_annotation"], id=id_)


ADD = Write(
    name="annotations",
    method="POST",
    summary="Annotate",
    description="Notes what happened, such as a deploy or the start of a campaign, to be marked "
    "on the curves of the dashboard.",
    bodies={
        JSON_TYPE: {
            "schema": NEW,
            "example": {"time": "2026-11-27T08:00:00Z", "label": "Black Friday campaign starts"},
        }
    },
    response=Written,
    prepare=_prepare_new,
    store=_add,
)
DELETE = Write(
    name="annotations",
    method="DELETE",
    summary="Delete an annotation",
    description="Deletes an annotation.",
    bodies={},
    query=IdQuery,
    response=Written,
    prepare=_prepare_id,
    store=_delete,
)
