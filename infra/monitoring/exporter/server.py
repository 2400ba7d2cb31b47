"""Serves the figures over HTTP."""

import asyncio
from collections.abc import Iterable

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from functions.common import health
from infra.monitoring.exporter.database import DatabaseFigures
from infra.monitoring.exporter.settings import ExporterSettings
from infra.monitoring.exporter.streams import StreamFigures


class _Collected(Collector):
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


class Exporter:
    """Asks for the figures when it is asked for them."""

    def __init__(self, settings: ExporterSettings) -> None:
        self._database = DatabaseFigures(settings.url, settings.database_timeout)
        self._streams = StreamFigures(settings)
        self._asking: asyncio.Task[bytes] | None = None

    async def render(self) -> bytes:
        """Return all figures in the Prometheus text format.

        Those who ask at the same time get the same answer.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._render())
        return await asyncio.shield(self._asking)

    async def close(self) -> None:
        """Close the connections."""
        await self._streams.close()
        self._database.close()

    async def _render(self) -> bytes:
        database, streams = await asyncio.gather(
            asyncio.to_thread(self._database.collect), self._streams.collect()
        )
        registry = CollectorRegistry()
        registry.register(_Collected(database + streams))
        ProcessCollector(registry=registry)
        return generate_latest(registry)


def make_app(settings: ExporterSettings) -> web.Application:
    """Return the application."""
    exporter = Exporter(settings)

    async def healthy(_: web.Request) -> web.Response:
        # also while what it watches is away: then it is needed most
        status, body = health.report({})
        return web.Response(status=status, body=body, content_type=health.JSON)

    async def metrics(_: web.Request) -> web.Response:
        body = await exporter.render()
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def close(_: web.Application) -> None:
        await exporter.close()

    app = web.Application()
    app.router.add_get(health.LIVENESS, healthy)
    app.router.add_get(health.READINESS, healthy)
    app.router.add_get(health.METRICS, metrics)
    app.on_cleanup.append(close)
    return app
