"""The front door for a function that blocks its thread, with flask."""

import io
from collections.abc import Callable

import flask
from werkzeug.exceptions import HTTPException

from functions.common import health
from functions.common.errors import RequestRefusedError
from functions.common.health import Checks
from functions.common.http.front_door import OPERATIONS, Exchange, FrontDoor, RawResponse

Handler = Callable[[flask.Request], flask.Response]


def serve(
    door: FrontDoor[Handler], checks: Callable[[], Checks]
) -> Callable[[flask.Request], flask.Response]:
    """Return the function that serves a function's requests.

    Args:
        door: of the function.
        checks: tells, for readiness, what is wrong with what the function depends on.
    """

    def handle(request: flask.Request) -> flask.Response:
        exchange = Exchange(door, request.method, request.path, request.headers)
        try:
            exchange.check()
            if exchange.route in OPERATIONS:
                found: Checks = checks() if exchange.route == health.READINESS else {}
                response = to_response(exchange.operation(found))
            else:
                response = exchange.handler(request)
        except HTTPException as error:  # the body came too slowly, or not whole
            response = to_response(exchange.failed(_refusal(error)))
        except Exception as error:
            response = to_response(exchange.failed(error))
        exchange.finish(response)
        _forget_body(request)
        return response

    return handle


def _refusal(error: HTTPException) -> RequestRefusedError:
    """Return the framework's refusal of a request as one of ours."""
    return RequestRefusedError(error.code or 500, error.description or error.name)


def _forget_body(request: flask.Request) -> None:
    """Let the framework find an empty body, once the request is answered.

    It reads what the handler has left of a body, in one piece and whatever its length, before it
    responds. The server discards it as well, in small pieces and after the response.
    """
    request.stream = io.BytesIO()  # pyright: ignore[reportAttributeAccessIssue] - a cached property


def to_response(raw: RawResponse) -> flask.Response:
    """Return a response of the framework."""
    return flask.Response(raw.body, raw.status, dict(raw.headers), content_type=raw.content_type)
