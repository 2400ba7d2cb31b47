"""The gateway and the functions behind it."""

from infra.monitoring.dashboards.colours import GREEN, ORANGE
from infra.monitoring.dashboards.dashboard import Dashboard
from infra.monitoring.dashboards.panels import (
    Limits,
    Query,
    Row,
    bars,
    chart,
    number,
    or_zero,
    quantiles,
    rate_of,
)

F = 'function=~"$function"'
TOTAL = "gateway_function_invocation_total"
SECONDS = "gateway_functions_seconds"
STARTS = "universe_gateway_replica_starts_total"
START_SECONDS = "universe_gateway_replica_start_seconds_total"
FAILURES = "universe_gateway_replica_failures_total"
QUEUED = "universe_async_calls_queued_total"
COMPLETED = "universe_async_calls_completed_total"
RETRIED = "universe_async_calls_retried_total"
CALLBACKS = "universe_async_callbacks_total"
FAILED = f'{F}, code=~"5.."'

DASHBOARD = Dashboard(
    uid="universe-functions",
    title="Universe · Gateway and functions",
    description="Invocations, latency, replicas, starts from zero, processes.",
    by_function=True,
    rows=[
        Row(
            "Now",
            [
                number(
                    "Invocations",
                    "Requests to functions at the gateway.",
                    f"{rate_of(TOTAL, matchers=F)} or vector(0)",
                    unit="reqps",
                ),
                number(
                    "Failed",
                    "Share of the invocations answered with 5xx.",
                    f"({rate_of(TOTAL, matchers=FAILED)} or vector(0)) / "
                    f"({rate_of(TOTAL, matchers=F)} > 0) or vector(0)",
                    unit="percentunit",
                    decimals=2,
                    limits=Limits(0.001, 0.01),
                ),
                number(
                    "In flight",
                    "Invocations in hand.",
                    f"sum(gateway_function_in_flight{{{F}}})",
                ),
                number(
                    "Waiting",
                    "Requests that wait for a replica to start.",
                    f"sum(universe_gateway_waiting_requests{{{F}}})",
                    limits=Limits(50, 500),
                ),
                number(
                    "Replicas",
                    "Processes that take requests.",
                    f'sum(universe_gateway_replicas{{state="ready", {F}}})',
                ),
                number(
                    "Cold start",
                    "Average time from asking for a replica to its readiness, in the time shown.",
                    f"sum(increase({START_SECONDS}{{{F}}}[$__range])) / "
                    f"(sum(increase({STARTS}{{{F}}}[$__range])) > 0) or vector(0)",
                    unit="s",
                    decimals=2,
                ),
            ],
        ),
        Row(
            "Invocations",
            [
                chart(
                    "Invocations by function",
                    "Requests at the gateway, those of the connector included.",
                    Query(rate_of(TOTAL, "function", F), "{{function}}"),
                    unit="reqps",
                ),
                chart(
                    "Invocations by status",
                    "HTTP status of the answers.",
                    Query(rate_of(TOTAL, "code", F), "{{code}}"),
                    unit="reqps",
                    stacked=True,
                ),
                chart(
                    "Failed invocations",
                    "Answers with 5xx by function and status.",
                    or_zero(
                        Query(rate_of(TOTAL, "function, code", FAILED), "{{function}} {{code}}"),
                        function="none",
                    ),
                    unit="reqps",
                ),
                chart(
                    "Latency",
                    "All chosen functions together, starts from zero included.",
                    *quantiles(SECONDS, matchers=F),
                    unit="s",
                ),
                chart(
                    "Latency by function, 95th percentile",
                    "From the gateway to the function and back.",
                    Query(
                        "histogram_quantile(0.95, sum by (le, function) (rate("
                        f"{SECONDS}_bucket{{{F}}}[$__rate_interval])))",
                        "{{function}}",
                    ),
                    unit="s",
                ),
                chart(
                    "In flight and waiting",
                    "Invocations in hand, and those that wait for a replica.",
                    Query(
                        f"sum by (function) (gateway_function_in_flight{{{F}}})",
                        "in flight {{function}}",
                    ),
                    Query(
                        f"sum by (function) (universe_gateway_waiting_requests{{{F}}})",
                        "waiting {{function}}",
                    ),
                ),
            ],
        ),
        Row(
            "Replicas",
            [
                chart(
                    "Ready replicas",
                    "Processes that take requests, by function. Zero without traffic is as it "
                    "should be.",
                    Query(
                        f'sum by (function) (universe_gateway_replicas{{state="ready", {F}}})',
                        "{{function}}",
                    ),
                ),
                chart(
                    "Replicas by state",
                    "starting, ready, and draining: finishing the requests in hand.",
                    Query(f"sum by (state) (universe_gateway_replicas{{{F}}})", "{{state}}"),
                    stacked=True,
                    colours={"starting": ORANGE, "ready": GREEN},
                ),
                chart(
                    "Wanted replicas",
                    "What scaling, idleness or somebody has asked for.",
                    Query(f"sum by (function) (gateway_service_count{{{F}}})", "{{function}}"),
                ),
                chart(
                    "Starts",
                    "Replicas that became ready.",
                    Query(
                        f"sum by (function) (increase({STARTS}{{{F}}}[$__rate_interval]))",
                        "{{function}}",
                    ),
                ),
                chart(
                    "Failed replicas",
                    "Replicas that did not start, or ended unasked.",
                    Query(
                        f"sum by (function) (increase({FAILURES}{{{F}}}[$__rate_interval]))",
                        "{{function}}",
                    ),
                ),
                bars(
                    "Average cold start",
                    "From asking for a replica to its readiness, since the gateway started.",
                    Query(
                        f"sum by (function) ({START_SECONDS}{{{F}}}) / "
                        f"(sum by (function) ({STARTS}{{{F}}}) > 0)",
                        "{{function}}",
                    ),
                    unit="s",
                    decimals=2,
                ),
            ],
        ),
        Row(
            "Asynchronous calls",
            [
                chart(
                    "Calls",
                    "Calls of /async-function/ that were queued and that are over. The queue is a "
                    "JetStream stream, so they outlive restarts.",
                    or_zero(
                        Query(rate_of(QUEUED, "function", F), "queued {{function}}"),
                        function="none",
                    ),
                    or_zero(
                        Query(rate_of(COMPLETED, "function, code", F), "{{code}} {{function}}"),
                        code="none",
                    ),
                    unit="reqps",
                ),
                chart(
                    "Waiting calls",
                    "Calls in the queue.",
                    or_zero(Query('max(universe_stream_messages{stream="ASYNC_CALLS"})', "calls")),
                ),
                chart(
                    "Retries and callbacks",
                    "Attempts that failed and are made again; results posted to X-Callback-Url.",
                    or_zero(
                        Query(rate_of(RETRIED, "function", F), "retried {{function}}"),
                        function="none",
                    ),
                    or_zero(
                        Query(rate_of(CALLBACKS, "outcome"), "callback {{outcome}}"),
                        outcome="none",
                    ),
                    unit="ops",
                ),
            ],
        ),
        Row(
            "Processes",
            [
                chart(
                    "CPU by function",
                    "Processor cores in use by the replicas.",
                    Query(
                        f'sum by (function) (rate(process_cpu_seconds_total{{job="function", {F}}}'
                        "[$__rate_interval]))",
                        "{{function}}",
                    ),
                    unit="none",
                    stacked=True,
                ),
                chart(
                    "Memory by function",
                    "Resident memory of the replicas.",
                    Query(
                        f'sum by (function) (process_resident_memory_bytes{{job="function", {F}}})',
                        "{{function}}",
                    ),
                    unit="bytes",
                    stacked=True,
                ),
                chart(
                    "Memory of the platform's own processes",
                    "Resident memory of the gateway, the connector and the exporter.",
                    Query(
                        'sum by (job) (process_resident_memory_bytes{job!="function"})', "{{job}}"
                    ),
                    unit="bytes",
                    stacked=True,
                ),
                chart(
                    "CPU of the platform's own processes",
                    "Processor cores in use.",
                    Query(
                        "sum by (job) (rate(process_cpu_seconds_total"
                        '{job!="function"}[$__rate_interval]))',
                        "{{job}}",
                    ),
                    unit="none",
                    stacked=True,
                ),
                chart(
                    "Scraped processes",
                    "What Prometheus knows of, by kind.",
                    Query("sum by (job) (up)", "{{job}}"),
                ),
            ],
        ),
    ],
)
