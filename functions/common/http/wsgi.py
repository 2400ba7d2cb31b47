"""The front door for a function that blocks its thread, with flask."""

from collections.abc import Callable

import flask

from functions.common import health
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
        exchange = Exchange(
            door, request.method, request.path, request.query_string, request.headers
        )
        try:
            exchange.check()
            if exchange.route in OPERATIONS:
                found: Checks = checks() if exchange.route == health.READINESS else {}
                response = to_response(exchange.operation(found))
            else:
                response = exchange.handler(request)
        except Exception as error:
            response = to_response(exchange.failed(error))
        exchange.finish(response)
        return response

    return handle


def to_response(raw: RawResponse) -> flask.Response:
    """Return a response of the framework."""
    return flask.Response(raw.body, raw.status, dict(raw.headers), content_type=raw.content_type)
