"""`/metrics`: invocations and replicas under the names that OpenFaaS's gateway uses."""

from collections.abc import Iterable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from infra.local.functions.invocations import BUCKETS
from infra.local.functions.registry import Registry
from infra.local.functions.replica import ReplicaState


class _FunctionCollector(Collector):
    """Builds the metrics at the scrape from counts that are cheap to keep for each request."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        name_code = ["function_name", "code"]
        total = CounterMetricFamily(
            "gateway_function_invocation", "Invocations by status code.", labels=name_code
        )
        seconds = HistogramMetricFamily(
            "gateway_functions_seconds", "Time that invocations took.", labels=name_code
        )
        # The gateway's name has no suffix _total, which the library adds to every counter.
        started = Metric("gateway_function_invocation_started", "Invocations begun.", "unknown")
        service = GaugeMetricFamily(
            "gateway_service_count", "Desired replicas.", labels=["function_name"]
        )
        in_flight = GaugeMetricFamily(
            "gateway_function_in_flight", "Invocations in flight.", labels=["function_name"]
        )
        waiting = GaugeMetricFamily(
            "universe_gateway_waiting_requests",
            "Requests that wait for a replica.",
            labels=["function_name"],
        )
        replicas = GaugeMetricFamily(
            "universe_gateway_replicas",
            "Replicas by state.",
            labels=["function_name", "state"],
        )
        restarts = CounterMetricFamily(
            "universe_gateway_replica_failures",
            "Replicas that did not start, or exited by themselves.",
            labels=["function_name"],
        )
        cold = CounterMetricFamily(
            "universe_gateway_replica_starts",
            "Replicas that became ready.",
            labels=["function_name"],
        )
        cold_seconds = CounterMetricFamily(
            "universe_gateway_replica_start_seconds",
            "Seconds from the request for a replica to its readiness, in total.",
            labels=["function_name"],
        )
        for function in self._registry:
            name = f"{function.name}.{self._registry.settings.namespace}"
            for code, counts in function.invocations.by_code.items():
                total.add_metric([name, str(code)], counts.count)
                seconds.add_metric([name, str(code)], _cumulative(counts.buckets), counts.seconds)
            started.add_sample(started.name, {"function_name": name}, function.invocations.started)
            service.add_metric([name], function.desired_replicas)
            in_flight.add_metric([name], function.invocations.in_flight)
            waiting.add_metric([name], function.waiting)
            for state in (ReplicaState.STARTING, ReplicaState.READY, ReplicaState.DRAINING):
                count = sum(replica.state is state for replica in function.replicas)
                replicas.add_metric([name, state.value], count)
            restarts.add_metric([name], function.failed_replicas)
            cold.add_metric([name], function.started_replicas)
            cold_seconds.add_metric([name], function.start_seconds)
        return [
            total, seconds, started, service, in_flight, waiting, replicas, restarts, cold,
            cold_seconds,
        ]  # fmt: skip


def _cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    counts: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip([*map(str, BUCKETS), "+Inf"], buckets, strict=True):
        total += count
        counts.append((bound, total))
    return counts


class MetricsRoutes:
    """Handler of the metrics."""

    def __init__(self, registry: Registry, metrics: CollectorRegistry) -> None:
        self._metrics = metrics
        self._metrics.register(_FunctionCollector(registry))
        ProcessCollector(registry=metrics)

    async def metrics(self, _: web.Request) -> web.Response:
        """GET /metrics."""
        body = generate_latest(self._metrics)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
