"""Which metric each column of the statements in sql/queries/monitoring.sql becomes."""

from collections.abc import Mapping

from infra.monitoring.exporter.metric_specs import MetricGroup, MetricSpec

_NO_LABELS: Mapping[str, str] = {}
_BY_TABLE = {"table_name": "table"}

STATEMENT_METRICS: dict[str, MetricGroup] = {
    "server": MetricGroup(
        _NO_LABELS,
        [
            MetricSpec(
                "size_bytes", "universe_database_size_bytes", "Size of the database on disk"
            ),
            MetricSpec(
                "max_connections",
                "universe_database_max_connections",
                "Connections the server allows",
            ),
            MetricSpec(
                "start_time", "universe_database_start_time_seconds", "Start time of the server"
            ),
            MetricSpec(
                "transaction_id_age",
                "universe_database_transaction_id_age",
                "Transactions since the oldest row that is not frozen",
            ),
            MetricSpec(
                "transaction_id_age_limit",
                "universe_database_transaction_id_age_limit",
                "Age at which autovacuum is forced to freeze rows",
            ),
            MetricSpec(
                "waiting_locks", "universe_database_waiting_locks", "Locks that are waited for"
            ),
            MetricSpec(
                "running_vacuums", "universe_database_running_vacuums", "Vacuums in progress"
            ),
        ],
    ),
    "activity": MetricGroup(
        _NO_LABELS,
        [
            MetricSpec("commits", "universe_database_commits_total", "Transactions committed"),
            MetricSpec(
                "rollbacks", "universe_database_rollbacks_total", "Transactions rolled back"
            ),
            MetricSpec(
                "blocks_hit", "universe_database_blocks_hit_total", "Blocks found in memory"
            ),
            MetricSpec("blocks_read", "universe_database_blocks_read_total", "Blocks read"),
            MetricSpec("rows_inserted", "universe_database_rows_inserted_total", "Rows inserted"),
            MetricSpec("rows_updated", "universe_database_rows_updated_total", "Rows updated"),
            MetricSpec("rows_deleted", "universe_database_rows_deleted_total", "Rows deleted"),
            MetricSpec("rows_fetched", "universe_database_rows_fetched_total", "Rows fetched"),
            MetricSpec("temp_bytes", "universe_database_temp_bytes_total", "Bytes spilled to disk"),
            MetricSpec("deadlocks", "universe_database_deadlocks_total", "Deadlocks found"),
        ],
    ),
    "wal": MetricGroup(
        _NO_LABELS,
        [
            MetricSpec("wal_bytes", "universe_database_wal_bytes_total", "Write-ahead log written"),
            MetricSpec(
                "timed_checkpoints",
                "universe_database_timed_checkpoints_total",
                "Checkpoints started by checkpoint_timeout",
            ),
            MetricSpec(
                "requested_checkpoints",
                "universe_database_requested_checkpoints_total",
                "Checkpoints started by max_wal_size or on request",
            ),
        ],
    ),
    "sessions": MetricGroup(
        {"role": "role", "state": "state"},
        [
            MetricSpec(
                "sessions", "universe_database_connections", "Connections by role and state"
            ),
            MetricSpec(
                "longest_transaction_seconds",
                "universe_database_longest_transaction_seconds",
                "Age of the oldest transaction",
            ),
        ],
    ),
    "tables": MetricGroup(
        _BY_TABLE,
        [
            MetricSpec("live_rows", "universe_database_table_live_rows", "Live rows, estimated"),
            MetricSpec("dead_rows", "universe_database_table_dead_rows", "Dead rows, estimated"),
            MetricSpec(
                "rows_since_analyze",
                "universe_database_table_rows_since_analyze",
                "Rows changed since the last analyze",
            ),
            MetricSpec("table_bytes", "universe_database_table_bytes", "Size without indexes"),
            MetricSpec("index_bytes", "universe_database_table_index_bytes", "Size of the indexes"),
            MetricSpec("vacuums", "universe_database_table_vacuums_total", "Vacuums"),
            MetricSpec("analyzes", "universe_database_table_analyzes_total", "Analyzes"),
            MetricSpec(
                "last_vacuum",
                "universe_database_table_last_vacuum_timestamp_seconds",
                "Time of the last vacuum, 0 if never",
            ),
            MetricSpec(
                "last_analyze",
                "universe_database_table_last_analyze_timestamp_seconds",
                "Time of the last analyze, 0 if never",
            ),
        ],
    ),
    "bloat": MetricGroup(
        _BY_TABLE,
        [
            MetricSpec(
                "heap_bytes", "universe_database_table_heap_bytes", "Size of the table's main pages"
            ),
            MetricSpec(
                "bloat_bytes",
                "universe_database_table_bloat_bytes",
                "Part of the table's main pages that holds no live row, estimated",
            ),
        ],
    ),
    "rollups": MetricGroup(
        _NO_LABELS,
        [
            MetricSpec(
                "pending_deltas",
                "universe_database_pending_rollup_deltas",
                "Rollup deltas not compacted yet, counted up to 100,000",
            ),
            MetricSpec(
                "partitions", "universe_database_partitions", "Days that have a partition of events"
            ),
            MetricSpec(
                "sealed_partitions", "universe_database_sealed_partitions", "Days that are sealed"
            ),
            MetricSpec(
                "partitions_to_seal",
                "universe_database_partitions_to_seal",
                "Days that are over and not sealed yet",
            ),
        ],
    ),
    "alerts": MetricGroup(
        _NO_LABELS,
        [
            MetricSpec(
                "failing",
                "universe_analytics_alerts_failing",
                "Alerts and summaries of figures that could not be judged",
            ),
            MetricSpec(
                "overdue_seconds",
                "universe_analytics_alerts_overdue_seconds",
                "How long ago the alert that waits longest was to be judged",
            ),
            MetricSpec(
                "waiting_messages",
                "universe_analytics_alert_waiting_messages",
                "Messages of alerts that are not sent yet",
            ),
            MetricSpec(
                "oldest_message_seconds",
                "universe_analytics_alert_oldest_message_seconds",
                "Age of the oldest of these messages, 0 without one",
            ),
        ],
    ),
    "alert_attempts": MetricGroup(
        {"channel": "channel", "outcome": "outcome"},
        [
            MetricSpec(
                "attempts",
                "universe_analytics_alert_attempts_total",
                "Attempts to send messages of alerts; failed: tried again, lost: given up",
            ),
        ],
    ),
    "stored": MetricGroup(
        {"source": "source", "funnel_stage": "stage"},
        [
            MetricSpec("events", "universe_database_stored_events", "Stored events, exact"),
            MetricSpec(
                "revenue", "universe_database_stored_revenue", "Revenue of the stored events"
            ),
        ],
    ),
}
"""The metrics of each statement's result, by the statement's name."""
