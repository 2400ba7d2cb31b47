"""Responses that are passed on as they came, without being parsed field by field."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from infra.local.gateway.http1.client import header_lines
from infra.local.gateway.http1.upstream import Connection

PLAIN = b"HTTP/1.1 202 Accepted\r\nserver: x\r\nContent-Length: 2\r\n\r\nok"


class Transport(asyncio.Transport):
    """Goes nowhere."""

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None: ...


def received(*parts: bytes, method: str = "POST", whole: bool = True) -> Connection:
    """Return a connection that has received a response, which may be taken whole."""

    async def receive() -> Connection:
        connection = Connection(asyncio.get_running_loop())
        connection.connection_made(Transport())
        connection.begin(method, 60, (lambda: None) if whole else None)
        for part in parts:
            connection.data_received(part)
        connection.connection_lost(None)
        return connection

    return asyncio.run(receive())


@pytest.mark.parametrize(
    "response",
    [
        PLAIN,
        b"HTTP/1.1 500 \r\ncontent-length:0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\na: \r\nContent-Length: \t5 \r\nX-Te: te:\r\n\r\n\r\n\r\n\0",
    ],
)
def test_a_plain_response_is_what_the_parser_says(response: bytes) -> None:
    taken, parsed = received(response), received(response, whole=False)
    assert response.startswith(taken.whole_head + b"\r\n")
    assert (taken.status, taken.complete, taken.keep_alive) == (parsed.status, True, True)
    assert taken.read_nowait() == parsed.read_nowait()
    [_, *lines] = taken.whole_head.splitlines()
    assert len(lines) == len(parsed.headers)


@pytest.mark.parametrize(
    "response",
    [
        PLAIN.replace(b"1.1", b"1.0"),
        PLAIN.replace(b"server: x", b"Connection: close"),
        PLAIN.replace(b"server: x", b"keep-alive: timeout=5"),
        PLAIN.replace(b"server: x", b"X-Start-Time: 1"),
        PLAIN.replace(b"server: x", b"TE: trailers"),
        PLAIN.replace(b"server: x\r\nContent-Length: 2", b"transfer-encoding: chunked"),
        PLAIN.replace(b"server: x", b"content-length: 2"),
        PLAIN.replace(b"server: x", b"server : x"),
        PLAIN.replace(b"server: x", b"server: x\r\n folded"),
        PLAIN.replace(b"server: x", b"server: \x01"),
        PLAIN.replace(b"server: x\r\n", b"server: x\n"),
        PLAIN.replace(b"Content-Length: 2", b"a: b"),
        PLAIN.replace(b"Length: 2", b"Length: +2"),
        PLAIN.replace(b"202 Accepted", b"204 No Content"),
        PLAIN.replace(b"202 Accepted", b"100 Continue"),
        PLAIN + b"HTTP/1.1 200 OK\r\n",
        PLAIN[:-1],
        PLAIN[:20],
        b"",
        b"\r\n\r\n",
    ],
)
def test_any_other_is_left_to_the_parser(response: bytes) -> None:
    taken, parsed = received(response), received(response, whole=False)
    assert taken.whole_head == b""
    fields: Callable[[Connection], Any] = lambda each: (  # noqa: E731
        each.status, each.reason, each.headers, each.complete, each.keep_alive, each.read_nowait()
    )  # fmt: skip
    assert fields(taken) == fields(parsed)


def test_what_comes_in_parts_or_has_no_body_is_left_to_the_parser() -> None:
    parts = received(PLAIN[:10], PLAIN[10:])
    assert (parts.whole_head, parts.status, parts.read_nowait()) == (b"", 202, b"ok")
    head = received(PLAIN[:-2], method="HEAD")
    assert (head.whole_head, head.status, head.complete) == (b"", 202, True)


async def test_the_next_waits_for_what_went_wrong() -> None:
    connection = Connection(asyncio.get_running_loop())
    connection.connection_made(Transport())
    heard: list[str] = []
    connection.begin("POST", 60, lambda: heard.append("now"))
    connection.fail(TimeoutError())
    assert heard == ["now"]
    waiting: Awaitable[None] = connection.wait_for_head()
    with pytest.raises(TimeoutError):
        await waiting


@pytest.mark.parametrize(
    ("head", "fields", "lines"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nB:c \r\n\r\n", 2, b"Host: a\r\nB:c \r\n"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\nb: c\r\n\r\n", 1, b"Host: a\r\n"),
        (b"GET / HTTP/1.1\r\n\r\n", 0, b""),
        (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 1, b""),
        (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 1, b""),
        (b"GET / HTTP/1.1\nHost: a\r\nB: c\r\n\r\n", 2, b""),
        (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 1, b""),
        (b"GET / HTTP/1.1\r\nHost: a\nB: c\r\n\r\n", 2, b""),
    ],
)
def test_lines_are_passed_on_where_each_is_a_field(head: bytes, fields: int, lines: bytes) -> None:
    assert header_lines(head, fields) == lines
