"""Metrics of PostgreSQL: the results of the statements in sql/queries/monitoring.sql."""

import logging
import threading
import time
from typing import Any

import aiosql
import psycopg
from prometheus_client.metrics_core import Metric
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from functions.common.log_on_change import LogOnChange
from functions.common.logs import first_line
from functions.common.paths import ROOT
from infra.monitoring.exporter.database_metrics import STATEMENT_METRICS
from infra.monitoring.exporter.errors import DatabaseNotConfiguredError
from infra.monitoring.exporter.metric_specs import gauge, metrics_from_rows

logger = logging.getLogger(__name__)


class DatabaseCollector:
    """Queries the database on one connection, which is opened again after it was lost."""

    def __init__(self, url: str | None, statement_timeout: float) -> None:
        """Prepare to query; nothing connects yet.

        Args:
            url: of the database; None: it is reported as down.
            statement_timeout: seconds that one statement may take.
        """
        self._url = url
        self._statement_timeout_ms = int(statement_timeout * 1000)
        self._connection: Connection[DictRow] | None = None
        self._lock = threading.Lock()
        self._on_change = LogOnChange(logger)
        self._queries: Any = aiosql.from_path(  # pyright: ignore[reportUnknownMemberType] - a bare dict in aiosql
            ROOT / "sql/queries/monitoring.sql", "psycopg"
        )

    def collect(self) -> list[Metric]:
        """Return the metrics; without the database, `universe_database_up` 0 and no statement's.

        It blocks, for as long as the statements take.
        """
        started = time.perf_counter()
        metrics: list[Metric] = []
        failures = 0
        with self._lock:
            try:
                connection = self._connect()
                for statement, group in STATEMENT_METRICS.items():
                    rows = self._execute(connection, statement)
                    if rows is None:
                        failures += 1
                    else:
                        metrics += metrics_from_rows(group, rows)
                up = 1.0
                self._on_change.recovered("database", "the database answers again")
            except (psycopg.Error, OSError, DatabaseNotConfiguredError) as error:
                up, metrics = 0.0, []
                self._on_change.log(
                    "database", f"the database does not answer: {first_line(error)}"
                )
                self.close()
                self._connection = None
        seconds = time.perf_counter() - started
        return [
            gauge("universe_database_up", "Whether the database answers", up),
            gauge(
                "universe_database_failed_statements",
                "Monitoring statements that failed",
                failures,
            ),
            gauge(
                "universe_database_query_seconds",
                "Duration of all monitoring statements together",
                seconds,
            ),
            *metrics,
        ]

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _execute(self, connection: Connection[DictRow], statement: str) -> list[DictRow] | None:
        """Return a statement's rows, or None where it failed and the connection is still good."""
        try:
            rows = list(getattr(self._queries, statement)(connection))
        except psycopg.Error as error:
            if connection.closed:
                raise
            self._on_change.log(statement, f"no metrics of {statement}: {first_line(error)}")
            return None
        self._on_change.recovered(statement)
        return rows

    def _connect(self) -> Connection[DictRow]:
        if self._url is None:
            raise DatabaseNotConfiguredError("neither DATABASE_READER_URL nor DATABASE_URL is set")
        if self._connection is None or self._connection.closed:
            self._connection = Connection[DictRow].connect(
                self._url,
                autocommit=True,
                row_factory=dict_row,
                connect_timeout=3,
                application_name="universe-exporter",
                options=f"-c statement_timeout={self._statement_timeout_ms} -c lock_timeout=1000 "
                "-c default_transaction_read_only=on -c timezone=UTC",
                keepalives_idle=5,
                keepalives_interval=2,
                keepalives_count=2,
                tcp_user_timeout=5000,
            )
            self._connection.prepare_threshold = None
        return self._connection
