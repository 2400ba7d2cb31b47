"""The front door for a coroutine function, with starlette."""

from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from functions.common import health
from functions.common.health import Checks
from functions.common.http.front_door import OPERATIONS, Exchange, FrontDoor, RawResponse

Handler = Callable[[Request], Awaitable[Response]]


def serve(
    door: FrontDoor[Handler], checks: Callable[[], Awaitable[Checks]]
) -> Callable[[Request], Awaitable[Response]]:
    """Return the coroutine function that serves a function's requests.

    Args:
        door: of the function.
        checks: tells, for readiness, what is wrong with what the function depends on.
    """

    async def handle(request: Request) -> Response:
        scope = request.scope
        exchange = Exchange(
            door, request.method, scope["path"], scope["query_string"], request.headers
        )
        try:
            exchange.check()
            if exchange.route in OPERATIONS:
                found: Checks = await checks() if exchange.route == health.READINESS else {}
                response = to_response(exchange.operation(found))
            else:
                response = await exchange.handler(request)
        except ClientDisconnect:
            response = Response(status_code=400)  # which the client does not read any more
        except Exception as error:
            response = to_response(exchange.failed(error))
        exchange.finish(response)
        return response

    return handle


def to_response(raw: RawResponse) -> Response:
    """Return a response of the framework."""
    return Response(raw.body, raw.status, {"Content-Type": raw.content_type, **raw.headers})
