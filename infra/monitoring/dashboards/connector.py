"""The JetStream connector."""

from grafana_foundation_sdk.models import units

from infra.monitoring.dashboards.dashboard import Dashboard
from infra.monitoring.dashboards.panels import (
    EVENT_COLOURS,
    GREEN,
    ORANGE,
    RED,
    Stat,
    StateTimeline,
    TimeSeries,
    limits,
    query,
)
from infra.monitoring.dashboards.promql import average, or_zero, quantiles, rate

SELECTED = 'function=~"$function"'
BY = "by (function, stream)"

DASHBOARD = (
    Dashboard(
        uid="universe-connector",
        title="Universe · Connector",
        description="From JetStream to functions: lag, batches, retries, dead letters, scaling.",
    )
    .by_function()
    .row(
        "Now",
        Stat(
            "Lag",
            "Messages pending or unacknowledged, as the connector sees it when it scales.",
            f"sum(max {BY} (universe_connector_lag_messages{{{SELECTED}}})) or vector(0)",
        ).thresholds(limits(1000, 10_000)),
        Stat(
            "Events in flight",
            "Events delivered by the stream and not yet acknowledged.",
            f"sum(universe_connector_inflight_events{{{SELECTED}}})",
        ),
        Stat(
            "Invocations",
            "Invocations that are running.",
            f"sum(universe_connector_inflight_invocations{{{SELECTED}}})",
        ),
        Stat(
            "Delivered",
            "Events that functions have processed.",
            or_zero(rate("universe_connector_done_events_total", matchers=SELECTED)),
        ).unit(units.EventsPerSecond),
        Stat("Bindings", "Functions bound to a stream.", "max(universe_connector_bindings)"),
        Stat(
            "Not bound",
            "Functions and bindings with a fault; /bindings gives the reason.",
            "max(universe_connector_unbound_functions)",
        ).thresholds(limits(1, 1)),
    )
    .row(
        "Events",
        TimeSeries(
            "Events by outcome",
            "Fetched from the stream; done: stored or recognized as duplicates; dead; "
            "returned to the stream.",
            query(rate("universe_connector_fetched_events_total", matchers=SELECTED), "fetched"),
            query(rate("universe_connector_done_events_total", matchers=SELECTED), "done"),
            query(rate("universe_connector_dead_events_total", matchers=SELECTED), "dead"),
            query(rate("universe_connector_returned_events_total", matchers=SELECTED), "returned"),
        )
        .unit(units.EventsPerSecond)
        .colours(EVENT_COLOURS)
        .wide(),
        TimeSeries(
            "Unaccounted events",
            "Fetched less done, dead, returned and in flight. Zero, but for events counted "
            "while the counters were read.",
            query(
                f"sum {BY} (universe_connector_fetched_events_total{{{SELECTED}}})"
                f" - sum {BY} (universe_connector_done_events_total{{{SELECTED}}})"
                f" - sum {BY} (universe_connector_dead_events_total{{{SELECTED}}})"
                f" - sum {BY} (universe_connector_returned_events_total{{{SELECTED}}})"
                f" - sum {BY} (universe_connector_inflight_events{{{SELECTED}}})",
                "{{function}} · {{stream}}",
            ),
            negative=True,
        ).wide(),
        TimeSeries(
            "Lag",
            "Messages pending and unacknowledged, as JetStream reports them.",
            query(
                f"sum {BY} (universe_consumer_pending_messages{{{SELECTED}}})",
                "pending {{function}}",
            ),
            query(
                f"sum {BY} (universe_consumer_unacknowledged_messages{{{SELECTED}}})",
                "unacknowledged {{function}}",
            ),
        ).stacked(),
        TimeSeries(
            "Messages",
            "Messages fetched and acknowledged.",
            query(rate("universe_connector_fetched_messages_total", matchers=SELECTED), "fetched"),
            query(
                rate("universe_connector_acked_messages_total", matchers=SELECTED), "acknowledged"
            ),
        ).unit(units.MessagesPerSecond),
        TimeSeries(
            "Age of the oldest in flight",
            "Time since the oldest message in flight was stored.",
            query(
                f"max {BY} (universe_connector_oldest_inflight_seconds{{{SELECTED}}})",
                "{{function}} · {{stream}}",
            ),
        )
        .unit(units.Seconds)
        .thresholds(limits(60, 300)),
    )
    .row(
        "Invocations",
        TimeSeries(
            "Invocations by response",
            "How the function responded.",
            query(
                rate(
                    "universe_connector_invocation_seconds_count", by="response", matchers=SELECTED
                ),
                "{{response}}",
            ),
        )
        .unit(units.RequestsPerSecond)
        .stacked(),
        TimeSeries(
            "Time of an invocation",
            "From sending a batch to the response.",
            *quantiles("universe_connector_invocation_seconds", matchers=SELECTED),
        ).unit(units.Seconds),
        TimeSeries(
            "In flight",
            "Invocations that are running, and messages in flight.",
            query(f"sum(universe_connector_inflight_invocations{{{SELECTED}}})", "invocations"),
            query(f"sum(universe_connector_inflight_messages{{{SELECTED}}})", "messages"),
        ),
        TimeSeries(
            "Events in a batch",
            "Small batches at low rates are normal: the connector does not wait for a full one.",
            query(average("universe_connector_batch_events", matchers=SELECTED), "average"),
            *quantiles("universe_connector_batch_events", matchers=SELECTED)[1:],
        ),
        TimeSeries(
            "Bytes in a batch",
            "Size of an invocation's body.",
            query(average("universe_connector_batch_bytes", matchers=SELECTED), "average"),
            *quantiles("universe_connector_batch_bytes", matchers=SELECTED)[1:],
        ).unit(units.BytesIEC),
        TimeSeries(
            "Bytes in flight",
            "Memory that waiting payloads take; it is bounded.",
            query(
                f"sum {BY} (universe_connector_inflight_bytes{{{SELECTED}}})",
                "{{function}} · {{stream}}",
            ),
        ).unit(units.BytesIEC),
    )
    .row(
        "Faults",
        TimeSeries(
            "Retried messages",
            "Messages to be redelivered. Charged: the attempt counts towards max-deliver; not "
            "charged: the function or the database was unavailable.",
            query(
                or_zero(
                    rate(
                        "universe_connector_retried_messages_total", by="charged", matchers=SELECTED
                    ),
                    charged="none",
                ),
                "charged: {{charged}}",
            ),
        ).unit(units.MessagesPerSecond),
        TimeSeries(
            "Redeliveries",
            "Messages that JetStream delivered again while in flight or acknowledged.",
            query(
                or_zero(rate("universe_connector_redelivered_messages_total", matchers=SELECTED)),
                "redelivered",
            ),
        ).unit(units.MessagesPerSecond),
        TimeSeries(
            "Dead events",
            "Dead-lettered events; the DLQ holds them with their reason.",
            query(
                rate("universe_connector_dead_events_total", by="function", matchers=SELECTED),
                "{{function}}",
            ),
        ).unit(units.EventsPerSecond),
        StateTimeline(
            "Breaker",
            "Open: nearly all events were dead-lettered, so delivery stops before the stream "
            "is emptied into the DLQ.",
            query(
                f"max {BY} (universe_connector_breaker_state{{{SELECTED}}})",
                "{{function}} · {{stream}}",
            ),
            {0: ("closed", GREEN), 1: ("half-open", ORANGE), 2: ("open", RED)},
        ).height(6),
        StateTimeline(
            "Unavailable",
            "The function or one of its dependencies is unavailable; nothing is delivered.",
            query(
                f"max {BY} (universe_connector_paused_state{{{SELECTED}}})",
                "{{function}} · {{stream}}",
            ),
            {0: ("delivering", GREEN), 1: ("unavailable", ORANGE)},
        ).height(6),
        StateTimeline(
            "Paused",
            "Paused by the annotation jetstream.paused, or its consumer in NATS, by `pause`.",
            query(
                f"max {BY} (universe_connector_delivery_paused{{{SELECTED}}})",
                "{{function}} · {{stream}}",
            ),
            {0: ("not paused", GREEN), 1: ("by annotation", ORANGE), 2: ("in NATS", ORANGE)},
        ).height(6),
        TimeSeries(
            "Discovery failures",
            "Failed requests to the gateway; bindings stay unchanged meanwhile.",
            query(rate("universe_connector_discovery_failures_total"), "failures"),
        )
        .unit(units.OpsPerSecond)
        .height(6),
    )
    .row(
        "Scaling and process",
        TimeSeries(
            "Replicas",
            "Replicas that are running, and those that the connector requested last.",
            query(
                f'sum by (function) (up{{job="function", {SELECTED}}})'
                f" or sum by (function) (gateway_service_count{{{SELECTED}}}) * 0",
                "running {{function}}",
            ),
            query(
                or_zero(
                    f"max by (function) (universe_connector_desired_replicas{{{SELECTED}}})",
                    function="for none yet",
                ),
                "desired {{function}}",
            ),
        ),
        TimeSeries(
            "CPU",
            "CPU cores in use.",
            query(
                'rate(process_cpu_seconds_total{job="connector"}[$__rate_interval])', "{{instance}}"
            ),
        ).unit(units.NoUnit),
        TimeSeries(
            "Memory",
            "Resident memory.",
            query('process_resident_memory_bytes{job="connector"}', "{{instance}}"),
        ).unit(units.BytesIEC),
    )
)
