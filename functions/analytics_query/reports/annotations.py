"""What happened, such as a deploy: marked on the curves of the dashboard."""

from pydantic import Field
from typing_extensions import TypedDict

from ..database import Snapshot
from ..formatting import Time, format_time
from ..query.filters import TimeRange
from ..query.statements import Statements
from .report import Report

SQL = Statements("annotations.sql")


class AnnotationsQuery(TimeRange):
    """The query parameters of the report."""

    limit: int = Field(
        100, ge=1, le=1000, description="Maximum number of annotations: the latest of the range."
    )


class Annotation(TypedDict):
    """When something happened, and what."""

    id: str
    time: Time
    label: str


class Annotations(TypedDict):
    """Those of the range, in the order of their times."""

    items: list[Annotation]


def annotations(snapshot: Snapshot, query: AnnotationsQuery) -> Annotations:
    """Return the report."""
    params = {"from_time": query.from_, "to_time": query.to, "limit": query.limit}
    rows = snapshot.rows(SQL["annotations"], params)
    return {
        "items": [
            {"id": row["id"], "time": format_time(row["time"]), "label": row["label"]}
            for row in reversed(rows)
        ]
    }


REPORT = Report(
    name="annotations",
    summary="Annotations",
    description="What a team has noted beside its events, such as a deploy or the start of a "
    "campaign: the dashboard marks it on the curves. It is of no source and no campaign: only "
    "`from` and `to` choose.",
    query=AnnotationsQuery,
    response=Annotations,
    compute=annotations,
)
