"""The dead-letter queue."""

from grafana_foundation_sdk.models import units

from infra.monitoring.dashboards.dashboard import Dashboard
from infra.monitoring.dashboards.panels import (
    GREEN,
    ORANGE,
    RED,
    BarGauge,
    Stat,
    StateTimeline,
    TimeSeries,
    limits,
    query,
)
from infra.monitoring.dashboards.promql import or_zero, rate

DLQ = 'stream=~".+_DLQ"'
REJECTED = "universe_ingest_events_rejected_total"
ACCEPTED = "universe_ingest_events_accepted_total"
DEAD = "universe_connector_dead_events_total"
NEW = "universe_stream_stored_messages_total"

DASHBOARD = (
    Dashboard(
        uid="universe-dead-letters",
        title="Universe · Dead letters",
        description="Dead-lettered events: where they come from and how many are kept. "
        "`universe dlq list|show|replay|purge` works on them.",
    )
    .row(
        "Now",
        Stat(
            "Dead letters",
            "Messages in the DLQ, with their original bytes and a reason.",
            "sum(universe_dlq_messages) or vector(0)",
        ).thresholds(limits(1, 10_000)),
        Stat(
            "New",
            "Dead letters added in the dashboard's time range.",
            f"sum(increase({NEW}{{{DLQ}}}[$__range]))",
        )
        .decimals(0)
        .thresholds(limits(1, 1000)),
        Stat("Size", "Disk usage of dead letters.", f"sum(universe_stream_bytes{{{DLQ}}})").unit(
            units.BytesIEC
        ),
        Stat(
            "Oldest",
            "Age of the oldest dead letter; they are kept for 30 days.",
            f"max(universe_stream_oldest_message_seconds{{{DLQ}}})",
        )
        .unit(units.Seconds)
        .thresholds(limits(14 * 86400, 25 * 86400)),
        Stat(
            "Rejected by ingest",
            "Invalid events, reported in the response to their sender.",
            or_zero(rate(REJECTED)),
        ).unit(units.EventsPerSecond),
        Stat("Dead in processing", "Events that ingest had accepted.", or_zero(rate(DEAD)))
        .unit(units.EventsPerSecond)
        .thresholds(limits(0.001, 1)),
    )
    .row(
        "Over time",
        TimeSeries(
            "Dead letters by source",
            "Dead letters in the DLQ. unknown: the source could not be determined.",
            query(or_zero("max by (source) (universe_dlq_messages)", source="none"), "{{source}}"),
        )
        .stacked()
        .wide(),
        TimeSeries(
            "New dead letters",
            "By stream; replayed dead letters are not subtracted.",
            query(f"max by (stream) (rate({NEW}{{{DLQ}}}[$__rate_interval]))", "{{stream}}"),
        )
        .unit(units.MessagesPerSecond)
        .wide(),
        TimeSeries(
            "Rejected by ingest",
            "Invalid events by source.",
            query(or_zero(rate(REJECTED, by="source"), source="none"), "{{source}}"),
        )
        .unit(units.EventsPerSecond)
        .stacked(),
        TimeSeries(
            "Invalid share",
            "Share of the events that ingest rejects.",
            query(
                f"({rate(REJECTED)} or vector(0)) / "
                f"(({rate(ACCEPTED)} or vector(0)) + "
                f"({rate(REJECTED)} or vector(0)) > 0) or vector(0)",
                "invalid",
            ),
        )
        .unit(units.PercentUnit)
        .thresholds(limits(0.05, 0.1)),
        TimeSeries(
            "Dead in processing",
            "Events and whole messages that the connector dead-lettered, by function.",
            query(rate(DEAD, by="function"), "events {{function}}"),
            query(
                rate("universe_connector_dead_messages_total", by="function"),
                "messages {{function}}",
            ),
        ).unit(units.EventsPerSecond),
    )
    .row(
        "More",
        BarGauge(
            "Dead letters now",
            "Dead letters in the DLQ by source.",
            query(or_zero("max by (source) (universe_dlq_messages)", source="none"), "{{source}}"),
        ),
        TimeSeries(
            "Size",
            "Disk usage of dead letters; at the limit, the oldest are deleted.",
            query(f"max by (stream) (universe_stream_bytes{{{DLQ}}})", "{{stream}}"),
            query(f"max by (stream) (universe_stream_max_bytes{{{DLQ}}})", "limit {{stream}}"),
        ).unit(units.BytesIEC),
        StateTimeline(
            "Breaker",
            "Open: nearly all events were dead-lettered, so the connector delivers nothing.",
            query(
                "max by (function, stream) (universe_connector_breaker_state)",
                "{{function}} · {{stream}}",
            ),
            {0: ("closed", GREEN), 1: ("half-open", ORANGE), 2: ("open", RED)},
        ),
    )
)
