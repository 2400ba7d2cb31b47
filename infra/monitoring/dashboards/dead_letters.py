"""The dead-letter queue."""

from infra.monitoring.dashboards.colours import GREEN, ORANGE, RED
from infra.monitoring.dashboards.dashboard import Dashboard
from infra.monitoring.dashboards.panels import (
    Limits,
    Query,
    Row,
    bars,
    chart,
    number,
    or_zero,
    rate,
    rate_of,
    states,
)

DLQ = 'stream=~".+_DLQ"'
REJECTED = "universe_ingest_events_rejected_total"
ACCEPTED = "universe_ingest_events_accepted_total"
DEAD = "universe_connector_dead_events_total"
NEW = "universe_stream_stored_messages_total"

DASHBOARD = Dashboard(
    uid="universe-dead-letters",
    title="Universe · Dead letters",
    description="Events that were given up, where they come from, and how many are kept. "
    "`universe dlq list|show|replay|purge` works on them.",
    rows=[
        Row(
            "Now",
            [
                number(
                    "Dead letters",
                    "Kept in the DLQ, with their original bytes and a reason.",
                    "sum(universe_dlq_messages) or vector(0)",
                    limits=Limits(1, 10_000),
                ),
                number(
                    "New",
                    "Dead letters that came in the time shown.",
                    f"sum(increase({NEW}{{{DLQ}}}[$__range]))",
                    limits=Limits(1, 1000),
                    decimals=0,
                ),
                number(
                    "Size",
                    "Disk that dead letters take.",
                    f"sum(universe_stream_bytes{{{DLQ}}})",
                    unit="bytes",
                ),
                number(
                    "Oldest",
                    "Age of the oldest one; they are kept for 30 days.",
                    f"max(universe_stream_oldest_message_seconds{{{DLQ}}})",
                    unit="s",
                    limits=Limits(14 * 86400, 25 * 86400),
                ),
                number(
                    "Rejected by ingest",
                    "Invalid events, told to their sender.",
                    or_zero(rate(REJECTED, "")).expr,
                    unit="eps",
                ),
                number(
                    "Dead in processing",
                    "Events that ingest had accepted.",
                    or_zero(rate(DEAD, "")).expr,
                    unit="eps",
                    limits=Limits(0.001, 1),
                ),
            ],
        ),
        Row(
            "Over time",
            [
                chart(
                    "Dead letters by source",
                    "Kept ones. unknown: no source could be told.",
                    or_zero(
                        Query("max by (source) (universe_dlq_messages)", "{{source}}"),
                        source="none",
                    ),
                    stacked=True,
                    width=12,
                ),
                chart(
                    "New dead letters",
                    "By stream, replays not counted off.",
                    Query(
                        f"max by (stream) (rate({NEW}{{{DLQ}}}[$__rate_interval]))", "{{stream}}"
                    ),
                    unit="mps",
                    width=12,
                ),
                chart(
                    "Rejected by ingest",
                    "Invalid events by source.",
                    or_zero(rate(REJECTED, "{{source}}", by="source"), source="none"),
                    unit="eps",
                    stacked=True,
                ),
                chart(
                    "Invalid share",
                    "Share of the events that ingest rejects.",
                    Query(
                        f"({rate_of(REJECTED)} or vector(0)) / "
                        f"(({rate_of(ACCEPTED)} or vector(0)) + "
                        f"({rate_of(REJECTED)} or vector(0)) > 0) or vector(0)",
                        "invalid",
                    ),
                    unit="percentunit",
                    limits=Limits(0.05, 0.1),
                ),
                chart(
                    "Dead in processing",
                    "Events and whole messages that the connector gave up, by function.",
                    rate(DEAD, "events {{function}}", by="function"),
                    rate(
                        "universe_connector_dead_messages_total",
                        "messages {{function}}",
                        by="function",
                    ),
                    unit="eps",
                ),
            ],
        ),
        Row(
            "More",
            [
                bars(
                    "Dead letters now",
                    "Kept ones by source.",
                    or_zero(
                        Query("max by (source) (universe_dlq_messages)", "{{source}}"),
                        source="none",
                    ),
                ),
                chart(
                    "Size",
                    "Disk that dead letters take.",
                    Query(f"max by (stream) (universe_stream_bytes{{{DLQ}}})", "{{stream}}"),
                    unit="bytes",
                ),
                states(
                    "Breaker",
                    "Open: nearly everything turned out dead, so the connector delivers nothing.",
                    Query(
                        "max by (function, stream) (universe_connector_breaker_state)",
                        "{{function}} · {{stream}}",
                    ),
                    names={0: ("closed", GREEN), 1: ("half-open", ORANGE), 2: ("open", RED)},
                ),
            ],
        ),
    ],
)
