"""The gateway and the functions behind it."""

from grafana_foundation_sdk.models import units

from infra.monitoring.dashboards.dashboard import Dashboard
from infra.monitoring.dashboards.panels import (
    GREEN,
    ORANGE,
    BarGauge,
    Stat,
    TimeSeries,
    limits,
    query,
)
from infra.monitoring.dashboards.promql import or_zero, quantile, quantiles, rate

SELECTED = 'function=~"$function"'
TOTAL = "gateway_function_invocation_total"
SECONDS = "gateway_functions_seconds"
STARTS = "universe_gateway_replica_starts_total"
START_SECONDS = "universe_gateway_replica_start_seconds_total"
FAILURES = "universe_gateway_replica_failures_total"
QUEUED = "universe_async_calls_queued_total"
COMPLETED = "universe_async_calls_completed_total"
RETRIED = "universe_async_calls_retried_total"
CALLBACKS = "universe_async_callbacks_total"
REFUSED = "universe_gateway_refused_requests_total"
FAILED = f'{SELECTED}, code=~"5.."'

DASHBOARD = (
    Dashboard(
        uid="universe-functions",
        title="Universe · Gateway and functions",
        description="Invocations, latency, replicas, starts from zero, processes.",
    )
    .by_function()
    .row(
        "Now",
        Stat(
            "Invocations",
            "Requests to functions at the gateway.",
            f"{rate(TOTAL, matchers=SELECTED)} or vector(0)",
        ).unit(units.RequestsPerSecond),
        Stat(
            "Failed",
            "Share of the invocations with a 5xx response.",
            f"({rate(TOTAL, matchers=FAILED)} or vector(0)) / "
            f"({rate(TOTAL, matchers=SELECTED)} > 0) or vector(0)",
        )
        .unit(units.PercentUnit)
        .decimals(2)
        .thresholds(limits(0.001, 0.01)),
        Stat("In flight", "Running invocations.", f"sum(gateway_function_in_flight{{{SELECTED}}})"),
        Stat(
            "Waiting",
            "Requests that wait for a replica to start.",
            f"sum(universe_gateway_waiting_requests{{{SELECTED}}})",
        ).thresholds(limits(50, 500)),
        Stat(
            "Replicas",
            "Processes that accept requests.",
            f'sum(universe_gateway_replicas{{state="ready", {SELECTED}}})',
        ),
        Stat(
            "Cold start",
            "Average time from requesting a replica to its readiness, in the time range.",
            f"sum(increase({START_SECONDS}{{{SELECTED}}}[$__range])) / "
            f"(sum(increase({STARTS}{{{SELECTED}}}[$__range])) > 0) or vector(0)",
        )
        .unit(units.Seconds)
        .decimals(2),
    )
    .row(
        "Invocations",
        TimeSeries(
            "Invocations by function",
            "Requests at the gateway, including those of the connector.",
            query(rate(TOTAL, by="function", matchers=SELECTED), "{{function}}"),
        ).unit(units.RequestsPerSecond),
        TimeSeries(
            "Invocations by status",
            "HTTP status of the responses.",
            query(rate(TOTAL, by="code", matchers=SELECTED), "{{code}}"),
        )
        .unit(units.RequestsPerSecond)
        .stacked(),
        TimeSeries(
            "Failed invocations",
            "5xx responses by function and status.",
            query(
                or_zero(rate(TOTAL, by="function, code", matchers=FAILED), function="none"),
                "{{function}} {{code}}",
            ),
        ).unit(units.RequestsPerSecond),
        TimeSeries(
            "Latency",
            "All selected functions together, including cold starts.",
            *quantiles(SECONDS, matchers=SELECTED),
        ).unit(units.Seconds),
        TimeSeries(
            "Latency by function, 95th percentile",
            "From the gateway to the function and back.",
            query(
                quantile(0.95, SECONDS, by="function", matchers=SELECTED),
                "{{function}}",
            ),
        ).unit(units.Seconds),
        TimeSeries(
            "In flight and waiting",
            "Running invocations, and requests that wait for a replica.",
            query(
                f"sum by (function) (gateway_function_in_flight{{{SELECTED}}})",
                "in flight {{function}}",
            ),
            query(
                f"sum by (function) (universe_gateway_waiting_requests{{{SELECTED}}})",
                "waiting {{function}}",
            ),
        ),
    )
    .row(
        "Replicas",
        TimeSeries(
            "Ready replicas",
            "Processes that accept requests, by function. Zero without traffic is normal.",
            query(
                f'sum by (function) (universe_gateway_replicas{{state="ready", {SELECTED}}})',
                "{{function}}",
            ),
        ),
        TimeSeries(
            "Replicas by state",
            "starting, ready, and draining: finishing running requests.",
            query(f"sum by (state) (universe_gateway_replicas{{{SELECTED}}})", "{{state}}"),
        )
        .stacked()
        .colours({"starting": ORANGE, "ready": GREEN}),
        TimeSeries(
            "Desired replicas",
            "The replica count set by autoscaling, scale to zero or the scale API.",
            query(f"sum by (function) (gateway_service_count{{{SELECTED}}})", "{{function}}"),
        ),
        TimeSeries(
            "Starts",
            "Replicas that became ready.",
            query(
                f"sum by (function) (increase({STARTS}{{{SELECTED}}}[$__rate_interval]))",
                "{{function}}",
            ),
        ),
        TimeSeries(
            "Failed replicas",
            "Replicas that failed to start or exited unexpectedly.",
            query(
                f"sum by (function) (increase({FAILURES}{{{SELECTED}}}[$__rate_interval]))",
                "{{function}}",
            ),
        ),
        BarGauge(
            "Average cold start",
            "From requesting a replica to its readiness, since the gateway started.",
            query(
                f"sum by (function) ({START_SECONDS}{{{SELECTED}}}) / "
                f"(sum by (function) ({STARTS}{{{SELECTED}}}) > 0)",
                "{{function}}",
            ),
        )
        .unit(units.Seconds)
        .decimals(2),
    )
    .row(
        "Refused at the gateway",
        TimeSeries(
            "Refused requests",
            "By reason: a foreign Host or Origin, no login for metrics or the system API, a "
            "callback that is not listed, a body that does not come or is too large, no memory.",
            query(or_zero(rate(REFUSED, by="reason"), reason="none"), "{{reason}}"),
        ).unit(units.RequestsPerSecond),
        TimeSeries(
            "Waiting bodies",
            "Requests whose bodies are being received; no function has seen them yet.",
            query("sum(universe_gateway_waiting_bodies)", "bodies"),
        ),
        TimeSeries(
            "Memory of bodies",
            "What bodies take until a replica has them; at most BODY_BUFFER_TOTAL_BYTES.",
            query("sum(universe_gateway_body_buffer_bytes)", "bytes"),
        ).unit(units.BytesIEC),
    )
    .row(
        "Asynchronous calls",
        TimeSeries(
            "Calls",
            "Calls of /async-function/ that were queued and completed. The queue is a JetStream "
            "stream, so calls survive restarts.",
            query(
                or_zero(rate(QUEUED, by="function", matchers=SELECTED), function="none"),
                "queued {{function}}",
            ),
            query(
                or_zero(rate(COMPLETED, by="function, code", matchers=SELECTED), code="none"),
                "{{code}} {{function}}",
            ),
        ).unit(units.RequestsPerSecond),
        TimeSeries(
            "Waiting calls",
            "Calls in the queue.",
            query(or_zero('max(universe_stream_messages{stream="ASYNC_CALLS"})'), "calls"),
        ),
        TimeSeries(
            "Retries and callbacks",
            "Failed attempts that are retried; results posted to X-Callback-Url.",
            query(
                or_zero(rate(RETRIED, by="function", matchers=SELECTED), function="none"),
                "retried {{function}}",
            ),
            query(or_zero(rate(CALLBACKS, by="outcome"), outcome="none"), "callback {{outcome}}"),
        ).unit(units.OpsPerSecond),
    )
    .row(
        "Processes",
        TimeSeries(
            "CPU by function",
            "CPU cores in use by the replicas.",
            query(
                rate(
                    "process_cpu_seconds_total",
                    by="function",
                    matchers=f'job="function", {SELECTED}',
                ),
                "{{function}}",
            ),
        )
        .unit(units.NoUnit)
        .stacked(),
        TimeSeries(
            "Memory by function",
            "Resident memory of the replicas.",
            query(
                f'sum by (function) (process_resident_memory_bytes{{job="function", {SELECTED}}})',
                "{{function}}",
            ),
        )
        .unit(units.BytesIEC)
        .stacked(),
        TimeSeries(
            "Memory of the platform's own processes",
            "Resident memory of the gateway, the connector and the exporter.",
            query('sum by (job) (process_resident_memory_bytes{job!="function"})', "{{job}}"),
        )
        .unit(units.BytesIEC)
        .stacked(),
        TimeSeries(
            "CPU of the platform's own processes",
            "CPU cores in use.",
            query(
                rate("process_cpu_seconds_total", by="job", matchers='job!="function"'),
                "{{job}}",
            ),
        )
        .unit(units.NoUnit)
        .stacked(),
        TimeSeries(
            "Scraped processes",
            "Prometheus targets by job.",
            query("sum by (job) (up)", "{{job}}"),
        ),
    )
)
