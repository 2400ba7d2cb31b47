"""The connector's own endpoints: health, metrics and state."""

import json

from aiohttp import web

from functions.common import health
from functions.common.metrics import render
from infra.connector.app import Connector


def make_app(connector: Connector) -> web.Application:
    """Return the application with health, metrics and `/bindings`."""

    async def liveness(_: web.Request) -> web.Response:
        return _health({})

    async def readiness(_: web.Request) -> web.Response:
        return _health(connector.checks())

    async def metrics(_: web.Request) -> web.Response:
        body, content_type = render()
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def state(_: web.Request) -> web.Response:
        return web.json_response(connector.describe(), dumps=lambda v: json.dumps(v, indent=2))

    app = web.Application()
    app.router.add_get(health.LIVENESS, liveness)
    app.router.add_get(health.READINESS, readiness)
    app.router.add_get(health.METRICS, metrics)
    app.router.add_get("/bindings", state)
    return app


def _health(checks: dict[str, str | None]) -> web.Response:
    status, body = health.report(checks)
    return web.Response(status=status, body=body, content_type=health.JSON)
