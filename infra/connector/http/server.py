"""The connector's own endpoints: health, metrics and state."""

import json

from aiohttp import web

from functions.common.http.aiohttp_routes import operation_routes
from infra.connector.app import Connector


def make_app(connector: Connector) -> web.Application:
    """Return the application with health, metrics and `/bindings`."""

    async def state(_: web.Request) -> web.Response:
        return web.json_response(connector.describe(), dumps=lambda v: json.dumps(v, indent=2))

    app = web.Application()
    app.add_routes([*operation_routes(connector.checks), web.get("/bindings", state)])
    return app
