"""`/async-function/NAME[/path]`: stores a request that is made later."""

import time
from urllib.parse import urlsplit

from aiohttp import web

from functions.common.correlation import CALL_ID_HEADER, call_id_from
from infra.local.async_calls.call import AsyncCall
from infra.local.async_calls.queue import AsyncCallQueue
from infra.local.errors import (
    CallbackRefusedError,
    CallTooLargeError,
    GatewayRefusalError,
    QueueUnavailableError,
)
from infra.local.functions.registry import Registry
from infra.local.gateway import refusals
from infra.local.gateway.http1.bodies import RequestBodies
from infra.local.gateway.http_io import ASYNC_PREFIX, problem_answer, to_response
from infra.local.gateway.operations import is_operation
from infra.local.gateway.proxy import split_target

_NOT_STORED = frozenset(
    {
        "connection", "proxy-connection", "keep-alive", "proxy-authorization", "te", "trailer",
        "transfer-encoding", "upgrade", "expect", "host", "content-length", "x-call-id",
        "x-callback-url",
    }
)  # fmt: skip


class AsyncRoutes:
    """Handler of asynchronous invocations."""

    def __init__(
        self, registry: Registry, calls: AsyncCallQueue | None, bodies: RequestBodies
    ) -> None:
        self._registry = registry
        self._calls = calls
        self._bodies = bodies
        self._callback_rule = registry.settings.callback_rule
        self._max_body = registry.settings.async_max_body

    async def invoke(self, request: web.Request) -> web.Response:
        """POST: 202 means that the request is stored durably and will be made.

        Raises:
            GatewayRefusalError: the callback is not allowed, the body is too large or does not
                come, or the path is one for operators.
        """
        name, target = split_target(request.raw_path, ASYNC_PREFIX)
        function = self._registry.find(name)
        if function is None:
            return _problem(404, f"function {name} is not deployed")
        if self._calls is None:
            return _problem(501, "asynchronous calls need NATS, which is not configured")
        callback = request.headers.get("X-Callback-Url", "")
        if callback and urlsplit(callback).scheme not in {"http", "https"}:
            return _problem(400, f"X-Callback-Url is not an HTTP URL: {callback}")
        if callback:
            self._check_callback(callback)
        if is_operation(function.version, target):
            # it will be made without a login
            raise GatewayRefusalError(
                refusals.LOGIN, 403, f"{target} is not called asynchronously: it asks for a login"
            )
        started = time.time_ns()
        body = await self._bodies.receive(request, self._max_body)
        call = AsyncCall(
            function=function.name,
            method=request.method,
            target=target,
            call_id=call_id_from(request.headers),
            headers=_stored_headers(request),
            body=body,
            callback_url=callback,
        )
        return await _put(self._calls, call, started)

    def _check_callback(self, url: str) -> None:
        try:
            self._callback_rule.check(url)
        except CallbackRefusedError as error:
            raise GatewayRefusalError(
                refusals.CALLBACK, 403, f"X-Callback-Url is refused: {error}"
            ) from error


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> web.Response:
    return to_response(problem_answer(status, detail, headers))


async def _put(calls: AsyncCallQueue, call: AsyncCall, started: int) -> web.Response:
    try:
        await calls.put(call)
    except CallTooLargeError as error:
        return _problem(413, str(error))
    except QueueUnavailableError as error:
        detail = f"the call could not be stored: {error}"
        return _problem(503, detail, {"Retry-After": "2"})
    return web.Response(
        status=202, headers={CALL_ID_HEADER: call.call_id, "X-Start-Time": str(started)}
    )


def _text(value: bytes) -> str:
    """Return a header value; what is not UTF-8 is taken for Latin-1, and sent as UTF-8 later."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _stored_headers(request: web.Request) -> list[tuple[str, str]]:
    fields = [(name.decode("ascii"), _text(value)) for name, value in request.raw_headers]
    stored = [(name, value) for name, value in fields if name.lower() not in _NOT_STORED]
    present = {name.lower() for name, _ in stored}
    host = next((value for name, value in fields if name.lower() == "host"), "")
    if host and "x-forwarded-host" not in present:
        stored.append(("X-Forwarded-Host", host))
    if request.remote and "x-forwarded-for" not in present:
        stored.append(("X-Forwarded-For", request.remote))
    return stored
