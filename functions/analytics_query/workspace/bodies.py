"""Bodies of requests that write: bounded, of a known type, checked."""

from collections.abc import Collection
from typing import TypeVar

import flask
from pydantic import TypeAdapter, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from functions.common.errors import RequestRefusedError
from functions.common.http.body import ValueCounter, body_too_large, decode_body

from ..problems import faults_of, invalid_parameters
from ..settings import settings

T = TypeVar("T")

JSON_TYPE = "application/json"
CSV_TYPE = "text/csv"
MAX_VALUES = 500_000
"""JSON values in a body: a value takes up to thirty times its bytes once it is parsed."""
MAX_FAULTS = 20
"""Faults that a response names, at most."""


def read_body(request: flask.Request, types: Collection[str]) -> tuple[str, bytes]:
    """Return the media type of a body and its bytes, without their content encoding.

    The type has to be given, and is none that a page of another site may send unasked.

    Raises:
        RequestRefusedError: 415, it is of no type among `types`; 413, it is longer than
            `MAX_WRITE_BYTES`; 400, it is not what its content encoding says.
    """
    if request.mimetype not in types:
        raise RequestRefusedError(415, f"Send the body with Content-Type {' or '.join(types)}.")
    limit = settings().max_write_bytes
    request.max_content_length = limit
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise body_too_large(limit) from None
    encoding = request.headers.get("Content-Encoding", "")
    return request.mimetype, decode_body(body, encoding, limit, ValueCounter(MAX_VALUES))


def read_json(adapter: TypeAdapter[T], request: flask.Request) -> T:
    """Return the JSON body of a request as its type.

    Raises:
        RequestRefusedError: as for `read_body` and `parse_json`.
    """
    return parse_json(adapter, read_body(request, (JSON_TYPE,))[1])


def parse_json(adapter: TypeAdapter[T], body: bytes) -> T:
    """Return a JSON body as its type.

    Raises:
        RequestRefusedError: 422, it names what is wrong by its place, such as `0.amount`.
    """
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        raise invalid_parameters(faults_of(error, whole=True)[:MAX_FAULTS]) from error
