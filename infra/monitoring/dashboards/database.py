"""PostgreSQL."""

from grafana_foundation_sdk.models import units

from infra.monitoring.dashboards.dashboard import Dashboard
from infra.monitoring.dashboards.panels import (
    UP_DOWN,
    BarGauge,
    Stat,
    TimeSeries,
    limits,
    lower_limits,
    query,
)
from infra.monitoring.dashboards.promql import or_zero, rate

HIT = "universe_database_blocks_hit_total"
READ = "universe_database_blocks_read_total"
SINCE_VACUUM = "time() - max by (table) (universe_database_table_last_vacuum_timestamp_seconds > 0)"


def cache_hits() -> str:
    """Return the share of blocks that were found in memory."""
    return f"{rate(HIT)} / ({rate(HIT)} + {rate(READ)})"


DASHBOARD = (
    Dashboard(
        uid="universe-database",
        title="Universe · Database",
        description="PostgreSQL: connections, cache, tables, vacuum, partitions, rollups.",
    )
    .row(
        "Now",
        Stat(
            "PostgreSQL", "Whether the database answers the exporter.", "max(universe_database_up)"
        ).named(UP_DOWN),
        Stat(
            "Connections",
            "Share of the allowed connections that are in use.",
            "sum(universe_database_connections) / max(universe_database_max_connections)",
        )
        .unit(units.PercentUnit)
        .thresholds(limits(0.7, 0.85)),
        Stat(
            "Cache hit ratio",
            "Share of the blocks found in PostgreSQL's own memory. Blocks out of the "
            "system's cache count as read.",
            cache_hits(),
        )
        .unit(units.PercentUnit)
        .decimals(2)
        .thresholds(lower_limits(0.95, 0.8)),
        Stat("Size", "Disk in use, indexes included.", "max(universe_database_size_bytes)").unit(
            units.BytesIEC
        ),
        Stat(
            "Longest transaction",
            "Vacuum cannot remove rows that died after it began.",
            "max(universe_database_longest_transaction_seconds)",
        )
        .unit(units.Seconds)
        .thresholds(limits(60, 900)),
        Stat(
            "Waiting locks",
            "Sessions that wait for another.",
            "max(universe_database_waiting_locks)",
        ).thresholds(limits(5, 50)),
    )
    .row(
        "Activity",
        TimeSeries(
            "Connections",
            "By role and state. idle in transaction for long is a fault.",
            query("sum by (role, state) (universe_database_connections)", "{{role}} {{state}}"),
        )
        .stacked()
        .wide(),
        TimeSeries(
            "Rows",
            "Rows written and read.",
            query(rate("universe_database_rows_inserted_total"), "inserted"),
            query(rate("universe_database_rows_updated_total"), "updated"),
            query(rate("universe_database_rows_deleted_total"), "deleted"),
            query(rate("universe_database_rows_fetched_total"), "fetched"),
        )
        .unit(units.OpsPerSecond)
        .wide(),
        TimeSeries(
            "Transactions",
            "Committed and undone. Undone ones come with poison rows and time-outs.",
            query(rate("universe_database_commits_total"), "committed"),
            query(rate("universe_database_rollbacks_total"), "undone"),
        ).unit(units.OpsPerSecond),
        TimeSeries(
            "Cache hit ratio",
            "Share of the blocks found in PostgreSQL's own memory.",
            query(cache_hits(), "hits"),
        )
        .unit(units.PercentUnit)
        .max(1),
        TimeSeries(
            "Blocks",
            "Blocks found in memory and read.",
            query(rate(HIT), "hit"),
            query(rate(READ), "read"),
        ).unit(units.OpsPerSecond),
        TimeSeries(
            "Write-ahead log",
            "What commits write.",
            query(rate("universe_database_wal_bytes_total"), "written"),
        ).unit(units.BytesPerSecondSI),
        TimeSeries(
            "Checkpoints",
            "Requested ones mean that max_wal_size is small for the load.",
            query(
                "sum(increase(universe_database_timed_checkpoints_total[$__rate_interval]))",
                "timed",
            ),
            query(
                "sum(increase(universe_database_requested_checkpoints_total[$__rate_interval]))",
                "requested",
            ),
        ),
        TimeSeries(
            "Faults",
            "Deadlocks, locks waited for, and bytes that sorts spilled to disk.",
            query(rate("universe_database_deadlocks_total"), "deadlocks"),
            query("max(universe_database_waiting_locks)", "waiting locks"),
            query(rate("universe_database_temp_bytes_total"), "spilled bytes"),
        ),
    )
    .row(
        "Tables and vacuum",
        BarGauge(
            "Size by table",
            "Indexes included; partitions count as their table.",
            query(
                "topk(10, max by (table) "
                "(universe_database_table_bytes + universe_database_table_index_bytes))",
                "{{table}}",
            ),
        )
        .unit(units.BytesIEC)
        .height(10),
        BarGauge(
            "Bloat by table",
            "Bytes of the rows' pages that hold no live row, estimated from the planner's "
            "statistics. Some is normal: it is used again.",
            query("topk(10, max by (table) (universe_database_table_bloat_bytes))", "{{table}}"),
        )
        .unit(units.BytesIEC)
        .height(10),
        BarGauge(
            "Time since the last vacuum",
            "By table, for tables that were vacuumed once. Tables to which rows are only "
            "added need little.",
            query(or_zero(SINCE_VACUUM, table="none yet"), "{{table}}"),
        )
        .unit(units.Seconds)
        .height(10),
        TimeSeries(
            "Dead rows",
            "Rows that vacuum has not removed yet.",
            query("topk(8, max by (table) (universe_database_table_dead_rows))", "{{table}}"),
        ),
        TimeSeries(
            "Bloat",
            "Share of the rows' pages that holds no live row, estimated; tables over 1 MB.",
            query(
                or_zero(
                    "max by (table) (universe_database_table_bloat_bytes"
                    " / (universe_database_table_heap_bytes > 1e6))",
                    table="no large table",
                ),
                "{{table}}",
            ),
        )
        .unit(units.PercentUnit)
        .max(1)
        .thresholds(limits(0.3, 0.5)),
        TimeSeries(
            "Vacuums and analyzes",
            "Finished in the interval, and vacuums at work now.",
            query(
                "sum(increase(universe_database_table_vacuums_total[$__rate_interval]))", "vacuums"
            ),
            query(
                "sum(increase(universe_database_table_analyzes_total[$__rate_interval]))",
                "analyzes",
            ),
            query("max(universe_database_running_vacuums)", "vacuums at work"),
        ),
        TimeSeries(
            "Live rows",
            "The largest tables, estimated.",
            query("topk(8, max by (table) (universe_database_table_live_rows))", "{{table}}"),
        ),
        TimeSeries(
            "Size",
            "Disk in use, indexes included.",
            query("max(universe_database_size_bytes)", "database"),
            query('max(universe_database_table_bytes{table="events"})', "events"),
            query('max(universe_database_table_index_bytes{table="events"})', "indexes of events"),
        ).unit(units.BytesIEC),
        TimeSeries(
            "Age of transaction ids",
            "Share of the age at which autovacuum freezes rows whatever it costs.",
            query(
                "max(universe_database_transaction_id_age"
                " / universe_database_transaction_id_age_limit)",
                "age",
            ),
        )
        .unit(units.PercentUnit)
        .thresholds(limits(1, 2)),
    )
    .row(
        "Events",
        TimeSeries(
            "Partitions",
            "Days that have a partition, and days that are sealed: over, with the indexes "
            "that searches want.",
            query("max(universe_database_partitions)", "partitions"),
            query("max(universe_database_sealed_partitions)", "sealed"),
            query("max(universe_database_partitions_to_seal)", "over, not sealed"),
        ).span(6),
        TimeSeries(
            "Rollup deltas not compacted",
            "Reports add them up: exact, and slower the more there are.",
            query("max(universe_database_pending_rollup_deltas)", "deltas"),
        )
        .thresholds(limits(5000, 20_000))
        .span(6),
        TimeSeries(
            "Stored events",
            "Exact, out of the rollups.",
            query(
                "max by (source, stage) (universe_database_stored_events)", "{{source}} {{stage}}"
            ),
        )
        .stacked()
        .span(6),
        TimeSeries(
            "Monitoring itself",
            "How long the exporter's statements take; failed ones have no figures.",
            query("max(universe_database_query_seconds)", "seconds"),
            query("max(universe_database_failed_statements)", "failed statements"),
        )
        .unit(units.NoUnit)
        .span(6),
    )
)
