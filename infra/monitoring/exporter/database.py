"""PostgreSQL's figures: the statements of sql/queries/monitoring.sql as metrics."""

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

import aiosql
import psycopg
from prometheus_client.metrics_core import Metric
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from functions.common.paths import ROOT
from infra.monitoring.exporter.figures import Figure, Kind, Table, gauge, metrics_of

log = logging.getLogger(__name__)

_P = "universe_database_"
_NONE: Mapping[str, str] = {}
_BY_TABLE = {"table_name": "table"}

TABLES: dict[str, Table] = {
    "server": Table(
        _NONE,
        [
            Figure("size_bytes", _P + "size_bytes", "Size of the database on disk"),
            Figure("max_connections", _P + "max_connections", "Connections the server allows"),
            Figure("start_time", _P + "start_time_seconds", "When the server started"),
            Figure(
                "transaction_id_age",
                _P + "transaction_id_age",
                "Transactions since the oldest row that is not frozen",
            ),
            Figure(
                "transaction_id_age_limit",
                _P + "transaction_id_age_limit",
                "Age at which autovacuum freezes rows whatever it costs",
            ),
            Figure("waiting_locks", _P + "waiting_locks", "Locks that somebody waits for"),
            Figure("running_vacuums", _P + "running_vacuums", "Vacuums at work"),
        ],
    ),
    "activity": Table(
        _NONE,
        [
            Figure("commits", _P + "commits_total", "Transactions committed", Kind.COUNTER),
            Figure("rollbacks", _P + "rollbacks_total", "Transactions undone", Kind.COUNTER),
            Figure("blocks_hit", _P + "blocks_hit_total", "Blocks found in memory", Kind.COUNTER),
            Figure("blocks_read", _P + "blocks_read_total", "Blocks read", Kind.COUNTER),
            Figure("rows_inserted", _P + "rows_inserted_total", "Rows inserted", Kind.COUNTER),
            Figure("rows_updated", _P + "rows_updated_total", "Rows updated", Kind.COUNTER),
            Figure("rows_deleted", _P + "rows_deleted_total", "Rows deleted", Kind.COUNTER),
            Figure("rows_fetched", _P + "rows_fetched_total", "Rows fetched", Kind.COUNTER),
            Figure("temp_bytes", _P + "temp_bytes_total", "Bytes spilled to disk", Kind.COUNTER),
            Figure("deadlocks", _P + "deadlocks_total", "Deadlocks found", Kind.COUNTER),
        ],
    ),
    "wal": Table(
        _NONE,
        [
            Figure("wal_bytes", _P + "wal_bytes_total", "Write-ahead log written", Kind.COUNTER),
            Figure(
                "timed_checkpoints",
                _P + "timed_checkpoints_total",
                "Checkpoints because it was time",
                Kind.COUNTER,
            ),
            Figure(
                "requested_checkpoints",
                _P + "requested_checkpoints_total",
                "Checkpoints because the log grew, or on request",
                Kind.COUNTER,
            ),
        ],
    ),
    "sessions": Table(
        {"role": "role", "state": "state"},
        [
            Figure("sessions", _P + "connections", "Connections by role and state"),
            Figure(
                "longest_transaction_seconds",
                _P + "longest_transaction_seconds",
                "Age of the oldest transaction",
            ),
        ],
    ),
    "tables": Table(
        _BY_TABLE,
        [
            Figure("live_rows", _P + "table_live_rows", "Live rows, estimated"),
            Figure("dead_rows", _P + "table_dead_rows", "Dead rows, estimated"),
            Figure(
                "rows_since_analyze",
                _P + "table_rows_since_analyze",
                "Rows changed since the planner's statistics were made",
            ),
            Figure("table_bytes", _P + "table_bytes", "Size without indexes"),
            Figure("index_bytes", _P + "table_index_bytes", "Size of the indexes"),
            Figure("vacuums", _P + "table_vacuums_total", "Vacuums", Kind.COUNTER),
            Figure("analyzes", _P + "table_analyzes_total", "Analyzes", Kind.COUNTER),
            Figure(
                "last_vacuum",
                _P + "table_last_vacuum_timestamp_seconds",
                "When it was vacuumed last, 0 for never",
            ),
            Figure(
                "last_analyze",
                _P + "table_last_analyze_timestamp_seconds",
                "When it was analyzed last, 0 for never",
            ),
        ],
    ),
    "bloat": Table(
        _BY_TABLE,
        [
            Figure("heap_bytes", _P + "table_heap_bytes", "Size of the rows' pages"),
            Figure(
                "bloat_bytes",
                _P + "table_bloat_bytes",
                "Part of the rows' pages that holds no live row, estimated",
            ),
        ],
    ),
    "rollups": Table(
        _NONE,
        [
            Figure(
                "pending_deltas",
                _P + "pending_rollup_deltas",
                "Rollup deltas not folded yet, counted up to 100,000",
            ),
            Figure("partitions", _P + "partitions", "Days that have a partition of events"),
            Figure("sealed_partitions", _P + "sealed_partitions", "Days that are sealed"),
            Figure(
                "partitions_to_seal", _P + "partitions_to_seal", "Days that are over, not sealed"
            ),
        ],
    ),
    "stored": Table(
        {"source": "source", "funnel_stage": "stage"},
        [
            Figure("events", _P + "stored_events", "Stored events, exact"),
            Figure("revenue", _P + "stored_revenue", "Revenue of the stored events"),
        ],
    ),
}
"""What each statement's columns become."""


