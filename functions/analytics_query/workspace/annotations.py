"""Noting what happened, to be marked on curves."""

from functools import partial

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from ..database import Connection
from ..query.filters import UtcTime
from ..query.statements import Statements
from ..query.time_zone import TimeZoneName
from ..settings import settings
from .bodies import JSON_TYPE, read_json
from .by_id import Name, Written, deletion, written
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


def _add(connection: Connection, annotation: NewAnnotation) -> Written:
    params = {"time": annotation.time, "label": annotation.label}
    return written(connection, SQL["add_annotation"], **params)


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
    prepare=partial(read_json, NEW),
    store=_add,
)
DELETE = deletion(
    "annotations", "Delete an annotation", "Deletes an annotation.", SQL["delete_annotation"]
)
