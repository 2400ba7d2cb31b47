"""The function ingest."""

from grafana_foundation_sdk.models import units

from infra.monitoring.dashboards.dashboard import Dashboard
from infra.monitoring.dashboards.panels import EVENT_COLOURS, Stat, TimeSeries, limits, query
from infra.monitoring.dashboards.promql import OWN_ROUTES, average, or_zero, quantiles, rate
from infra.monitoring.dashboards.replicas import replicas_row

REQUESTS = "universe_ingest_requests_total"
ACCEPTED = "universe_ingest_events_accepted_total"
REJECTED = "universe_ingest_events_rejected_total"

DASHBOARD = (
    Dashboard(
        uid="universe-ingest",
        title="Universe · Ingest",
        description="Webhooks in: requests, validation, publishing to JetStream.",
    )
    .row(
        "Now",
        Stat("Requests", "Webhook requests.", or_zero(rate(REQUESTS, matchers=OWN_ROUTES)))
        .unit(units.RequestsPerSecond)
        .span(6),
        Stat("Accepted", "Events that JetStream has acknowledged.", or_zero(rate(ACCEPTED)))
        .unit(units.EventsPerSecond)
        .span(6),
        Stat(
            "Invalid",
            "Share of the events that fail validation.",
            f"({rate(REJECTED)} or vector(0)) / "
            f"(({rate(ACCEPTED)} or vector(0)) + ({rate(REJECTED)} or vector(0)) > 0)"
            " or vector(0)",
        )
        .unit(units.PercentUnit)
        .decimals(2)
        .thresholds(limits(0.05, 0.1))
        .span(6),
        Stat(
            "Publish failures",
            "Requests whose events JetStream did not accept.",
            or_zero(rate("universe_ingest_publish_failures_total")),
        )
        .unit(units.RequestsPerSecond)
        .thresholds(limits(0.001, 0.1))
        .span(6),
    )
    .row(
        "Requests",
        TimeSeries(
            "Requests by status",
            "202: accepted; 4xx: client error; 503: JetStream is unavailable or full.",
            query(rate(REQUESTS, by="status", matchers=OWN_ROUTES), "{{status}}"),
        )
        .unit(units.RequestsPerSecond)
        .stacked(),
        TimeSeries(
            "Refused requests",
            "Requests that break a bound: bytes, JSON values or events of a body.",
            query(
                or_zero(
                    rate("universe_ingest_requests_over_limit_total", by="reason"), reason="none"
                ),
                "{{reason}}",
            ),
        )
        .unit(units.RequestsPerSecond)
        .stacked(),
        TimeSeries(
            "Latency",
            "From a request's arrival to its response, including JetStream's acknowledgement.",
            *quantiles("universe_ingest_request_seconds"),
        ).unit(units.Seconds),
        TimeSeries(
            "Latency at the gateway",
            "As producers see it, including cold starts.",
            *quantiles("gateway_functions_seconds", matchers='function="ingest"'),
        ).unit(units.Seconds),
    )
    .row(
        "Events",
        TimeSeries(
            "Accepted by source",
            "Events that JetStream has acknowledged, by source.",
            query(or_zero(rate(ACCEPTED, by="source"), source="none"), "{{source}}"),
        )
        .unit(units.EventsPerSecond)
        .stacked(),
        TimeSeries(
            "Validation errors by source",
            "Invalid events, kept in the DLQ with their reason. unknown: the source itself is "
            "invalid.",
            query(or_zero(rate(REJECTED, by="source"), source="none"), "{{source}}"),
        )
        .unit(units.EventsPerSecond)
        .stacked(),
        TimeSeries(
            "Rejected by reason",
            "contract: a field is wrong; not_json; too_old: MAX_EVENT_AGE_DAYS; in_future; "
            "too_large: MAX_EVENT_BYTES, not kept in the DLQ.",
            query(or_zero(rate(REJECTED, by="reason"), reason="none"), "{{reason}}"),
        )
        .unit(units.EventsPerSecond)
        .stacked(),
        TimeSeries(
            "Accepted and rejected",
            "Events by outcome.",
            query(or_zero(rate(ACCEPTED)), "accepted"),
            query(or_zero(rate(REJECTED)), "rejected"),
        )
        .unit(units.EventsPerSecond)
        .colours(EVENT_COLOURS),
    )
    .row(
        "Refused",
        TimeSeries(
            "Credentials refused",
            "Requests without a valid key, verify token or signature. no_secret: the webhook has "
            "no secret and is closed; expired: the sender's clock is wrong, or an old request is "
            "sent again; wrong: another secret, or another body.",
            query(
                or_zero(
                    rate("universe_ingest_credentials_refused_total", by="route, fault"),
                    route="none",
                ),
                "{{route}} {{fault}}",
            ),
        )
        .unit(units.RequestsPerSecond)
        .stacked()
        .wide(),
        TimeSeries(
            "Events of another source",
            "Events whose source the webhook they arrived at may not write. They are not kept.",
            query(or_zero(rate("universe_ingest_events_foreign_total")), "events"),
        )
        .unit(units.EventsPerSecond)
        .wide(),
    )
    .row(
        "Publishing",
        TimeSeries(
            "Messages",
            "Messages that JetStream has acknowledged, and failed requests. full: the stream has "
            "reached its size limit; unacknowledged: no acknowledgement in time.",
            query(or_zero(rate("universe_ingest_messages_published_total")), "acknowledged"),
            query(
                or_zero(rate("universe_ingest_publish_failures_total", by="why"), why="none"),
                "failed: {{why}}",
            ),
        ).unit(units.MessagesPerSecond),
        TimeSeries(
            "Events in a message",
            "Events of concurrent requests share a message, which lowers the cost of each.",
            query(average("universe_ingest_message_events"), "average"),
            *quantiles("universe_ingest_message_events")[1:],
        ),
        TimeSeries(
            "Time to the acknowledgement",
            "From publishing a message to JetStream's acknowledgement, which comes after "
            "the sync to disk.",
            *quantiles("universe_ingest_publish_seconds"),
        ).unit(units.Seconds),
    )
    .row(*replicas_row("ingest"))
    .row(
        "JetStream",
        TimeSeries(
            "Stream size",
            "Used bytes, and the size limit at which the stream is full.",
            query('max(universe_stream_bytes{stream="EVENTS"})', "used"),
            query('max(universe_stream_max_bytes{stream="EVENTS"})', "limit"),
        )
        .unit(units.BytesIEC)
        .wide(),
        TimeSeries(
            "Messages stored",
            "Messages stored in each stream.",
            query(
                "max by (stream) (rate(universe_stream_stored_messages_total[$__rate_interval]))",
                "{{stream}}",
            ),
        )
        .unit(units.MessagesPerSecond)
        .wide(),
    )
)
