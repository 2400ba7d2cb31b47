"""Saving views of the dashboard by name."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

import flask
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from ..database import Connection
from ..query.statements import Statements
from .bodies import JSON_TYPE, read_json
from .by_id import IdQuery, Name, Written, add_named, change_named, deletion, prepare_id
from .write import Write

SQL = Statements("views.sql")

PageQuery = Annotated[str, Field(max_length=4000, pattern=r"^[!-~]*$")]
"""The query of the page's address, without the question mark."""


@dataclass(config=ConfigDict(extra="forbid"), frozen=True)
class NewView:
    """A view to save."""

    name: Name
    query: PageQuery


@dataclass(config=ConfigDict(extra="forbid"), frozen=True)
class ChangedView:
    """What to change of a view; null leaves it."""

    name: Name | None = None
    query: PageQuery | None = None


NEW = TypeAdapter(NewView)
CHANGED = TypeAdapter(ChangedView)
EXAMPLE = {"name": "Germany, this month", "query": "range=month&country=DE"}


def _add(connection: Connection, view: NewView) -> Written:
    return add_named(connection, SQL["add_view"], "view", name=view.name, query=view.query)


def _prepare_change(request: flask.Request) -> tuple[UUID, ChangedView]:
    return prepare_id(request), read_json(CHANGED, request)


def _change(connection: Connection, given: tuple[UUID, ChangedView]) -> Written:
    id_, view = given
    others, change = SQL["another_view_of_name"], SQL["change_view"]
    params = {"id": id_, "name": view.name, "query": view.query}
    return change_named(connection, others, change, "view", **params)


def _json(schema: TypeAdapter[Any]) -> dict[str, Any]:
    return {JSON_TYPE: {"schema": schema, "example": EXAMPLE}}


ADD = Write(
    name="views",
    method="POST",
    summary="Save a view",
    description="Saves a view of the dashboard by a name that no other has: `query` is that of "
    "the page's address, without the question mark.",
    bodies=_json(NEW),
    response=Written,
    prepare=partial(read_json, NEW),
    store=_add,
)
CHANGE = Write(
    name="views",
    method="PUT",
    summary="Rename or change a view",
    description="Changes the name or the query of a view; what is left out stays.",
    bodies=_json(CHANGED),
    query=IdQuery,
    response=Written,
    prepare=_prepare_change,
    store=_change,
)
DELETE = deletion("views", "Delete a view", "Deletes a view.", SQL["delete_view"])
