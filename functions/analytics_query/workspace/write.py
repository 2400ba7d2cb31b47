"""The definition of a request that writes, and what each of them goes through."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import flask

from functions.common.health import JSON
from functions.common.http.front_door import RawResponse
from functions.common.http.wsgi import to_response
from functions.common.json_text import to_json

from ..access import authenticate_writer
from ..database import Connection, writing
from ..problems import refusals
from ..query.filters import QueryParameters

TOO_LONG = "Writing took longer than the time limit. Send less at a time."


@dataclass(frozen=True)
class Write:
    """One request that writes.

    Attributes:
        name: the last part of its path, `/analytics/<name>`; a report of that name reads it.
        method: of HTTP.
        summary: a title of a few words.
        description: what it does, Markdown.
        bodies: OpenAPI media types of the body, by content type; empty: it takes none. The
            `schema` of one may be a `TypeAdapter`.
        response: the type of its JSON response.
        prepare: checks a request before a connection is taken, and returns what `store` is given.
        store: writes, in a transaction of its own; returns the response.
        query: the type of its query parameters.
    """

    name: str
    method: Literal["PUT", "POST", "DELETE"]
    summary: str
    description: str
    bodies: Mapping[str, Any]
    response: Any
    prepare: Callable[[flask.Request], Any]
    store: Callable[[Connection, Any], Any]
    query: type[QueryParameters] = field(default=QueryParameters)


def perform(write: Write, request: flask.Request) -> flask.Response:
    """Return the response of a request that writes, once what it wrote is committed.

    Raises:
        RequestRefusedError: the caller may not write, something is wrong with the request, or the
            database is unavailable.
    """
    authenticate_writer(request)
    prepared = write.prepare(request)
    with refusals(TOO_LONG), writing() as connection:
        response = write.store(connection, prepared)
    headers = {"Cache-Control": "no-store"}
    return to_response(RawResponse(200, to_json(response), JSON, headers))
