"""The platform at a glance."""

from infra.monitoring.dashboards.colours import EVENTS, UP_DOWN
from infra.monitoring.dashboards.dashboard import Dashboard
from infra.monitoring.dashboards.panels import (
    Limits,
    Query,
    Row,
    chart,
    number,
    or_zero,
    rate,
    rate_of,
)

ACCEPTED = "universe_ingest_events_accepted_total"
REJECTED = "universe_ingest_events_rejected_total"
PROCESSED = "universe_process_batch_events_total"
INVOCATIONS = "gateway_function_invocation_total"
FAILED = 'code=~"5.."'
WAITING = "universe_consumer_pending_messages + universe_consumer_unacknowledged_messages"

NOW = Row(
    "Now",
    [
        number(
            "Accepted",
            "Events that ingest has made durable in JetStream.",
            or_zero(rate(ACCEPTED, "")).expr,
            unit="eps",
        ),
        number(
            "Stored",
            "Events that process-batch has written to PostgreSQL, without duplicates.",
            or_zero(rate(PROCESSED, "", matchers='outcome="inserted"')).expr,
            unit="eps",
        ),
        number(
            "Events in the database",
            "All events that are stored: exact, out of the rollups.",
            "sum(universe_database_stored_events) or vector(0)",
            unit="short",
            decimals=1,
        ),
        number(
            "Backlog",
            "Messages that wait for a function or are being worked on; one holds up to some "
            "thousand events.",
            f"sum({WAITING})",
            limits=Limits(1000, 10_000),
        ),
        number(
            "Oldest message",
            "How long the oldest message has waited: the freshness of the reports.",
            'max(universe_stream_oldest_message_seconds{retention="workqueue"})',
            unit="s",
            limits=Limits(60, 300),
        ),
        number(
            "Dead letters",
            "Events kept in the DLQ with their reason; `universe dlq list` shows them.",
            "sum(universe_dlq_messages) or vector(0)",
            limits=Limits(1, 10_000),
        ),
        number(
            "PostgreSQL",
            "Whether the database answers the exporter.",
            "max(universe_database_up)",
            names=UP_DOWN,
            width=3,
        ),
        number(
            "JetStream",
            "Whether JetStream answers the exporter.",
            "max(universe_jetstream_up)",
            names=UP_DOWN,
            width=3,
        ),
        number(
            "Connector",
            "Whether a connector runs.",
            'max(up{job="connector"}) or vector(0)',
            names=UP_DOWN,
            width=3,
        ),
        number(
            "Alerts",
            "Alerts that fire now.",
            'count(ALERTS{alertname=~"Universe.+", alertstate="firing"}) or vector(0)',
            limits=Limits(1, 1),
            width=3,
        ),
        number(
            "Requests",
            "Requests to all functions at the gateway.",
            or_zero(rate(INVOCATIONS, "")).expr,
            unit="reqps",
        ),
        number(
            "Failed requests",
            "Share of the requests that were answered with 5xx.",
            f"({rate_of(INVOCATIONS, matchers=FAILED)} or vector(0)) / "
            f"({rate_of(INVOCATIONS)} > 0) or vector(0)",
            unit="percentunit",
            limits=Limits(0.001, 0.01),
            decimals=2,
        ),
        number(
            "Database size",
            "Disk that the database uses, indexes included.",
            "max(universe_database_size_bytes)",
            unit="bytes",
        ),
    ],
)

FLOW = Row(
    "From the request to the table",
    [
        chart(
            "Events",
            "What becomes of events: accepted and rejected by ingest; stored, recognized as a "
            "duplicate or given up by process-batch.",
            or_zero(rate(ACCEPTED, "accepted")),
            or_zero(rate(REJECTED, "rejected")),
            or_zero(rate(PROCESSED, "stored", matchers='outcome="inserted"')),
            or_zero(rate(PROCESSED, "duplicate", matchers='outcome="duplicate"')),
            or_zero(rate(PROCESSED, "dead", matchers='outcome="dead"')),
            unit="eps",
            width=12,
            height=9,
            colours=EVENTS,
        ),
        chart(
            "Backlog",
            "Messages of each stream that nobody has finished. It rises while events come faster "
            "than they are stored, or while the database is away, and must fall to zero after.",
            Query(f"sum by (function, stream) ({WAITING})", "{{function}} · {{stream}}"),
            width=12,
            height=9,
            limits=Limits(1000, 10_000),
        ),
        chart(
            "Age of the oldest message",
            "How long the oldest message of each stream has waited.",
            Query(
                'max by (stream) (universe_stream_oldest_message_seconds{retention="workqueue"})',
                "{{stream}}",
            ),
            unit="s",
            limits=Limits(60, 300),
        ),
        chart(
            "Dead letters",
            "Kept dead letters by source of the event.",
            or_zero(Query("max by (source) (universe_dlq_messages)", "{{source}}"), source="none"),
            stacked=True,
        ),
        chart(
            "Size of the stream",
            "Share of the stream's size that is used. At 100 % ingest refuses events with 503.",
            Query(
                "max by (stream) (universe_stream_bytes / universe_stream_max_bytes)", "{{stream}}"
            ),
            unit="percentunit",
            limits=Limits(0.5, 0.8),
            most=1,
        ),
    ],
)

FUNCTIONS = Row(
    "Functions",
    [
        chart(
            "Requests",
            "Requests at the gateway, those of the connector included.",
            Query(
                rate_of(INVOCATIONS, "function", 'function=~"$function"'),
                "{{function}}",
            ),
            unit="reqps",
        ),
        chart(
            "Latency, 95th percentile",
            "Time from the gateway to the function and back; starts from zero included.",
            Query(
                "histogram_quantile(0.95, sum by (le, function) (rate("
                'gateway_functions_seconds_bucket{function=~"$function"}[$__rate_interval])))',
                "{{function}}",
            ),
            unit="s",
        ),
        chart(
            "Replicas",
            "Processes or pods that run. Zero without traffic is as it should be.",
            Query(
                'sum by (function) (up{job="function", function=~"$function"}) '
                'or sum by (function) (gateway_service_count{function=~"$function"}) * 0',
                "{{function}}",
            ),
        ),
    ],
)

DASHBOARD = Dashboard(
    uid="universe-overview",
    title="Universe · Overview",
    description="Events from the request to the table, backlog, dead letters, functions.",
    rows=[NOW, FLOW, FUNCTIONS],
    by_function=True,
)
