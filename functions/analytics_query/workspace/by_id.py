"""What rows of the workspace have in common: they are named by an id."""

from typing import Annotated
from uuid import UUID

import flask
from pydantic import Field
from typing_extensions import TypedDict

from functions.common.errors import RequestRefusedError

from ..database import Connection, run
from ..problems import invalid_parameter
from ..query.filters import QueryParameters
from ..web.parameters import parse
from .write import Write

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


def prepare_id(request: flask.Request) -> UUID:
    """Return the id that a request names.

    Raises:
        RequestRefusedError: 422, it names none.
    """
    return parse(IdQuery, request.args).id


def written(connection: Connection, statement: str, **params: object) -> Written:
    """Run a statement that changes one row and returns its id.

    Raises:
        RequestRefusedError: 404, there is no such row.
    """
    row = run(connection, statement, **params)
    if row is None:
        raise RequestRefusedError(404, "There is none of this id.")
    return {"id": row["id"]}


def add_named(connection: Connection, statement: str, what: str, **params: object) -> Written:
    """Run a statement that adds a row, unless there is one of its name.

    Args:
        connection: to the database.
        statement: returns the id of the row that it adds.
        what: is added, for the answer.
        params: of the statement.

    Raises:
        RequestRefusedError: 422, the name is another's.
    """
    row = run(connection, statement, **params)
    if row is None:
        raise _name_taken(what)
    return {"id": row["id"]}


def change_named(
    connection: Connection, others: str, statement: str, what: str, **params: object
) -> Written:
    """Run a statement that changes a row and may give it another name.

    Args:
        connection: to the database.
        others: finds another row of the name, by `id` and `name`.
        statement: returns the id of the row that it changes.
        what: is changed, for the answer.
        params: of the statement, `id` and `name` among them.

    Raises:
        RequestRefusedError: 422, the name is another's; 404, there is no such row.
    """
    if run(connection, others, id=params["id"], name=params["name"]) is not None:
        raise _name_taken(what)
    return written(connection, statement, **params)


def _name_taken(what: str) -> Exception:
    return invalid_parameter("name", f"Another {what} is called so", "taken")


def deletion(name: str, summary: str, description: str, statement: str) -> Write:
    """Return the request that deletes a row by its id.

    Args:
        name: of the request, as of a `Write`; so are `summary` and `description`.
        summary: a title of a few words.
        description: what it does.
        statement: deletes the row `:id` and returns its id.
    """

    def delete(connection: Connection, id_: UUID) -> Written:
        return written(connection, statement, id=id_)

    return Write(
        name=name,
        method="DELETE",
        summary=summary,
        description=description,
        bodies={},
        query=IdQuery,
        response=Written,
        prepare=prepare_id,
        store=delete,
    )
