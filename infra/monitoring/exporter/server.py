"""Serves the metrics over HTTP."""

import asyncio
from collections.abc import Iterable

from aiohttp import web
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from functions.common.http.aiohttp_routes import operation_routes
from infra.monitoring.exporter.database import DatabaseCollector
from infra.monitoring.exporter.jetstream import JetStreamCollector
from infra.monitoring.exporter.settings import ExporterSettings


class _Collected(Collector):
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


class Exporter:
    """Collects the metrics each time it is scraped."""

    def __init__(self, settings: ExporterSettings) -> None:
        self._database = DatabaseCollector(settings.url, settings.db_statement_timeout)
        self._jetstream = JetStreamCollector(settings)
        self._rendering: asyncio.Task[bytes] | None = None

    async def render(self) -> bytes:
        """Return all metrics in the Prometheus text format.

        Concurrent scrapes share one collection.
        """
        if self._rendering is None or self._rendering.done():
            self._rendering = asyncio.create_task(self._render())
        return await asyncio.shield(self._rendering)

    async def close(self) -> None:
        """Close the connections."""
        await self._jetstream.close()
        self._database.close()

    async def _render(self) -> bytes:
        database, jetstream = await asyncio.gather(
            asyncio.to_thread(self._database.collect), self._jetstream.collect()
        )
        registry = CollectorRegistry()
        registry.register(_Collected(database + jetstream))
        ProcessCollector(registry=registry)
        return generate_latest(registry)


def make_app(settings: ExporterSettings) -> web.Application:
    """Return the application."""
    exporter = Exporter(settings)

    async def close(_: web.Application) -> None:
        await exporter.close()

    app = web.Application()
    # ready also while PostgreSQL or JetStream is down: `_up 0` is what an alert needs then
    app.add_routes(operation_routes(render=exporter.render))
    app.on_cleanup.append(close)
    return app
