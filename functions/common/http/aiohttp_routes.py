"""Health and metrics for a service of its own, with aiohttp: the connector and the exporter."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from functions.common import health, metrics
from functions.common.health import Checks


def no_checks() -> Checks:
    """Return that nothing can be wrong."""
    return {}


async def render_metrics() -> bytes:
    """Return this process's metrics in the Prometheus text format."""
    return metrics.render()[0]


def operation_routes(
    checks: Callable[[], Checks] = no_checks,
    render: Callable[[], Awaitable[bytes]] = render_metrics,
) -> list[web.RouteDef]:
    """Return the routes of liveness, readiness and metrics.

    Args:
        checks: tells, for readiness, what is wrong with what the service depends on.
        render: returns the metrics in the Prometheus text format.
    """

    async def liveness(_: web.Request) -> web.Response:
        return _health({})

    async def readiness(_: web.Request) -> web.Response:
        return _health(checks())

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=await render(), headers={"Content-Type": metrics.CONTENT_TYPE})

    return [
        web.get(health.LIVENESS, liveness),
        web.get(health.READINESS, readiness),
        web.get(health.METRICS, scrape),
    ]


def _health(checks: Checks) -> web.Response:
    status, body = health.report(checks)
    return web.Response(status=status, body=body, content_type=health.JSON)
