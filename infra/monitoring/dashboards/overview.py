"""The platform at a glance."""

from grafana_foundation_sdk.models import units

from infra.monitoring.dashboards.dashboard import Dashboard
from infra.monitoring.dashboards.panels import (
    EVENT_COLOURS,
    UP_DOWN,
    Stat,
    TimeSeries,
    limits,
    query,
)
from infra.monitoring.dashboards.promql import or_zero, quantile, rate

ACCEPTED = "universe_ingest_events_accepted_total"
REJECTED = "universe_ingest_events_rejected_total"
PROCESSED = "universe_process_batch_events_total"
INVOCATIONS = "gateway_function_invocation_total"
FAILED = 'code=~"5.."'
WAITING = "universe_consumer_pending_messages + universe_consumer_unacknowledged_messages"

DASHBOARD = (
    Dashboard(
        uid="universe-overview",
        title="Universe · Overview",
        description="Events from the request to the table, backlog, dead letters, functions.",
    )
    .by_function()
    .row(
        "Now",
        Stat(
            "Accepted", "Events that ingest has made durable in JetStream.", or_zero(rate(ACCEPTED))
        ).unit(units.EventsPerSecond),
        Stat(
            "Stored",
            "Events that process-batch has written to PostgreSQL, without duplicates.",
            or_zero(rate(PROCESSED, matchers='outcome="inserted"')),
        ).unit(units.EventsPerSecond),
        Stat(
            "Events in the database",
            "All events that are stored: exact, from the rollups.",
            "sum(universe_database_stored_events) or vector(0)",
        ).decimals(1),
        Stat(
            "Backlog",
            "Messages pending or delivered and not acknowledged; a message holds up to several "
            "thousand events.",
            f"sum({WAITING})",
        ).thresholds(limits(1000, 10_000)),
        Stat(
            "Oldest message",
            "Age of the oldest message: how far reports are behind.",
            'max(universe_stream_oldest_message_seconds{retention="workqueue"})',
        )
        .unit(units.Seconds)
        .thresholds(limits(60, 300)),
        Stat(
            "Dead letters",
            "Events kept in the DLQ with their reason; `universe dlq list` shows them.",
            "sum(universe_dlq_messages) or vector(0)",
        ).thresholds(limits(1, 10_000)),
        Stat(
            "PostgreSQL", "Whether the database answers the exporter.", "max(universe_database_up)"
        )
        .named(UP_DOWN)
        .span(3),
        Stat("JetStream", "Whether JetStream answers the exporter.", "max(universe_jetstream_up)")
        .named(UP_DOWN)
        .span(3),
        Stat(
            "Connector", "Whether a connector is running.", 'max(up{job="connector"}) or vector(0)'
        )
        .named(UP_DOWN)
        .span(3),
        Stat(
            "Alerts",
            "Firing alerts.",
            'count(ALERTS{alertname=~"Universe.+", alertstate="firing"}) or vector(0)',
        )
        .thresholds(limits(1, 1))
        .span(3),
        Stat(
            "Requests", "Requests to all functions at the gateway.", or_zero(rate(INVOCATIONS))
        ).unit(units.RequestsPerSecond),
        Stat(
            "Failed requests",
            "Share of the requests that were answered with 5xx.",
            f"({rate(INVOCATIONS, matchers=FAILED)} or vector(0)) / "
            f"({rate(INVOCATIONS)} > 0) or vector(0)",
        )
        .unit(units.PercentUnit)
        .decimals(2)
        .thresholds(limits(0.001, 0.01)),
        Stat(
            "Database size",
            "Disk usage of the database, indexes included.",
            "max(universe_database_size_bytes)",
        ).unit(units.BytesIEC),
    )
    .row(
        "From the request to the table",
        TimeSeries(
            "Events",
            "Events by outcome: accepted or rejected by ingest; stored, duplicate or dead-lettered "
            "by process-batch.",
            query(or_zero(rate(ACCEPTED)), "accepted"),
            query(or_zero(rate(REJECTED)), "rejected"),
            query(or_zero(rate(PROCESSED, matchers='outcome="inserted"')), "stored"),
            query(or_zero(rate(PROCESSED, matchers='outcome="duplicate"')), "duplicate"),
            query(or_zero(rate(PROCESSED, matchers='outcome="dead"')), "dead"),
        )
        .unit(units.EventsPerSecond)
        .colours(EVENT_COLOURS)
        .wide()
        .height(9),
        TimeSeries(
            "Backlog",
            "Messages of each stream that are not acknowledged yet. It rises while events arrive "
            "faster than they are stored or the database is down, and must return to zero.",
            query(f"sum by (function, stream) ({WAITING})", "{{function}} · {{stream}}"),
        )
        .thresholds(limits(1000, 10_000))
        .wide()
        .height(9),
        TimeSeries(
            "Age of the oldest message",
            "Age of the oldest message of each stream.",
            query(
                'max by (stream) (universe_stream_oldest_message_seconds{retention="workqueue"})',
                "{{stream}}",
            ),
        )
        .unit(units.Seconds)
        .thresholds(limits(60, 300)),
        TimeSeries(
            "Dead letters",
            "Dead letters in the DLQ by source of the event.",
            query(or_zero("max by (source) (universe_dlq_messages)", source="none"), "{{source}}"),
        ).stacked(),
        TimeSeries(
            "Size of the stream",
            "Used share of the stream's size limit. At 100 % ingest responds with 503.",
            query(
                "max by (stream) (universe_stream_bytes / universe_stream_max_bytes)", "{{stream}}"
            ),
        )
        .unit(units.PercentUnit)
        .max(1)
        .thresholds(limits(0.5, 0.8)),
    )
    .row(
        "Functions",
        TimeSeries(
            "Requests",
            "Requests at the gateway, including those of the connector.",
            query(
                rate(INVOCATIONS, by="function", matchers='function=~"$function"'), "{{function}}"
            ),
        ).unit(units.RequestsPerSecond),
        TimeSeries(
            "Latency, 95th percentile",
            "Time from the gateway to the function and back, including cold starts.",
            query(
                quantile(
                    0.95,
                    "gateway_functions_seconds",
                    by="function",
                    matchers='function=~"$function"',
                ),
                "{{function}}",
            ),
        ).unit(units.Seconds),
        TimeSeries(
            "Replicas",
            "Running processes or pods. Zero without traffic is normal.",
            query(
                'sum by (function) (up{job="function", function=~"$function"}) '
                'or sum by (function) (gateway_service_count{function=~"$function"}) * 0',
                "{{function}}",
            ),
        ),
    )
)