class DatabaseFigures:
    """Asks the database, on a connection that is kept; a lost one is opened again."""

    def __init__(self, url: str | None, timeout: float) -> None:
        """Ask the database at `url`; a statement may take `timeout` seconds."""
        self._url = url
        self._milliseconds = int(timeout * 1000)
        self._connection: Connection[DictRow] | None = None
        self._lock = threading.Lock()
        self._said = ""
        self._queries: Any = aiosql.from_path(ROOT / "sql/queries/monitoring.sql", "psycopg")

    def collect(self) -> list[Metric]:
        """Return the figures; `universe_database_up` alone when the database is away.

        It blocks, for as long as the statements take.
        """
        started = time.perf_counter()
        metrics: list[Metric] = []
        failures = 0
        with self._lock:
            try:
                connection = self._connect()
                for name, table in TABLES.items():
                    try:
                        rows = list(getattr(self._queries, name)(connection))
                    except psycopg.Error as error:
                        if connection.closed:
                            raise
                        failures += 1
                        log.warning("no figures of %s: %s", name, _first_line(error))
                        continue
                    metrics += metrics_of(table, rows)
                up, self._said = 1.0, ""
            except (psycopg.Error, OSError) as error:
                up, metrics = 0.0, []
                self._away(_first_line(error))
        seconds = time.perf_counter() - started
        return [
            gauge(_P + "up", "Whether the database answers", up),
            gauge(_P + "failed_statements", "Monitoring statements that failed", failures),
            gauge(_P + "answer_seconds", "How long all monitoring statements took", seconds),
            *metrics,
        ]

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _connect(self) -> Connection[DictRow]:
        if self._url is None:
            raise OSError("neither DATABASE_READER_URL nor DATABASE_URL is set")
        if self._connection is None or self._connection.closed:
            self._connection = Connection[DictRow].connect(
                self._url,
                autocommit=True,
                row_factory=dict_row,
                connect_timeout=3,
                application_name="universe-exporter",
                options=f"-c statement_timeout={self._milliseconds} -c lock_timeout=1000 "
                "-c default_transaction_read_only=on -c timezone=UTC",
                keepalives_idle=5,
                keepalives_interval=2,
                keepalives_count=2,
                tcp_user_timeout=5000,
            )
            self._connection.prepare_threshold = None
        return self._connection

    def _away(self, why: str) -> None:
        if why != self._said:
            log.warning("the database is away: %s", why)
        self._said = why
        self.close()
        self._connection = None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
