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
            "Used share of max_connections.",
            "sum(universe_database_connections) / max(universe_database_max_connections)",
        )
        .unit(units.PercentUnit)
        .thresholds(limits(0.7, 0.85)),
        Stat(
            "Cache hit ratio",
            "Share of the blocks found in shared buffers. Blocks from the operating system's "
            "cache count as read.",
            cache_hits(),
        )
        .unit(units.PercentUnit)
        .decimals(2)
        .thresholds(lower_limits(0.95, 0.8)),
        Stat("Size", "Disk usage, indexes included.", "max(universe_database_size_bytes)").unit(
            units.BytesIEC
        ),
        Stat(
            "Longest transaction",
            "Vacuum cannot remove rows that died after this transaction began.",
            "max(universe_database_longest_transaction_seconds)",
        )
        .unit(units.Seconds)
        .thresholds(limits(60, 900)),
        Stat(
            "Waiting locks",
            "Locks that sessions wait for.",
            "max(universe_database_waiting_locks)",
        ).thresholds(limits(5, 50)),
    )
    .row(
        "Activity",
        TimeSeries(
            "Connections",
            "By role and state. A session that stays idle in transaction is a fault.",
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
            "Commits and rollbacks. Poison rows and timeouts cause rollbacks.",
            query(rate("universe_database_commits_total"), "committed"),
            query(rate("universe_database_rollbacks_total"), "rolled back"),
        ).unit(units.OpsPerSecond),
        TimeSeries(
            "Cache hit ratio",
            "Share of the blocks found in shared buffers.",
            query(cache_hits(), "hits"),
        )
        .unit(units.PercentUnit)
        .max(1),
        TimeSeries(
            "Blocks",
            "Blocks found in shared buffers, and blocks read.",
            query(rate(HIT), "hit"),
            query(rate(READ), "read"),
        ).unit(units.OpsPerSecond),
        TimeSeries(
            "Write-ahead log",
            "Write-ahead log written.",
            query(rate("universe_database_wal_bytes_total"), "written"),
        ).unit(units.BytesPerSecondSI),
        TimeSeries(
            "Checkpoints",
            "Requested checkpoints mean that max_wal_size is too small for the load.",
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
            "Deadlocks, waiting locks, and bytes that queries spilled to disk.",
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
            "Part of the tables' main pages that holds no live row, estimated from the planner's "
            "statistics. Some is normal: it is reused.",
            query("topk(10, max by (table) (universe_database_table_bloat_bytes))", "{{table}}"),
        )
        .unit(units.BytesIEC)
        .height(10),
        BarGauge(
            "Time since the last vacuum",
            "For tables that were vacuumed at least once. Append-only tables rarely need it.",
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
            "Share of the main pages that holds no live row, estimated; tables over 1 MB.",
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
            "Completed in the interval, and vacuums in progress.",
            query(
                "sum(increase(universe_database_table_vacuums_total[$__rate_interval]))", "vacuums"
            ),
            query(
                "sum(increase(universe_database_table_analyzes_total[$__rate_interval]))",
                "analyzes",
            ),
            query("max(universe_database_running_vacuums)", "vacuums in progress"),
        ),
        TimeSeries(
            "Live rows",
            "The largest tables, estimated.",
            query("topk(8, max by (table) (universe_database_table_live_rows))", "{{table}}"),
        ),
        TimeSeries(
            "Size",
            "Disk usage, indexes included.",
            query("max(universe_database_size_bytes)", "database"),
            query('max(universe_database_table_bytes{table="events"})', "events"),
            query('max(universe_database_table_index_bytes{table="events"})', "indexes of events"),
        ).unit(units.BytesIEC),
        TimeSeries(
            "Age of transaction ids",
            "Relative to the age at which autovacuum is forced to freeze rows.",
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
            "Days with a partition; sealed days, which are over and have their search indexes; "
            "days that are over and not sealed yet.",
            query("max(universe_database_partitions)", "partitions"),
            query("max(universe_database_sealed_partitions)", "sealed"),
            query("max(universe_database_partitions_to_seal)", "over, not sealed"),
        ).span(6),
        TimeSeries(
            "Rollup deltas not compacted",
            "Reports add them up: they stay exact and become slower.",
            query("max(universe_database_pending_rollup_deltas)", "deltas"),
        )
        .thresholds(limits(5000, 20_000))
        .span(6),
        TimeSeries(
            "Stored events",
            "Exact, from the rollups.",
            query(
                "max by (source, stage) (universe_database_stored_events)", "{{source}} {{stage}}"
            ),
        )
        .stacked()
        .span(6),
        TimeSeries(
            "Exporter",
            "Duration of the exporter's statements, and statements that failed.",
            query("max(universe_database_query_seconds)", "seconds"),
            query("max(universe_database_failed_statements)", "failed statements"),
        )
        .unit(units.NoUnit)
        .span(6),
    )
)
