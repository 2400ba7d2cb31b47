"""The ASGI front door: headers, bodies, and the way around the framework."""

import asyncio
from typing import Any

import pytest

from functions.common.errors import RequestRefusedError
from functions.common.http import asgi
from functions.common.http.asgi import ClientGoneError, Request, RequestHeaders


def request_of(*messages: dict[str, Any], **headers: str) -> Request:
    received = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(received)

    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request("POST", "/", b"", RequestHeaders(sent), receive)


def part(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_the_first_of_several_headers_counts_and_all_can_be_had() -> None:
    headers = RequestHeaders([(b"x-key", b"one"), (b"b", b"\xe9"), (b"x-key", b"two")])
    assert headers.get("X-Key") == headers.get("x-key") == "one"
    assert headers.getlist("X-KEY") == ["one", "two"]
    assert headers.get("B") == "\xe9"
    assert headers.get("c") is None
    assert headers.get("c", "none") == "none"
    assert headers.getlist("c") == []


def test_a_body_is_joined() -> None:
    parts = part(b"a", True), {"type": "http.request", "more_body": True}, part(b"b")
    assert asyncio.run(request_of(*parts).body(2)) == b"ab"
    assert asyncio.run(request_of(part(b"")).body(0)) == b""


@pytest.mark.parametrize(
    ("parts", "headers"),
    [
        ([], {"content_length": "4"}),
        ([part(b"abcd")], {}),
        ([part(b"ab", True), part(b"cd", True)], {}),
    ],
)
def test_a_body_that_is_too_long_is_refused_before_its_end(
    parts: list[dict[str, Any]], headers: dict[str, str]
) -> None:
    with pytest.raises(RequestRefusedError) as caught:
        asyncio.run(request_of(*parts, **headers).body(3))
    assert (caught.value.status, caught.value.reason) == (413, "body_too_large")


def test_a_client_that_goes_away_ends_its_request() -> None:
    with pytest.raises(ClientGoneError):
        asyncio.run(request_of(part(b"a", True), {"type": "http.disconnect"}).body(9))


def test_an_application_has_nothing_to_do_when_a_server_begins() -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError

    door: Any = None
    application = asgi.serve(door, never)
    asyncio.run(application({"type": "lifespan"}, never, never))  # pyright: ignore[reportArgumentType]
