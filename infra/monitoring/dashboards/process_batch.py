"""The function process-batch."""

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

P = "universe_process_batch_"
EVENTS_TOTAL = P + "events_total"
LEGENDS = {"received": "received", "inserted": "stored", "duplicate": "duplicate", "dead": "dead"}


def outcome(name: str) -> str:
    """Return the matcher of an outcome."""
    return f'outcome="{name}"'


DASHBOARD = Dashboard(
    uid="universe-process-batch",
    title="Universe · Process batch",
    description="Batches into PostgreSQL: events, times, pool, rollups.",
    rows=[
        Row(
            "Now",
            [
                number(
                    "Stored",
                    "Events written to PostgreSQL.",
                    or_zero(rate(EVENTS_TOTAL, "", matchers=outcome("inserted"))).expr,
                    unit="eps",
                    width=6,
                ),
                number(
                    "Duplicates",
                    "Share of the received events that were stored already.",
                    f"{rate_of(EVENTS_TOTAL, matchers=outcome('duplicate'))} / "
                    f"({rate_of(EVENTS_TOTAL, matchers=outcome('received'))} > 0) or vector(0)",
                    unit="percentunit",
                    decimals=2,
                    width=6,
                ),
                number(
                    "Dead",
                    "Events given up: invalid, or refused by the database.",
                    or_zero(rate(EVENTS_TOTAL, "", matchers=outcome("dead"))).expr,
                    unit="eps",
                    limits=Limits(0.001, 1),
                    width=6,
                ),
                number(
                    "Database away",
                    "Batches answered with 503, to be delivered again.",
                    or_zero(rate(P + "unavailable_total", "")).expr,
                    unit="ops",
                    limits=Limits(0.001, 0.1),
                    width=6,
                ),
            ],
        ),
        Row(
            "Events",
            [
                chart(
                    "What became of events",
                    "received = stored + duplicate + dead, besides batches that failed as a whole.",
                    *[
                        rate(EVENTS_TOTAL, legend, matchers=outcome(name))
                        for name, legend in LEGENDS.items()
                    ],
                    unit="eps",
                    width=12,
                    colours=EVENTS,
                ),
                chart(
                    "Stored events",
                    "Events in the database by source and stage.",
                    Query(
                        "max by (source, stage) (universe_database_stored_events)",
                        "{{source}} {{stage}}",
                    ),
                    width=12,
                    stacked=True,
                ),
                chart(
                    "Batches by status",
                    "200: done, perhaps in part; 503: the database is away; 500: a bug.",
                    rate(P + "requests_total", "{{status}}", by="status"),
                    unit="reqps",
                    stacked=True,
                ),
                chart(
                    "Events in a batch",
                    "What one request brings.",
                    average(P + "batch_events", "average"),
                    *quantiles(P + "batch_events")[1:],
                ),
                chart(
                    "503 by SQLSTATE",
                    "Why the database did not take batches. pool: no connection in time.",
                    or_zero(rate(P + "unavailable_total", "{{state}}", by="state"), state="none"),
                    unit="ops",
                ),
            ],
        ),
        Row(
            "Times",
            [
                chart(
                    "Time of a batch",
                    "From a request's arrival to its answer.",
                    *quantiles(P + "batch_seconds"),
                    unit="s",
                ),
                chart(
                    "Time by phase, 95th percentile",
                    "validate, copy, rollup, commit; isolate: finding the rows that the database "
                    "refuses.",
                    Query(
                        "histogram_quantile(0.95, sum by (le, phase) (rate("
                        f"{P}phase_seconds_bucket[$__rate_interval])))",
                        "{{phase}}",
                    ),
                    unit="s",
                ),
                chart(
                    "Time spent by phase",
                    "Seconds of work in a second: where the time goes.",
                    rate(P + "phase_seconds_sum", "{{phase}}", by="phase"),
                    unit="none",
                    stacked=True,
                ),
            ],
        ),
        Row(
            "Connections and rollups",
            [
                chart(
                    "Connection pool",
                    "Connections that are open and idle, and requests that wait for one.",
                    Query(f"sum by (state) ({P}pool_connections)", "{{state}}"),
                    width=6,
                ),
                chart(
                    "Deltas not folded",
                    "Rollup deltas that reports still have to add up.",
                    Query("max(universe_database_pending_rollup_deltas)", "deltas"),
                    limits=Limits(5000, 20_000),
                    width=6,
                ),
                chart(
                    "Folding",
                    "Rollup deltas folded.",
                    or_zero(rate(P + "compacted_deltas_total", "deltas")),
                    unit="ops",
                    width=6,
                ),
                chart(
                    "Time of a folding",
                    "One transaction at a time.",
                    *quantiles(P + "compact_seconds"),
                    unit="s",
                    width=6,
                ),
            ],
        ),
        process_row("process-batch"),
    ],
)
