"""`/system/http-sd`: the targets that Prometheus scrapes, in its HTTP service discovery format."""

from collections.abc import Mapping

from aiohttp import web

from infra.local.functions.registry import Registry

FUNCTION, GATEWAY = "function", "gateway"


class DiscoveryRoutes:
    """Handler of the discovery.

    Replicas are listed one by one, at their own addresses: a scrape through the gateway would scale
    a function from zero, count as traffic that keeps it there, and reach any one of its replicas.
    """

    def __init__(self, registry: Registry, services: Mapping[str, str]) -> None:
        """Serve what is in `registry`, and `services`: `host:port` by name, as it is then."""
        self._registry = registry
        self._services = services

    async def targets(self, request: web.Request) -> web.Response:
        """GET /system/http-sd."""
        groups = [_group(request.host, job=GATEWAY)]
        groups += [_group(address, job=name) for name, address in self._services.items()]
        groups += [
            _group(replica.address, job=FUNCTION, function=function.name, replica=replica.name)
            for function in self._registry
            for replica in function.ready
        ]
        return web.json_response(groups)


def _group(address: str, **labels: str) -> dict[str, object]:
    return {"targets": [address], "labels": labels}
