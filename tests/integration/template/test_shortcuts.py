"""Short POST requests that a function takes below ASGI: what stays as it is for their clients."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.functions import Function, running
from tests.support.net import wait_until

HANDLER = """
import asyncio

from starlette.responses import Response

waiting = []


async def handle(request):
    return Response(b"long " + await request.body())


def take(headers, body, respond):
    if body == b"fail":
        raise ValueError("it fails")
    if body.startswith(b"not"):
        return False

    def answer():
        given = headers.get(b"x-given", b"-")
        respond(202, b"content-length: %d\\r\\nx-given: %b\\r\\n" % (len(body), given), body)

    if body == b"later":
        waiting.append(answer)
    elif body == b"now":
        answer()
    else:
        asyncio.get_running_loop().call_later(0.001, answer)
    if body == b"begun":
        waiting.pop()()
    return True


shortcuts = {b"/short": take}
"""


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Function]:
    (folder / "short.py").write_text(HANDLER)
    with running("short", folder / "log", PYTHONPATH=str(folder), **settings) as function:
        yield function


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    with serving(tmp_path_factory.mktemp("short")) as function:
        yield function


def connect(function: Function) -> socket.socket:
    url = urlsplit(function.url)
    return socket.create_connection((url.hostname, url.port), timeout=60)


def post(body: bytes, *fields: str, line: str = "POST /short HTTP/1.1") -> bytes:
    head = "\r\n".join((line, "Host: a", *fields, f"Content-Length: {len(body)}"))
    return f"{head}\r\n\r\n".encode() + body


def read(sock: socket.socket) -> tuple[HTTPResponse, bytes]:
    response = HTTPResponse(sock)
    response.begin()
    return response, response.read()


def ask(sock: socket.socket, request: bytes) -> bytes:
    sock.sendall(request)
    return read(sock)[1]


def test_short_requests_and_others(function: Function) -> None:
    with connect(function) as sock:
        sock.sendall(post(b"one", "X-Given: 1", "x-given: 2"))
        response, body = read(sock)
        assert (response.status, response.reason, body) == (202, "Accepted", b"one")
        assert response.headers["x-given"] == "1"
        assert response.headers["server"]
        assert response.headers["date"]
        assert "connection" not in response.headers
        # the same connection goes on, whichever way they take
        assert ask(sock, post(b"not for it")) == b"long not for it"
        assert ask(sock, post(b"now")) == b"now"
        assert ask(sock, post(b"fail")) == b"long fail"
        assert ask(sock, post(b"")) == b""
        assert ask(sock, post(b"x" * 16_384)) == b"x" * 16_384
        assert ask(sock, post(b"x" * 16_385)) == b"long " + b"x" * 16_385
        assert ask(sock, post(b"a", line="POST /short?b HTTP/1.1")) == b"long a"
        assert ask(sock, post(b"a", line="PUT /short HTTP/1.1")) == b"long a"
        assert ask(sock, post(b"a", "Expect: 100-continue")) == b"long a"
        chunked = b"POST /short HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert ask(sock, chunked + b"1\r\na\r\n0\r\n\r\n") == b"long a"
        # a body in parts
        request = post(b"in parts")
        for part in (request[:20], request[20:-5], request[-5:-2]):
            sock.sendall(part)
        assert ask(sock, request[-2:]) == b"in parts"
        # several at once: the responses are in their order
        sock.sendall(post(b"one") + post(b"not two") + post(b"now") + post(b"four"))
        seen = b""
        while not seen.endswith(b"four"):
            part = sock.recv(4096)
            assert part, seen
            seen += part
        bodies = [each.partition(b"\r\n\r\n")[2] for each in seen.split(b"HTTP/1.1 ")[1:]]
        bodies = [body.removeprefix(b"long ") for body in bodies]
        assert bodies == [b"one", b"not two", b"now", b"four"]


def test_connections_end(function: Function) -> None:
    with connect(function) as sock:
        sock.sendall(post(b"one", "Connection: close"))
        response, body = read(sock)
        assert (response.headers["connection"], body) == ("close", b"one")
        assert sock.recv(1) == b""
    with connect(function) as sock:
        assert ask(sock, post(b"a", line="POST /short HTTP/1.0")) == b"long a"
        assert sock.recv(1) == b""
    with connect(function) as gone:
        gone.sendall(post(b"one"))


def test_what_was_begun_is_answered_after_sigterm(tmp_path: Path) -> None:
    with (
        serving(tmp_path) as function,
        connect(function) as received,
        connect(function) as begun,
    ):
        received.sendall(post(b"later"))
        begun.sendall(post(b"begun")[:-2])
        with connect(function) as other:  # whose answer comes after both were read
            assert ask(other, post(b"now")) == b"now"
        function.process.send_signal(signal.SIGTERM)

        def refused() -> bool:
            try:
                connect(function).close()
            except OSError:
                return True
            return False

        wait_until(refused)
        assert ask(begun, b"un") == b"begun"
        response, body = read(received)
        assert (response.headers["connection"], body) == ("close", b"later")
        assert function.process.wait(30) == 0


@pytest.mark.slow
def test_idle_connections_are_closed(tmp_path: Path) -> None:
    with serving(tmp_path, KEEP_ALIVE="1") as function, connect(function) as sock:
        assert ask(sock, post(b"one")) == b"one"
        assert sock.recv(1) == b""


@pytest.mark.slow
def test_a_limit_of_calls_holds_for_them(tmp_path: Path) -> None:
    with serving(tmp_path, max_inflight="1") as function, connect(function) as sock:
        assert ask(sock, post(b"one")) == b"long one"
