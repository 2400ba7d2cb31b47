"""What rows of the workspace have in common: they are named by an id."""

from typing import Annotated
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict

from functions.common.errors import RequestRefusedError

from ..database import Connection
from ..query.filters import QueryParameters

Name = Annotated[
    str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]*\S[^\x00-\x1f]*$")
]
"""What people call it."""


class IdQuery(QueryParameters):
    """The query parameters that name a row."""

    id: UUID = Field(description="As a list of them has it.")


class Written(TypedDict):
    """What was written, or deleted."""

    id: str


def written(connection: Connection, statement: str, **params: object) -> Written:
    """Run a statement that changes one row and returns its id.

    Raises:
        RequestRefusedError: 404, there is no such row.
    """
    row = connection.execute(statement, params).fetchone()  # pyright: ignore[reportArgumentType, reportCallIssue]
    if row is None:
        raise RequestRefusedError(404, "There is none of this id.")
    return {"id": row["id"]}
