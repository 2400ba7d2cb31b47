"""PostgreSQL."""

from infra.monitoring.dashboards.colours import UP_DOWN
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
)

P = "universe_database_"
HIT, READ = P + "blocks_hit_total", P + "blocks_read_total"
SINCE_VACUUM = f"time() - max by (table) ({P}table_last_vacuum_timestamp_seconds > 0)"


def cache_hits() -> str:
    """Return the share of blocks that were found in memory."""
    return f"{rate_of(HIT)} / ({rate_of(HIT)} + {rate_of(READ)})"


DASHBOARD = Dashboard(
    uid="universe-database",
    title="Universe · Database",
    description="PostgreSQL: connections, cache, tables, vacuum, partitions, rollups.",
    rows=[
        Row(
            "Now",
            [
                number(
                    "PostgreSQL",
                    "Whether the database answers the exporter.",
                    f"max({P}up)",
                    names=UP_DOWN,
                ),
                number(
                    "Connections",
                    "Share of the allowed connections that are in use.",
                    f"sum({P}connections) / max({P}max_connections)",
                    unit="percentunit",
                    limits=Limits(0.7, 0.85),
                ),
                number(
                    "Cache hit ratio",
                    "Share of the blocks found in PostgreSQL's own memory. Blocks out of the "
                    "system's cache count as read.",
                    cache_hits(),
                    unit="percentunit",
                    decimals=2,
                    limits=Limits(0.95, 0.8, below=True),
                ),
                number(
                    "Size", "Disk in use, indexes included.", f"max({P}size_bytes)", unit="bytes"
                ),
                number(
                    "Longest transaction",
                    "Vacuum cannot remove rows that died after it began.",
                    f"max({P}longest_transaction_seconds)",
                    unit="s",
                    limits=Limits(60, 900),
                ),
                number(
                    "Waiting locks",
                    "Sessions that wait for another.",
                    f"max({P}waiting_locks)",
                    limits=Limits(5, 50),
                ),
            ],
        ),
        Row(
            "Activity",
            [
                chart(
                    "Connections",
                    "By role and state. idle in transaction for long is a fault.",
                    Query(f"sum by (role, state) ({P}connections)", "{{role}} {{state}}"),
                    stacked=True,
                    width=12,
                ),
                chart(
                    "Rows",
                    "Rows written and read.",
                    rate(P + "rows_inserted_total", "inserted"),
                    rate(P + "rows_updated_total", "updated"),
                    rate(P + "rows_deleted_total", "deleted"),
                    rate(P + "rows_fetched_total", "fetched"),
                    unit="ops",
                    width=12,
                ),
                chart(
                    "Transactions",
                    "Committed and undone. Undone ones come with poison rows and time-outs.",
                    rate(P + "commits_total", "committed"),
                    rate(P + "rollbacks_total", "undone"),
                    unit="ops",
                ),
                chart(
                    "Cache hit ratio",
                    "Share of the blocks found in PostgreSQL's own memory.",
                    Query(cache_hits(), "hits"),
                    unit="percentunit",
                    most=1,
                ),
                chart(
                    "Blocks",
                    "Blocks found in memory and read.",
                    rate(HIT, "hit"),
                    rate(READ, "read"),
                    unit="ops",
                ),
                chart(
                    "Write-ahead log",
                    "What commits write.",
                    rate(P + "wal_bytes_total", "written"),
                    unit="Bps",
                ),
                chart(
                    "Checkpoints",
                    "Requested ones mean that max_wal_size is small for the load.",
                    Query(f"sum(increase({P}timed_checkpoints_total[$__rate_interval]))", "timed"),
                    Query(
                        f"sum(increase({P}requested_checkpoints_total[$__rate_interval]))",
                        "requested",
                    ),
                ),
                chart(
                    "Faults",
                    "Deadlocks, locks waited for, and bytes that sorts spilled to disk.",
                    rate(P + "deadlocks_total", "deadlocks"),
                    Query(f"max({P}waiting_locks)", "waiting locks"),
                    rate(P + "temp_bytes_total", "spilled bytes"),
                ),
            ],
        ),
        Row(
            "Tables and vacuum",
            [
                bars(
                    "Size by table",
                    "Indexes included; partitions count as their table.",
                    Query(
                        f"topk(10, max by (table) ({P}table_bytes + {P}table_index_bytes))",
                        "{{table}}",
                    ),
                    unit="bytes",
                    height=10,
                ),
                bars(
                    "Bloat by table",
                    "Bytes of the rows' pages that hold no live row, estimated from the planner's "
                    "statistics. Some is normal: it is used again.",
                    Query(f"topk(10, max by (table) ({P}table_bloat_bytes))", "{{table}}"),
                    unit="bytes",
                    height=10,
                ),
                bars(
                    "Time since the last vacuum",
                    "By table, for tables that were vacuumed once. Tables to which rows are only "
                    "added need little.",
                    or_zero(Query(SINCE_VACUUM, "{{table}}"), table="none yet"),
                    unit="s",
                    height=10,
                ),
                chart(
                    "Dead rows",
                    "Rows that vacuum has not removed yet.",
                    Query(f"topk(8, max by (table) ({P}table_dead_rows))", "{{table}}"),
                ),
                chart(
                    "Bloat",
                    "Share of the rows' pages that holds no live row, estimated; tables over 1 MB.",
                    or_zero(
                        Query(
                            f"max by (table) ({P}table_bloat_bytes / ({P}table_heap_bytes > 1e6))",
                            "{{table}}",
                        ),
                        table="no large table",
                    ),
                    unit="percentunit",
                    limits=Limits(0.3, 0.5),
                    most=1,
                ),
                chart(
                    "Vacuums and analyzes",
                    "Finished in the interval, and vacuums at work now.",
                    Query(f"sum(increase({P}table_vacuums_total[$__rate_interval]))", "vacuums"),
                    Query(f"sum(increase({P}table_analyzes_total[$__rate_interval]))", "analyzes"),
                    Query(f"max({P}running_vacuums)", "vacuums at work"),
                ),
                chart(
                    "Live rows",
                    "The largest tables, estimated.",
                    Query(f"topk(8, max by (table) ({P}table_live_rows))", "{{table}}"),
                ),
                chart(
                    "Size",
                    "Disk in use, indexes included.",
                    Query(f"max({P}size_bytes)", "database"),
                    Query(f'max({P}table_bytes{{table="events"}})', "events"),
                    Query(f'max({P}table_index_bytes{{table="events"}})', "indexes of events"),
                    unit="bytes",
                ),
                chart(
                    "Age of transaction ids",
                    "Share of the age at which autovacuum freezes rows whatever it costs.",
                    Query(f"max({P}transaction_id_age / {P}transaction_id_age_limit)", "age"),
                    unit="percentunit",
                    limits=Limits(1, 2),
                ),
            ],
        ),
        Row(
            "Events",
            [
                chart(
                    "Partitions",
                    "Days that have a partition, and days that are sealed: over, with the indexes "
                    "that searches want.",
                    Query(f"max({P}partitions)", "partitions"),
                    Query(f"max({P}sealed_partitions)", "sealed"),
                    Query(f"max({P}partitions_to_seal)", "over, not sealed"),
                    width=6,
                ),
                chart(
                    "Rollup deltas not folded",
                    "Reports add them up: exact, and slower the more there are.",
                    Query(f"max({P}pending_rollup_deltas)", "deltas"),
                    limits=Limits(5000, 20_000),
                    width=6,
                ),
                chart(
                    "Stored events",
                    "Exact, out of the rollups.",
                    Query(f"max by (source, stage) ({P}stored_events)", "{{source}} {{stage}}"),
                    stacked=True,
                    width=6,
                ),
                chart(
                    "Monitoring itself",
                    "How long the exporter's statements take; failed ones have no figures.",
                    Query(f"max({P}answer_seconds)", "seconds"),
                    Query(f"max({P}failed_statements)", "failed statements"),
                    unit="none",
                    width=6,
                ),
            ],
        ),
    ],
)
