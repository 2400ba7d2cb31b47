"""Bodies that do not come occupy no thread of a function in an image either."""

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
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
    with running(HANDLER, log, THREADS="2", BODY_TIMEOUT="3", RESPONSE_TIMEOUT="2") as function:
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


@pytest.mark.parametrize(
    "request_bytes",
    [
        KNOWN.replace(b"100000", b"1000000") + b"x" * 300_000,
        CHUNKED + b"493e0\r\n" + b"x" * 300_000 + b"\r\n",
    ],
    ids=["length", "chunks"],
)
@pytest.mark.slow
def test_a_body_that_stops_in_the_middle_frees_its_thread(
    function: Function, request_bytes: bytes
) -> None:
    """What comes after the first 64 KiB has to come as well: 408, and the connection is closed."""
    with unfinished(function, 4, request_bytes) as sockets:
        answers = [b"".join(iter(lambda sock=sock: sock.recv(65536), b"")) for sock in sockets]
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in answer.lower()
    assert plain_http.post(function.url, content=b"x").text == "1"
    assert "Traceback" not in function.log.read_text()


def test_a_body_that_trickles_frees_its_thread(function: Function) -> None:
    """A byte now and then is no progress."""
    with unfinished(function, 2, KNOWN + b"x" * 70_000) as sockets:
        ended = 0
        for _ in range(300):
            readable = select.select(sockets, [], [], 0.1)[0]
            if ended := len(readable):
                break
            for each in sockets:
                each.sendall(b"x")
        assert ended
        assert sockets[0].recv(12) == b"HTTP/1.1 408"


def received_of(sock: socket.socket) -> int:
    """Return how much comes of a response of 50 MB."""
    received = 0
    with suppress(ConnectionResetError):
        while received < 50_000_000 and (data := sock.recv(65536)):
            received += len(data)
    return received


@pytest.mark.slow
def test_responses_that_nobody_reads_free_their_threads(function: Function) -> None:
    """After RESPONSE_TIMEOUT without a byte read, the connection is closed."""
    request = b"GET /?size=50000000 HTTP/1.1\r\nHost: h\r\n\r\n"
    with unfinished(function, 4, request) as sockets:
        assert plain_http.post(function.url, content=b"x", timeout=30).text == "1"
        # which of the four had a thread first is not known
        assert min(map(received_of, sockets)) < 50_000_000
    assert "Traceback" not in function.log.read_text()


PIECE = b"%x\r\n%s\r\n" % (50_000, b"x" * 50_000)


@pytest.mark.parametrize(
    "body",
    [
        CHUNKED + PIECE * 20 + b"0\r\n\r\n",
        KNOWN.replace(b"100000", b"1000000") + b"x" * 1_000_000,
    ],
    ids=["chunks", "length"],
)
def test_a_body_that_is_not_read_to_its_end_is_announced(tmp_path: Path, body: bytes) -> None:
    """Where the rest of a body will not be discarded, the response says that it closes."""
    with (
        running("functions.process_batch.handler", tmp_path / "log") as process_batch,
        connect(process_batch) as sock,
    ):
        sock.sendall(body)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize("reads", [10, 70_000])
def test_a_chunked_body_that_is_half_read_loses_no_request(function: Function, reads: int) -> None:
    """Flask reads the rest for a handler that does not."""
    request = CHUNKED.replace(b"POST /", b"POST /?read=%d" % reads) + PIECE * 20 + b"0\r\n\r\n"
    with connect(function) as sock:
        answers = sock.makefile("rb")
        for _ in range(3):
            sock.sendall(request)
            assert _answer(answers) == b"%d" % reads


@pytest.mark.parametrize("size", [1, 60_000])
def test_a_small_chunked_body_that_is_not_read_keeps_the_connection(
    function: Function, size: int
) -> None:
    """It is discarded, and the next request is answered."""
    request = CHUNKED.replace(b"POST /", b"POST /?read=0")
    request += b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size)
    with connect(function) as sock:
        answers = sock.makefile("rb")
        for _ in range(3):
            sock.sendall(request)
            assert _answer(answers) == b"0"


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
