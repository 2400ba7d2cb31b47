"""The front door for a coroutine function: an ASGI application without a framework's layers.

A request to it costs a few microseconds; the request object, routes and exception layers of a web
framework cost several hundred.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, overload

from functions.common import health
from functions.common.correlation import CALL_ID_HEADER
from functions.common.errors import UniverseError
from functions.common.health import Checks
from functions.common.http.body import body_too_large
from functions.common.http.front_door import (
    NOSNIFF,
    OPERATIONS,
    Exchange,
    FrontDoor,
    RawResponse,
)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An application as https://asgi.readthedocs.io has it."""

_NO_LENGTH = frozenset({204, 304})
"""Statuses whose responses have no body, and say nothing of one."""
_CALL_ID_NAME = CALL_ID_HEADER.lower()
_CALL_ID = _CALL_ID_NAME.encode()
_NOSNIFF_FIELD = {NOSNIFF[0].lower(): NOSNIFF[1]}
_NOSNIFF = tuple(text.lower().encode() for text in NOSNIFF)


class ClientGoneError(UniverseError):
    """The client closed the connection before its request was complete."""


@cache
def _in_bytes(name: str) -> bytes:
    return name.lower().encode("latin-1")


class FirstHeaders:
    """The headers of a request, by names in any case; of several the first.

    Args:
        first: their values by names in lower case.
    """

    __slots__ = ("_first",)

    def __init__(self, first: Mapping[bytes, bytes]) -> None:
        self._first = first

    @overload
    def get(self, name: str, /) -> str | None: ...

    @overload
    def get(self, name: str, default: str, /) -> str: ...

    def get(self, name: str, default: str | None = None, /) -> str | None:
        """Return a header's value, the first of several; `default` where it was not sent."""
        value = self._first.get(_in_bytes(name))
        return default if value is None else value.decode("latin-1")


class RequestHeaders(FirstHeaders):
    """All headers of a request.

    Args:
        raw: names, in lower case, and values.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: Sequence[tuple[bytes, bytes]]) -> None:
        super().__init__(dict(reversed(raw)))
        self._raw = raw

    def getlist(self, key: str) -> list[str]:
        """Return the values of a header that may have been sent several times."""
        wanted = _in_bytes(key)
        return [value.decode("latin-1") for each, value in self._raw if each == wanted]


@dataclass(slots=True)  # not frozen, which takes several times as long to make
class Request:
    """One request.

    Attributes:
        method: in capitals.
        path: decoded.
        query: what follows the question mark, as it was sent.
        headers: its headers.
        receive: of ASGI, which returns its body.
    """

    method: str
    path: str
    query: bytes
    headers: RequestHeaders
    receive: Receive

    async def body(self, limit: int) -> bytes:
        """Return the body as it was sent.

        Raises:
            RequestRefusedError: 413, it is longer than `limit` bytes.
            ClientGoneError: it will never be complete.
        """
        declared = self.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise body_too_large(limit)
        chunks: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError("the client closed the connection before its body's end")
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise body_too_large(limit)
            chunks.append(chunk)
            more = message.get("more_body", False)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


Handler = Callable[[Request], Awaitable[RawResponse]]


def serve(door: FrontDoor[Handler], checks: Callable[[], Awaitable[Checks]]) -> Application:
    """Return the application that serves a function's requests.

    Args:
        door: of the function.
        checks: tells, for readiness, what is wrong with what the function depends on.
    """

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # nothing is to be done when a server begins or ends
        headers = RequestHeaders(scope["headers"])
        request = Request(scope["method"], scope["path"], scope["query_string"], headers, receive)
        exchange = Exchange(door, request.method, request.path, headers)
        try:
            exchange.check()
            if exchange.route in OPERATIONS:
                found: Checks = await checks() if exchange.route == health.READINESS else {}
                response = exchange.operation(found)
            else:
                response = await exchange.handler(request)
        except ClientGoneError:
            response = RawResponse(400, b"", "text/plain")  # which the client does not read
        except Exception as error:
            response = exchange.failed(error)
        exchange.record(response.status)
        await _respond(send, response, exchange.call_id)

    return application


async def _respond(send: Send, response: RawResponse, call_id: str) -> None:
    status, body = response.status, response.body
    headers = [
        (b"content-type", response.content_type.encode("latin-1")),
        (_CALL_ID, call_id.encode("latin-1")),
        _NOSNIFF,
    ]
    if status not in _NO_LENGTH:
        headers.append((b"content-length", b"%d" % len(body)))
    if response.headers:
        headers += [
            (_in_bytes(name), value.encode("latin-1")) for name, value in response.headers.items()
        ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


Respond = Callable[[int, bytes, bytes], None]
"""Writes a response below ASGI: its status, its header lines, and its body."""


def write_short(respond: Respond, response: RawResponse, call_id: str) -> None:
    """Write the response to a request that was taken below ASGI (the template's shortcut.py)."""
    respond(response.status, header_lines(response, call_id).encode("latin-1"), response.body)


def header_lines(response: RawResponse, call_id: str) -> str:
    """Return the header lines of a response that has a body, each with its end."""
    fields = {
        "content-type": response.content_type,
        _CALL_ID_NAME: call_id,
        **_NOSNIFF_FIELD,
        "content-length": str(len(response.body)),
        **response.headers,
    }
    return "".join(f"{name.lower()}: {value}\r\n" for name, value in fields.items())
