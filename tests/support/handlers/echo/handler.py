"""Answers with what it was asked; its paths make it slow, streaming or crash."""

import asyncio
import gzip
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send


async def handle(request: Request) -> Response:
    """Dispatch on the path; any other is answered with a description of the request."""
    return await _ROUTES.get(request.url.path, _describe)(request)


async def _describe(request: Request) -> Response:
    body = await request.body()
    described = {
        "version": os.environ.get("VERSION", "1"),
        "pid": os.getpid(),
        "master": os.getppid(),
        "name": os.environ.get("FUNCTION_NAME"),
        "method": request.method,
        "rawPath": request.scope["raw_path"].decode("latin-1"),
        "query": request.scope["query_string"].decode("latin-1"),
        "headers": [[k.decode("latin-1"), v.decode("latin-1")] for k, v in request.headers.raw],
        "body": body.decode("latin-1") if len(body) < 10_000 else None,
        "length": len(body),
    }
    return Response(json.dumps(described), media_type="application/json")


async def _health(_: Request) -> Response:
    return Response("OK")


async def _environment(_: Request) -> Response:
    return Response(json.dumps(dict(os.environ)), media_type="application/json")


async def _sleep(request: Request) -> Response:
    await asyncio.sleep(float(request.query_params["s"]))
    return await _describe(request)


async def _stream(request: Request) -> Response:
    async def ticks() -> AsyncIterator[bytes]:
        allowed = request.query_params.get("allowed")  # a file with how many lines may be made
        for number in range(int(request.query_params["n"])):
            while allowed and int(_read(allowed)) <= number:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            yield b"%d\n" % number

    return StreamingResponse(ticks(), media_type="text/plain")


async def _upload(request: Request) -> Response:
    total, first = 0, 0.0
    async for chunk in request.stream():
        first = first or time.monotonic()
        total += len(chunk)
    seconds = time.monotonic() - first if first else 0.0
    return Response(json.dumps({"length": total, "seconds": seconds}))


async def _mirror(request: Request) -> Response:
    return _Mirror(request)


class _Mirror(Response):
    """Sends the request's body back as it comes.

    A StreamingResponse would read the request's messages as well, to learn of a disconnect.
    """

    def __init__(self, request: Request) -> None:
        super().__init__()
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async for chunk in self._request.stream():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _crash(_: Request) -> Response:
    os.kill(os.getppid(), signal.SIGKILL)
    await asyncio.sleep(60)
    return Response("alive")


async def _cut(_: Request) -> Response:
    async def begin() -> AsyncIterator[bytes]:
        yield b"begun\n"
        await asyncio.sleep(0.2)
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    return StreamingResponse(begin(), media_type="text/plain")


async def _gzip(_: Request) -> Response:
    body = gzip.compress(b"hello " * 100)
    return Response(body, headers={"Content-Encoding": "gzip"}, media_type="text/plain")


async def _status(request: Request) -> Response:
    code = int(request.query_params["code"])
    return Response(None if code in {204, 304} else b"x", status_code=code)


async def _cookies(_: Request) -> Response:
    response = Response("two")
    response.headers.append("Set-Cookie", "a=1")
    response.headers.append("Set-Cookie", "b=2")
    return response


async def _print(request: Request) -> Response:
    print(request.query_params["text"], flush=True)
    return Response("printed")


async def _secrets(_: Request) -> Response:
    return Response(json.dumps(_files(os.environ["SECRETS_DIR"])))


async def _fail_once(_: Request) -> Response:
    """Fail as long as the file MARKER has fewer lines than FAILURES."""
    lines = _read(os.environ["MARKER"]).count("\n")
    _write(_read(os.environ["MARKER"]) + f"{time.time()}\n")
    return Response("tried", status_code=500 if lines < int(os.environ["FAILURES"]) else 200)


async def _wait_until_gone(request: Request) -> Response:
    _write("waiting")
    while not await request.is_disconnected():  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.02)
    _write("gone")
    return Response("gone")


def _files(folder: str) -> dict[str, str]:
    return {file.name: file.read_text() for file in Path(folder).iterdir()}


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""


def _write(text: str) -> None:
    Path(os.environ["MARKER"]).write_text(text)


_ROUTES: dict[str, Callable[[Request], Awaitable[Response]]] = {
    "/health/liveness": _health,
    "/sleep": _sleep,
    "/stream": _stream,
    "/upload": _upload,
    "/mirror": _mirror,
    "/crash": _crash,
    "/cut": _cut,
    "/gzip": _gzip,
    "/status": _status,
    "/cookies": _cookies,
    "/print": _print,
    "/secrets": _secrets,
    "/environment": _environment,
    "/fail-once": _fail_once,
    "/wait-until-gone": _wait_until_gone,
}
