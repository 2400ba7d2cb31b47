"""What a watchdog in front of a function would do, and the template does itself."""

import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.functions import Function, running
from tests.support.net import plain_http, wait_until

SOURCES = {
    "wsgi": """
import threading

release = threading.Event()


def handle(request):
    if request.path == "/release":
        release.set()
    elif request.path == "/wait":
        release.wait(60)
    return str(len(request.get_data()))
""",
    "asgi": """
import asyncio

from starlette.responses import Response

release = asyncio.Event()


async def handle(request):
    if request.url.path == "/release":
        release.set()
    elif request.url.path == "/wait":
        await release.wait()
    return Response(str(len(await request.body())))
""",
}


Serve = Callable[..., AbstractContextManager[Function]]


@pytest.fixture(params=SOURCES)
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Serve:
    """Run a function that waits when it is told to."""
    (tmp_path / "waiting.py").write_text(SOURCES[request.param])

    def start(**settings: str) -> AbstractContextManager[Function]:
        return running("waiting", tmp_path / "log", PYTHONPATH=str(tmp_path), **settings)

    return start


def raw(function: Function, request: bytes) -> bytes:
    """Send bytes and return all that comes until the connection is closed."""
    url = urlsplit(function.url)
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=60) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_probes_of_an_engine_are_answered(serve, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with serve(READY_FILE=str(ready)) as function:
        wait_until(ready.exists)
        for path in ("/_/health", "/_/ready"):
            assert plain_http.get(function.url + path).status_code == 200
        ready.unlink()
        assert plain_http.get(function.url + "/_/health").status_code == 200
        assert plain_http.get(function.url + "/_/ready").status_code == 503
        assert plain_http.get(function.url + "/_/other").text == "0"


def test_more_calls_than_allowed_are_refused(serve) -> None:
    statuses: Counter[int] = Counter()
    with serve(max_inflight="2", exec_timeout="5s", GRACEFUL_TIMEOUT="1") as function:

        def wait() -> None:
            # the questions below are calls as well
            answers = iter(lambda: plain_http.get(function.url + "/wait", timeout=60).status_code, 0)
            statuses[next(each for each in answers if each != 429)] += 1

        waiting = [threading.Thread(target=wait) for _ in range(2)]
        for each in waiting:
            each.start()
        refused = wait_until(
            lambda: (
                answer
                if (answer := plain_http.get(function.url + "/some")).status_code == 429
                else None
            )
        )
        assert refused is not None
        assert refused.headers["Retry-After"] == "1"
        assert plain_http.get(function.url + "/_/health").status_code == 200
        for each in waiting:
            each.join(60)
        assert statuses == {504: 2}


def test_a_call_that_takes_too_long_is_answered_with_504(serve) -> None:
    with serve(exec_timeout="1s", GRACEFUL_TIMEOUT="1") as function:
        assert plain_http.get(function.url + "/wait", timeout=60).status_code == 504
        assert plain_http.get(function.url + "/release", timeout=60).status_code == 200
        assert plain_http.get(function.url + "/wait", timeout=60).status_code == 200


def test_a_request_that_does_not_come_is_ended(serve) -> None:
    with serve(read_timeout="1s") as function:
        assert raw(function, b"GET / HTTP/1.1\r\nHost: h\r\nX-Half").startswith(b"HTTP/1.1 408 ")
        assert plain_http.post(function.url, content=b"abc").text == "3"


def test_a_limit_that_is_no_duration_ends_it(tmp_path: Path) -> None:
    (tmp_path / "waiting.py").write_text(SOURCES["wsgi"])
    settings = {"PYTHONPATH": str(tmp_path), "exec_timeout": "soon"}
    with (
        pytest.raises(AssertionError, match="'soon' is no duration"),
        running("waiting", tmp_path / "log", **settings),
    ):
        pass


@pytest.mark.parametrize("source", SOURCES)
def test_what_comes_while_it_loads_is_answered_afterwards(tmp_path: Path, source: str) -> None:
    """Probes at once; requests, several at a time, once the handler is there."""
    gate = tmp_path / "gate"
    wait = "import pathlib, time\nwhile not pathlib.Path('GATE').exists(): time.sleep(0.02)\n"
    (tmp_path / "waiting.py").write_text(wait.replace("GATE", str(gate)) + SOURCES[source])
    ready = tmp_path / "ready"
    settings = {
        "PYTHONPATH": str(tmp_path),
        "ANSWER_WHILE_LOADING": "1",
        "READY_FILE": str(ready),
    }
    with running("waiting", tmp_path / "log", **settings) as function:
        assert plain_http.get(function.url + "/_/health").json() == {"status": "starting"}
        refused = plain_http.get(function.url + "/_/ready")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        texts: Counter[str] = Counter()

        def send() -> None:
            texts[plain_http.post(function.url, content=b"x" * 100_000, timeout=60).text] += 1

        early = [threading.Thread(target=send) for _ in range(20)]
        for each in early:
            each.start()
        assert not texts
        gate.touch()
        for each in early:
            each.join(60)
        assert texts == {"100000": 20}
        assert ready.exists()
        assert plain_http.get(function.url + "/_/ready").status_code == 200
        assert function.stop() == 0
        assert not ready.exists()
