"""Bodies that do not come occupy no thread of a function in an image either."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO
from urllib.parse import urlsplit

import pytest

from tests.support.functions import Function, running
from tests.support.net import plain_http, wait_until

HANDLER = "tests.support.handlers.threads.handler"
CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
KNOWN = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    """A function with two threads, served by gunicorn alone."""
    log = tmp_path_factory.mktemp("function") / "log"
    with running(HANDLER, log, THREADS="2", BODY_TIMEOUT="3") as function:
        yield function


def connect(function: Function) -> socket.socket:
    url = urlsplit(function.url)
    assert url.port
    return socket.create_connection((url.hostname or "", url.port), timeout=30)


@contextmanager
def unfinished(function: Function, count: int, request: bytes) -> Iterator[list[socket.socket]]:
    sockets = [connect(function) for _ in range(count)]
    try:
        for each in sockets:
            each.sendall(request)
        yield sockets
    finally:
        for each in sockets:
            each.close()


@pytest.mark.parametrize(
    "request_bytes",
    [KNOWN + b"x", KNOWN + b"x" * 60_000, CHUNKED + b"3\r\nabc\r\n", KNOWN[:30]],
    ids=["a byte", "most of it", "chunks", "half a head"],
)
@pytest.mark.parametrize("count", [pytest.param(40, marks=pytest.mark.slow), 400])
def test_unfinished_bodies_take_no_threads(
    function: Function, count: int, request_bytes: bytes
) -> None:
    """40, and 400, sockets with unfinished bodies: a function with two threads goes on."""
    with unfinished(function, count, request_bytes):
        for body in (b"x", b"x" * 200_000):
            assert plain_http.post(function.url, content=body, timeout=20).text == str(len(body))


def test_a_body_that_does_not_come_is_ended(function: Function) -> None:
    """408, and the connection is closed, also where no watchdog is in front."""
    with unfinished(function, 1, KNOWN + b"x") as sockets:
        for each in sockets:
            received = b""
            while part := each.recv(65536):
                received += part
            assert received.startswith(b"HTTP/1.1 408 ")
    wait_until(lambda: plain_http.post(function.url, content=b"x").text == "1")


def test_bodies_arrive_whole_however_they_are_sent(function: Function) -> None:
    """What is received first and what comes after it make one body; connections stay usable."""
    with connect(function) as sock:
        answers = sock.makefile("rb")
        for size in (0, 1, 65_535, 65_536, 65_537, 3_000_000):
            sock.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size)
            sock.sendall(b"x" * size)
            assert _answer(answers) == str(size).encode()
            pieces = [b"x" * 10_007] * (size // 10_007)
            sock.sendall(CHUNKED)
            for piece in pieces:
                sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            sock.sendall(b"0\r\n\r\n")
            assert _answer(answers) == str(sum(map(len, pieces))).encode()
        sock.sendall(
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
        assert answers.readline().startswith(b"HTTP/1.1 100")
        answers.readline()
        sock.sendall(b"body")
        assert _answer(answers) == b"4"


def _answer(answers: BinaryIO) -> bytes:
    assert answers.readline().startswith(b"HTTP/1.1 200")
    length = 0
    while (line := answers.readline()) != b"\r\n":
        name, _, value = line.lower().partition(b":")
        length = int(value) if name == b"content-length" else length
    return answers.read(length)
