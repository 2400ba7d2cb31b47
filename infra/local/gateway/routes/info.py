"""`/healthz`, `/system/info` and `/system/namespaces`."""

import platform
from importlib.metadata import PackageNotFoundError, version

from aiohttp import web

from infra.local.gateway.http_io import text_error

PROVIDER_NAME = "universe"
ORCHESTRATION = "processes"


def release() -> str:
    """Return the platform's version."""
    try:
        return version("universe")
    except PackageNotFoundError:
        return "dev"


class InfoRoutes:
    """Handlers of information about the platform."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._version = {"sha": "", "release": release()}

    async def health(self, _: web.Request) -> web.Response:
        """GET /healthz."""
        return web.Response(text="OK")

    async def info(self, request: web.Request) -> web.Response:
        """GET /system/info.

        Clients such as faas-cli expect a gateway, whose response contains that of its provider. An
        OpenFaaS gateway in front expects a provider; it is recognised by the header it adds.
        """
        provider = {
            "provider": PROVIDER_NAME,
            "version": self._version,
            "orchestration": ORCHESTRATION,
        }
        if "X-Forwarded-Host" in request.headers:
            return web.json_response(provider)
        gateway = {"provider": provider, "version": self._version, "arch": platform.machine()}
        return web.json_response(gateway)

    async def namespaces(self, _: web.Request) -> web.Response:
        """GET /system/namespaces: the one namespace."""
        return web.json_response([self._namespace])

    async def namespace(self, request: web.Request) -> web.Response:
        """GET /system/namespace/NAME."""
        name = request.match_info["name"]
        if name != self._namespace:
            return text_error(404, f"namespace {name} not found")
        return web.json_response({"name": name, "annotations": {}, "labels": {}})

    async def change_namespace(self, _: web.Request) -> web.Response:
        """POST, PUT, DELETE /system/namespace/NAME."""
        return text_error(501, "this provider has one namespace, which cannot be changed")
