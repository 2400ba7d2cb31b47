"""An OpenFaaS gateway that knows the functions of a file, as a process of its own.

`python -m tests.support.fake_gateway PORT STATE JOURNAL`. The state file is read at each request:
`{"functions": [{"name", "url", "annotations", "labels", "replicas"}], "password": "...",
"refuseZero": true, "zeroIsOne": true, "listPanics": true, "slowToScale": ["name"]}`. Scale
requests are lines of the journal and change the state; those of functions that are
slow to scale are never answered.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

INTERNAL = {"X-OpenFaaS-Internal": "proxy"}


class _Gateway:
    def __init__(self, state: Path, journal: Path) -> None:
        self._file = state
        self._journal = journal
        self._session: aiohttp.ClientSession | None = None

    async def start(self, _: web.Application) -> None:
        self._session = aiohttp.ClientSession()

    async def stop(self, _: web.Application) -> None:
        assert self._session
        await self._session.close()

    def _state(self) -> dict[str, Any]:
        return json.loads(self._file.read_text())

    def _function(self, request: web.Request) -> dict[str, Any] | None:
        wanted = request.match_info["name"].partition(".")[0]
        return next((f for f in self._state()["functions"] if f["name"] == wanted), None)

    @web.middleware
    async def authenticate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        password = self._state().get("password")
        if password and request.path.startswith("/system/"):
            wanted = aiohttp.encode_basic_auth("admin", password)
            if request.headers.get("Authorization") != wanted:
                return web.Response(status=401, text="invalid credentials")
        return await handler(request)

    async def functions(self, request: web.Request) -> web.Response:
        if self._state().get("listPanics"):
            assert request.transport
            request.transport.abort()
        listed = [
            {k: v for k, v in function.items() if k != "url"}
            for function in self._state()["functions"]
        ]
        return web.json_response(listed)

    async def function(self, request: web.Request) -> web.Response:
        function = self._function(request)
        return web.json_response(function, status=200 if function else 404)

    async def namespaces(self, _: web.Request) -> web.Response:
        return web.json_response(["openfaas-fn"])

    async def scale(self, request: web.Request) -> web.Response:
        name, body = request.match_info["name"], await request.json()
        with self._journal.open("a") as journal:
            journal.write(json.dumps({"time": time.time(), "name": name, **body}) + "\n")
        state = self._state()
        if name in state.get("slowToScale", ()):
            await asyncio.sleep(3600)
        if body["replicas"] == 0 and state.get("refuseZero"):
            return web.Response(status=400, text="scaling to zero is not available")
        replicas = body["replicas"]
        if replicas == 0 and state.get("zeroIsOne"):
            replicas = 1
        for function in state["functions"]:
            if function["name"] == name:
                function["replicas"] = replicas
        replace_file(self._file, state)
        return web.Response(status=202)

    async def invoke(self, request: web.Request) -> web.StreamResponse:
        function = self._function(request)
        if function is None:
            return web.Response(status=404, text="error finding function")
        assert self._session
        headers = {k: v for k, v in request.headers.items() if k not in ("Host", "Content-Length")}
        try:
            async with self._session.post(
                function["url"] + request.match_info["path"],
                data=await request.read(),
                headers=headers,
            ) as answer:
                return web.Response(
                    status=answer.status,
                    body=await answer.read(),
                    headers={
                        k: v
                        for k, v in answer.headers.items()
                        if k not in ("Content-Length", "Transfer-Encoding", "Connection")
                    },
                )
        except aiohttp.ClientConnectorError:
            return web.Response(status=503, text="No endpoints available", headers=INTERNAL)
        except aiohttp.ClientError:
            return web.Response(status=500, text="Can't reach service", headers=INTERNAL)


def replace_file(file: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old or the new, never a part."""
    new = file.with_suffix(f".{time.monotonic_ns()}")
    new.write_text(json.dumps(value))
    new.rename(file)


def main() -> None:
    """Serve until SIGTERM."""
    port, state, journal = sys.argv[1:4]
    gateway = _Gateway(Path(state), Path(journal))
    app = web.Application(client_max_size=1 << 30, middlewares=[gateway.authenticate])
    app.on_startup.append(gateway.start)
    app.on_cleanup.append(gateway.stop)
    app.router.add_get("/system/functions", gateway.functions)
    app.router.add_get("/system/namespaces", gateway.namespaces)
    app.router.add_get("/system/function/{name}", gateway.function)
    app.router.add_post("/system/scale-function/{name}", gateway.scale)
    app.router.add_post("/function/{name:[^/]+}{path:(?:/.*)?}", gateway.invoke)
    web.run_app(
        app, host="127.0.0.1", port=int(port), print=None, access_log=None, shutdown_timeout=0.5
    )


if __name__ == "__main__":
    main()
