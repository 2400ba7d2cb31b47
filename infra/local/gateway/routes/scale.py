"""`/system/scale-function/NAME`."""

from aiohttp import web

from infra.local.api_models import ScaleServiceRequest
from infra.local.functions.registry import Registry
from infra.local.gateway.http_io import read_model, text_error


class ScaleRoutes:
    """Handler of the scale resource."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def scale(self, request: web.Request) -> web.Response:
        """POST /system/scale-function/NAME: 0 stops all replicas, the next request starts one."""
        name = request.match_info["name"]
        wanted = await read_model(request, ScaleServiceRequest)
        function = self._registry.find(name)
        if function is None:
            return text_error(404, f"function {name} not found")
        function.scale(wanted.replicas)
        return web.Response(status=202)
