"""Answers with what it was asked; its paths make it slow, streaming or crash."""

import asyncio
import gzip
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

VERSION = os.environ.get("VERSION", "1")


async def handle(request: Request) -> Response:
    """Dispatch on the path."""
    path = request.url.path
    if path.startswith("/health/"):
        return Response("OK")
    if path == "/sleep":
        await asyncio.sleep(float(request.query_params["s"]))
    elif path == "/stream":
        return StreamingResponse(_ticks(int(request.query_params["n"])), media_type="text/plain")
    elif path == "/upload":
        return await _count(request)
    elif path == "/mirror":
        return StreamingResponse(request.stream(), media_type="application/octet-stream")
    elif path == "/crash":
        os.kill(os.getppid(), signal.SIGKILL)
        await asyncio.sleep(60)
    elif path == "/cut":
        return StreamingResponse(_cut(), media_type="text/plain")
    elif path == "/gzip":
        body = gzip.compress(b"hello " * 100)
        return Response(body, headers={"Content-Encoding": "gzip"}, media_type="text/plain")
    elif path == "/status":
        code = int(request.query_params["code"])
        return Response(None if code in {204, 304} else b"x", status_code=code)
    elif path == "/cookies":
        response = Response("two")
        response.headers.append("Set-Cookie", "a=1")
        response.headers.append("Set-Cookie", "b=2")
        return response
    elif path == "/print":
        print(request.query_params["text"], flush=True)
    elif path == "/secret":
        folder = Path(os.environ["SECRETS_DIR"])
        return Response(json.dumps({f.name: f.read_text() for f in sorted(folder.iterdir())}))
    elif path == "/waited":
        return Response(_marker().read_text() if _marker().exists() else "")
    elif path == "/wait":
        await _wait_until_gone(request)
    return Response(json.dumps(await _described(request)), media_type="application/json")


async def _described(request: Request) -> dict[str, object]:
    body = await request.body()
    return {
        "version": VERSION,
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


async def _ticks(count: int) -> AsyncIterator[bytes]:
    for number in range(count):
        yield b"%d %f\n" % (number, time.monotonic())
        await asyncio.sleep(0.2)


async def _count(request: Request) -> Response:
    total, first = 0, 0.0
    async for chunk in request.stream():
        first = first or time.monotonic()
        total += len(chunk)
    seconds = time.monotonic() - first if first else 0.0
    return Response(json.dumps({"length": total, "seconds": seconds}))


async def _cut() -> AsyncIterator[bytes]:
    yield b"begun\n"
    await asyncio.sleep(0.2)
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _marker() -> Path:
    return Path(os.environ["MARKER"])


async def _wait_until_gone(request: Request) -> None:
    _marker().write_text("waiting")
    while not await request.is_disconnected():  # noqa: ASYNC110 - there is nothing to wait for
        await asyncio.sleep(0.02)
    _marker().write_text("gone")
