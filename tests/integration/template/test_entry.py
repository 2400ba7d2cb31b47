"""The entry file of the template: what starts a function, and how it stops."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from tests.support.functions import ENTRY, ROOT, running
from tests.support.local_gateway import running_gateway
from tests.support.net import plain_http, wait_until
from tests.support.tools import tool

TEMPLATE = "python3-functions-framework"


def load(module: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ENTRY)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FUNCTION_MODULE": module, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_handler_that_cannot_be_loaded_ends_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text("import json\n\nimport not_installed\n")
    done = load("faulty", PYTHONPATH=str(tmp_path), READY_FILE=str(tmp_path / "ready"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "faulty cannot be loaded: ModuleNotFoundError: No module named 'not_installed' "
        f"({tmp_path}/faulty.py, line 3)\n"
    )
    assert not (tmp_path / "ready").exists()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ValueError('the port\\nis wrong')", "ValueError: the port is wrong"),
        ("def answer(request): ...", "AttributeError: module 'faulty' has no attribute 'handle'"),
        ("def handle(request) ...", "SyntaxError: expected ':'"),
    ],
)
def test_the_line_tells_what_is_wrong(tmp_path: Path, source: str, reason: str) -> None:
    (tmp_path / "faulty.py").write_text(source + "\n")
    done = load("faulty", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"faulty cannot be loaded: {reason}")


def test_debugging_shows_where_it_came_from(tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text("import not_installed\n")
    done = load("faulty", PYTHONPATH=str(tmp_path), LOG_LEVEL="debug")
    assert "Traceback" in done.stderr


def test_ready_file_of_a_crashed_container_does_not_count(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.touch()
    done = load("not_there", READY_FILE=str(ready))
    assert done.returncode == 1
    assert not ready.exists()


COLLECTING = """
import gc

assert not gc.isenabled(), "what is loaded is looked at again and again"


def greet():
    return "hello" if gc.isenabled() else "garbage stays"


"""


@pytest.mark.parametrize("handler", ["wsgi", "asgi"])
def test_requests_are_taken_until_the_delay_is_over(tmp_path: Path, handler: str) -> None:
    sources = {
        "wsgi": "def handle(request):\n    return greet()\n",
        "asgi": "from starlette.responses import Response\n\n\n"
        "async def handle(request):\n    return Response(greet())\n",
    }
    (tmp_path / "greeting.py").write_text(COLLECTING + sources[handler])
    ready = tmp_path / "ready"
    settings = {"PYTHONPATH": str(tmp_path), "READY_FILE": str(ready), "DRAIN_DELAY": "2"}
    with running("greeting", tmp_path / "log", **settings) as function:
        wait_until(ready.exists)
        answered = 0
        refused = threading.Event()

        def ask() -> None:
            nonlocal answered
            while not refused.is_set():
                try:
                    assert plain_http.get(function.url, timeout=30).text == "hello"
                    answered += 1
                except httpx.TransportError:
                    refused.set()

        asking = threading.Thread(target=ask)
        function.process.send_signal(signal.SIGTERM)
        asking.start()
        assert function.process.wait(30) == 0
        asking.join(30)
        assert refused.is_set()
        assert answered > 3


STREAMING = """
from starlette.responses import StreamingResponse


async def handle(request):
    assert request.method in ("GET", "HEAD")
    path = request.url.path.strip("/")
    size = int(path) if path.isdigit() else 0
    kind = "text/plain; " + request.client.host + " " + request.url.scheme

    async def parts():
        for number in range(size):
            yield b"%9d" % number

    return StreamingResponse(parts(), media_type=kind)


def middleware(framework):
    async def application(scope, receive, send):
        if scope["type"] != "http" or scope["method"] != "POST":
            await framework(scope, receive, send)
            return
        headers = [(b"content-length", b"5"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": b"sh", "more_body": True})
        await send({"type": "http.response.body", "body": b"ort"})

    return application
"""


def test_a_function_may_have_a_way_around_the_framework(tmp_path: Path) -> None:
    (tmp_path / "streaming.py").write_text(STREAMING)
    with running("streaming", tmp_path / "log", PYTHONPATH=str(tmp_path)) as function:
        forwarded = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
        for size in (0, 1, 20_000):
            url = f"{function.url}/{size}"
            answer = plain_http.get(url, headers=forwarded, timeout=60)
            assert answer.text == "".join(f"{number:9d}" for number in range(size))
            assert answer.headers["content-type"].startswith("text/plain; 192.0.2.7 https")
            assert plain_http.head(url, timeout=60).text == ""
            posted = plain_http.post(url)
            assert (posted.status_code, posted.text) == (202, "short")


@pytest.fixture
def newcomer(tmp_path: Path) -> Path:
    """A folder in which `faas-cli new` has made the function `hello`."""
    faas_cli = tool("faas-cli")
    (tmp_path / "template").symlink_to(ROOT / "templates")
    done = subprocess.run(
        [str(faas_cli), "new", "--lang", TEMPLATE, "hello"],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "handler.py" in done.stdout, "it says where to begin"
    return tmp_path


def test_newcomers_function_works(newcomer: Path) -> None:
    with running("hello.handler", newcomer / "log", PYTHONPATH=str(newcomer)) as function:
        assert plain_http.get(function.url).text == "Hello, world!\n"
        assert plain_http.post(function.url, content=b"Ada").text == "Hello, Ada!\n"


async def test_newcomers_stack_works_on_the_local_platform(newcomer: Path) -> None:
    async with running_gateway(newcomer / "state") as gateway:
        await gateway.server.deploy_stack([newcomer / "stack.yaml"])
        async with gateway.client.post(f"{gateway.url}/function/hello", data=b"Ada") as answer:
            assert (answer.status, await answer.text()) == (200, "Hello, Ada!\n")
