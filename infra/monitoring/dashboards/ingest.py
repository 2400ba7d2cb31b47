"""The function ingest."""

from infra.monitoring.dashboards.colours import EVENTS
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
    rate_of,
)
from infra.monitoring.dashboards.processes import process_row

P = "universe_ingest_"
ACCEPTED, REJECTED = P + "events_accepted_total", P + "events_rejected_total"

DASHBOARD = Dashboard(
    uid="universe-ingest",
    title="Universe · Ingest",
    description="Webhooks in: requests, validation, publishing to JetStream.",
    rows=[
        Row(
            "Now",
            [
                number(
                    "Requests",
                    "Webhook requests.",
                    or_zero(rate(P + "requests_total", "")).expr,
                    unit="reqps",
                    width=6,
                ),
                number(
                    "Accepted",
                    "Events that JetStream has acknowledged.",
                    or_zero(rate(ACCEPTED, "")).expr,
                    unit="eps",
                    width=6,
                ),
                number(
                    "Invalid",
                    "Share of the events that fail the contract.",
                    f"({rate_of(REJECTED)} or vector(0)) / "
                    f"(({rate_of(ACCEPTED)} or vector(0)) + ({rate_of(REJECTED)} or vector(0)) > 0)"
                    " or vector(0)",
                    unit="percentunit",
                    decimals=2,
                    limits=Limits(0.05, 0.1),
                    width=6,
                ),
                number(
                    "Publish failures",
                    "Requests that JetStream did not take.",
                    or_zero(rate(P + "publish_failures_total", "")).expr,
                    unit="reqps",
                    limits=Limits(0.001, 0.1),
                    width=6,
                ),
            ],
        ),
        Row(
            "Requests",
            [
                chart(
                    "Requests by status",
                    "202: accepted; 4xx: the sender's fault; 503: JetStream is away or full.",
                    rate(P + "requests_total", "{{status}}", by="status"),
                    unit="reqps",
                    stacked=True,
                ),
                chart(
                    "Latency",
                    "From a request's arrival to its answer, the acknowledgement by JetStream "
                    "included.",
                    *quantiles(P + "request_seconds"),
                    unit="s",
                ),
                chart(
                    "Latency at the gateway",
                    "As producers see it, starts from zero included.",
                    *quantiles("gateway_functions_seconds", matchers='function="ingest"'),
                    unit="s",
                ),
            ],
        ),
        Row(
            "Events",
            [
                chart(
                    "Accepted by source",
                    "Durable events.",
                    or_zero(rate(ACCEPTED, "{{source}}", by="source"), source="none"),
                    unit="eps",
                    stacked=True,
                ),
                chart(
                    "Validation errors by source",
                    "Invalid events, kept in the DLQ with their reason. unknown: the source itself "
                    "is invalid.",
                    or_zero(rate(REJECTED, "{{source}}", by="source"), source="none"),
                    unit="eps",
                    stacked=True,
                ),
                chart(
                    "Accepted and rejected",
                    "What became of the events.",
                    or_zero(rate(ACCEPTED, "accepted")),
                    or_zero(rate(REJECTED, "rejected")),
                    unit="eps",
                    colours=EVENTS,
                ),
            ],
        ),
        Row(
            "Publishing",
            [
                chart(
                    "Messages",
                    "Messages that JetStream has acknowledged, and requests it did not take: full: "
                    "the stream has reached its size; unacknowledged: no answer in time.",
                    or_zero(rate(P + "messages_published_total", "acknowledged")),
                    or_zero(
                        rate(P + "publish_failures_total", "failed: {{why}}", by="why"), why="none"
                    ),
                    unit="mps",
                ),
                chart(
                    "Events in a message",
                    "Concurrent requests share a message: the more there are, the cheaper each.",
                    average(P + "message_events", "average"),
                    *quantiles(P + "message_events")[1:],
                ),
                chart(
                    "Time to the acknowledgement",
                    "From publishing a message to JetStream's acknowledgement, which comes after "
                    "the sync to disk.",
                    *quantiles(P + "publish_seconds"),
                    unit="s",
                ),
            ],
        ),
        process_row("ingest"),
        Row(
            "JetStream",
            [
                chart(
                    "Stream size",
                    "Bytes that wait, and the size at which the stream is full.",
                    Query('max(universe_stream_bytes{stream="EVENTS"})', "used"),
                    Query('max(universe_stream_max_bytes{stream="EVENTS"})', "limit"),
                    unit="bytes",
                    width=12,
                ),
                chart(
                    "Messages stored",
                    "Messages that each stream took.",
                    Query(
                        "max by (stream) (rate(universe_stream_stored_messages_total"
                        "[$__rate_interval]))",
                        "{{stream}}",
                    ),
                    unit="mps",
                    width=12,
                ),
            ],
        ),
    ],
)
