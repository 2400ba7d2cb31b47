"""The JetStream connector."""

from infra.monitoring.dashboards.colours import EVENTS, GREEN, ORANGE, RED
from infra.monitoring.dashboards.dashboard import Dashboard
from infra.monitoring.dashboards.panels import (
    Limits,
    Query,
    Row,
    average,
    chart,
    number,
    or_zero,
    quantiles,
    rate,
    states,
)

P = "universe_connector_"
F = 'function=~"$function"'
BY = "by (function, stream)"

DASHBOARD = Dashboard(
    uid="universe-connector",
    title="Universe · Connector",
    description="From JetStream to functions: lag, batches, retries, dead letters, scaling.",
    by_function=True,
    rows=[
        Row(
            "Now",
            [
                number(
                    "Lag",
                    "Messages pending or unacknowledged, as the connector sees it when it scales.",
                    f"sum(max {BY} ({P}lag_messages{{{F}}})) or vector(0)",
                    limits=Limits(1000, 10_000),
                ),
                number(
                    "In hand",
                    "Events between the stream and the function.",
                    f"sum({P}in_hand_events{{{F}}})",
                ),
                number(
                    "In flight",
                    "Invocations that run.",
                    f"sum({P}in_flight_invocations{{{F}}})",
                ),
                number(
                    "Delivered",
                    "Events that functions are done with.",
                    or_zero(rate(P + "done_events_total", "", matchers=F)).expr,
                    unit="eps",
                ),
                number(
                    "Bindings",
                    "Functions bound to a stream.",
                    f"max({P}bindings)",
                ),
                number(
                    "Not bound",
                    "Functions with a topic that cannot be bound; /bindings says why.",
                    f"max({P}unbound_functions)",
                    limits=Limits(1, 1),
                ),
            ],
        ),
        Row(
            "Events",
            [
                chart(
                    "What became of events",
                    "Fetched from the stream; done: stored or recognized as duplicates; dead; "
                    "returned to the stream.",
                    rate(P + "fetched_events_total", "fetched", matchers=F),
                    rate(P + "done_events_total", "done", matchers=F),
                    rate(P + "dead_events_total", "dead", matchers=F),
                    rate(P + "returned_events_total", "returned", matchers=F),
                    unit="eps",
                    width=12,
                    colours=EVENTS,
                ),
                chart(
                    "Unaccounted events",
                    "Fetched less done, dead, returned and in hand. Zero, but for events counted "
                    "while the figures were read.",
                    Query(
                        f"sum {BY} ({P}fetched_events_total{{{F}}})"
                        f" - sum {BY} ({P}done_events_total{{{F}}})"
                        f" - sum {BY} ({P}dead_events_total{{{F}}})"
                        f" - sum {BY} ({P}returned_events_total{{{F}}})"
                        f" - sum {BY} ({P}in_hand_events{{{F}}})",
                        "{{function}} · {{stream}}",
                    ),
                    width=12,
                    least=None,
                ),
                chart(
                    "Lag",
                    "Messages pending and unacknowledged, by JetStream's own account.",
                    Query(
                        f"sum {BY} (universe_consumer_pending_messages{{{F}}})",
                        "pending {{function}}",
                    ),
                    Query(
                        f"sum {BY} (universe_consumer_unacknowledged_messages{{{F}}})",
                        "unacknowledged {{function}}",
                    ),
                    stacked=True,
                ),
                chart(
                    "Messages",
                    "Messages fetched and acknowledged.",
                    rate(P + "fetched_messages_total", "fetched", matchers=F),
                    rate(P + "acked_messages_total", "acknowledged", matchers=F),
                    unit="mps",
                ),
                chart(
                    "Age of the oldest in hand",
                    "How long the oldest message has been in hand.",
                    Query(
                        f"max {BY} ({P}oldest_in_hand_seconds{{{F}}})", "{{function}} · {{stream}}"
                    ),
                    unit="s",
                    limits=Limits(60, 300),
                ),
            ],
        ),
        Row(
            "Invocations",
            [
                chart(
                    "Invocations by answer",
                    "How the function answered.",
                    Query(
                        f"sum by (answer) (rate({P}invocation_seconds_count{{{F}}}"
                        "[$__rate_interval]))",
                        "{{answer}}",
                    ),
                    unit="reqps",
                    stacked=True,
                ),
                chart(
                    "Time of an invocation",
                    "From sending a batch to its answer.",
                    *quantiles(P + "invocation_seconds", matchers=F),
                    unit="s",
                ),
                chart(
                    "In flight and in hand",
                    "Invocations that run, and messages in hand.",
                    Query(f"sum({P}in_flight_invocations{{{F}}})", "invocations"),
                    Query(f"sum({P}in_hand_messages{{{F}}})", "messages in hand"),
                ),
                chart(
                    "Events in a batch",
                    "Small batches at low rates are right: nobody waits for a full one.",
                    average(P + "batch_events", "average", matchers=F),
                    *quantiles(P + "batch_events", matchers=F)[1:],
                ),
                chart(
                    "Bytes in a batch",
                    "Size of an invocation's body.",
                    average(P + "batch_bytes", "average", matchers=F),
                    *quantiles(P + "batch_bytes", matchers=F)[1:],
                    unit="bytes",
                ),
                chart(
                    "Bytes in hand",
                    "Memory that waiting payloads take; it is bounded.",
                    Query(f"sum {BY} ({P}in_hand_bytes{{{F}}})", "{{function}} · {{stream}}"),
                    unit="bytes",
                ),
            ],
        ),
        Row(
            "Faults",
            [
                chart(
                    "Retried messages",
                    "To be delivered again. Charged: the attempt counts towards max-deliver; not "
                    "charged: the function or the database was away.",
                    or_zero(
                        rate(
                            P + "retried_messages_total",
                            "charged: {{charged}}",
                            by="charged",
                            matchers=F,
                        ),
                        charged="none",
                    ),
                    unit="mps",
                ),
                chart(
                    "Repeated deliveries",
                    "Deliveries by JetStream of messages that were in hand or done already.",
                    or_zero(rate(P + "repeated_deliveries_total", "repeated", matchers=F)),
                    unit="mps",
                ),
                chart(
                    "Dead events",
                    "Events that were given up; they are in the DLQ with their reason.",
                    rate(P + "dead_events_total", "{{function}}", by="function", matchers=F),
                    unit="eps",
                ),
                states(
                    "Breaker",
                    "Open: nearly everything turned out dead, so the connector delivers nothing "
                    "before the stream is emptied into the DLQ.",
                    Query(f"max {BY} ({P}breaker_state{{{F}}})", "{{function}} · {{stream}}"),
                    names={0: ("closed", GREEN), 1: ("half-open", ORANGE), 2: ("open", RED)},
                    height=6,
                ),
                states(
                    "Paused",
                    "Paused: the function or what it needs is away, so nothing is delivered.",
                    Query(f"max {BY} ({P}paused_state{{{F}}})", "{{function}} · {{stream}}"),
                    names={0: ("delivering", GREEN), 1: ("paused", ORANGE)},
                    height=6,
                ),
                chart(
                    "Discovery failures",
                    "Questions to the gateway that failed; bindings stay as they are meanwhile.",
                    rate(P + "discovery_failures_total", "failures"),
                    unit="ops",
                    height=6,
                ),
            ],
        ),
        Row(
            "Scaling and process",
            [
                chart(
                    "Replicas",
                    "Replicas that run, and that the connector asked for last.",
                    Query(
                        f'sum by (function) (up{{job="function", {F}}})'
                        f" or sum by (function) (gateway_service_count{{{F}}}) * 0",
                        "running {{function}}",
                    ),
                    or_zero(
                        Query(
                            f"max by (function) ({P}asked_replicas{{{F}}})", "asked {{function}}"
                        ),
                        function="for none yet",
                    ),
                ),
                chart(
                    "CPU",
                    "Processor cores in use.",
                    Query(
                        'rate(process_cpu_seconds_total{job="connector"}[$__rate_interval])',
                        "{{instance}}",
                    ),
                    unit="none",
                ),
                chart(
                    "Memory",
                    "Resident memory.",
                    Query('process_resident_memory_bytes{job="connector"}', "{{instance}}"),
                    unit="bytes",
                ),
            ],
        ),
    ],
)
