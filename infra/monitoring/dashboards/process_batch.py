"""The function process-batch."""

from grafana_foundation_sdk.models import units

from infra.monitoring.dashboards.dashboard import Dashboard
from infra.monitoring.dashboards.panels import EVENT_COLOURS, Stat, TimeSeries, limits, query
from infra.monitoring.dashboards.promql import (
    OWN_ROUTES,
    average,
    or_zero,
    quantile,
    quantiles,
    rate,
)
from infra.monitoring.dashboards.replicas import replicas_row

REQUESTS = "universe_process_batch_requests_total"
EVENTS_TOTAL = "universe_process_batch_events_total"


def outcome(name: str) -> str:
    """Return the matcher of an outcome."""
    return f'outcome="{name}"'


DASHBOARD = (
    Dashboard(
        uid="universe-process-batch",
        title="Universe · Process batch",
        description="Batches into PostgreSQL: events, times, pool, rollups.",
    )
    .row(
        "Now",
        Stat(
            "Stored",
            "Events written to PostgreSQL.",
            or_zero(rate(EVENTS_TOTAL, matchers=outcome("inserted"))),
        )
        .unit(units.EventsPerSecond)
        .span(6),
        Stat(
            "Duplicates",
            "Share of the received events that were already stored.",
            f"{rate(EVENTS_TOTAL, matchers=outcome('duplicate'))} / "
            f"({rate(EVENTS_TOTAL, matchers=outcome('received'))} > 0) or vector(0)",
        )
        .unit(units.PercentUnit)
        .decimals(2)
        .span(6),
        Stat(
            "Dead",
            "Dead-lettered events: invalid, or rejected by the database.",
            or_zero(rate(EVENTS_TOTAL, matchers=outcome("dead"))),
        )
        .unit(units.EventsPerSecond)
        .thresholds(limits(0.001, 1))
        .span(6),
        Stat(
            "Database unavailable",
            "Batches with a 503 response, to be redelivered.",
            or_zero(rate("universe_process_batch_unavailable_total")),
        )
        .unit(units.OpsPerSecond)
        .thresholds(limits(0.001, 0.1))
        .span(6),
    )
    .row(
        "Events",
        TimeSeries(
            "Events by outcome",
            "received = stored + duplicate + dead, except for batches that failed as a whole.",
            query(rate(EVENTS_TOTAL, matchers=outcome("received")), "received"),
            query(rate(EVENTS_TOTAL, matchers=outcome("inserted")), "stored"),
            query(rate(EVENTS_TOTAL, matchers=outcome("duplicate")), "duplicate"),
            query(rate(EVENTS_TOTAL, matchers=outcome("dead")), "dead"),
            query(rate(EVENTS_TOTAL, matchers=outcome("waiting")), "waiting for a partition"),
        )
        .unit(units.EventsPerSecond)
        .colours(EVENT_COLOURS)
        .wide(),
        TimeSeries(
            "Stored events",
            "Events in the database by source and stage.",
            query(
                "max by (source, stage) (universe_database_stored_events)", "{{source}} {{stage}}"
            ),
        )
        .stacked()
        .wide(),
        TimeSeries(
            "Batches by status",
            "200: processed, perhaps in part; 401: not signed by the connector; 503: the database "
            "is unavailable; 500: a bug.",
            query(rate(REQUESTS, by="status", matchers=OWN_ROUTES), "{{status}}"),
        )
        .unit(units.RequestsPerSecond)
        .stacked(),
        TimeSeries(
            "Events in a batch",
            "Events in one request.",
            query(average("universe_process_batch_batch_events"), "average"),
            *quantiles("universe_process_batch_batch_events")[1:],
        ),
        TimeSeries(
            "Credentials refused",
            "Requests that the connector did not sign. missing: anybody else; wrong: another key "
            "than the connector's; expired: a clock is wrong, or an old request is sent again.",
            query(
                or_zero(
                    rate("universe_process_batch_credentials_refused_total", by="route, fault"),
                    route="none",
                ),
                "{{route}} {{fault}}",
            ),
        ).unit(units.RequestsPerSecond),
        TimeSeries(
            "503 by SQLSTATE",
            "Why the database did not accept batches. pool: no connection in time.",
            query(
                or_zero(rate("universe_process_batch_unavailable_total", by="state"), state="none"),
                "{{state}}",
            ),
        ).unit(units.OpsPerSecond),
        TimeSeries(
            "Dead events by reason",
            "contract: a field is wrong; not_json; too_old: MAX_EVENT_AGE_DAYS; too_large: "
            "MAX_EVENT_BYTES; not_storable: text that PostgreSQL has no place for; database.",
            query(
                or_zero(
                    rate("universe_process_batch_dead_events_total", by="reason"), reason="none"
                ),
                "{{reason}}",
            ),
        )
        .unit(units.EventsPerSecond)
        .stacked(),
        TimeSeries(
            "Refused batches",
            "Batches that break a bound: bytes, JSON values or events. The connector halves them.",
            query(
                or_zero(
                    rate("universe_process_batch_requests_over_limit_total", by="reason"),
                    reason="none",
                ),
                "{{reason}}",
            ),
        )
        .unit(units.RequestsPerSecond)
        .stacked(),
    )
    .row(
        "Durations",
        TimeSeries(
            "Time of a batch",
            "From a request's arrival to its response.",
            *quantiles("universe_process_batch_request_seconds"),
        ).unit(units.Seconds),
        TimeSeries(
            "Time by phase, 95th percentile",
            "validate, copy, rollup, commit; isolate: finding the rows that the database rejects.",
            query(
                quantile(0.95, "universe_process_batch_phase_seconds", by="phase"),
                "{{phase}}",
            ),
        ).unit(units.Seconds),
        TimeSeries(
            "Time spent by phase",
            "Seconds of work per second, by phase.",
            query(rate("universe_process_batch_phase_seconds_sum", by="phase"), "{{phase}}"),
        )
        .unit(units.NoUnit)
        .stacked(),
    )
    .row(
        "Connections and rollups",
        TimeSeries(
            "Connection pool",
            "Open and idle connections, and requests that wait for one.",
            query("sum by (state) (universe_process_batch_pool_connections)", "{{state}}"),
        ).span(6),
        TimeSeries(
            "Deltas not compacted",
            "Rollup deltas that each report still has to add up.",
            query("max(universe_database_pending_rollup_deltas)", "deltas"),
        )
        .thresholds(limits(5000, 20_000))
        .span(6),
        TimeSeries(
            "Compaction",
            "Rollup deltas compacted.",
            query(or_zero(rate("universe_process_batch_compacted_deltas_total")), "deltas"),
        )
        .unit(units.OpsPerSecond)
        .span(6),
        TimeSeries(
            "Time of a compaction",
            "One transaction at a time.",
            *quantiles("universe_process_batch_compaction_seconds"),
        )
        .unit(units.Seconds)
        .span(6),
    )
    .row(*replicas_row("process-batch"))
)
