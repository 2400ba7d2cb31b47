-- The statements of the monitoring exporter, read only, as universe_reader. Each column is a label or
-- a value: infra/monitoring/exporter/database_metrics.py names the metric that it becomes.

-- name: server()
-- Size, limits and age of the server. transaction_id_age: how far the oldest row that was never
-- frozen lies back, against the limit at which autovacuum freezes whatever it costs.
SELECT pg_database_size(current_database()) AS size_bytes,
       current_setting('max_connections')::int AS max_connections,
       extract(epoch FROM pg_postmaster_start_time())::float8 AS start_time,
       (SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database())
           AS transaction_id_age,
       current_setting('autovacuum_freeze_max_age')::bigint AS transaction_id_age_limit,
       (SELECT count(*) FROM pg_locks WHERE NOT granted) AS waiting_locks,
       (SELECT count(*) FROM pg_stat_progress_vacuum) AS running_vacuums;

-- name: activity()
-- Work of this database since its statistics were reset.
SELECT xact_commit AS commits,
       xact_rollback AS rollbacks,
       blks_hit AS blocks_hit,
       blks_read AS blocks_read,
       tup_inserted AS rows_inserted,
       tup_updated AS rows_updated,
       tup_deleted AS rows_deleted,
       tup_fetched AS rows_fetched,
       temp_bytes,
       deadlocks
FROM pg_stat_database
WHERE datname = current_database();

-- name: wal()
-- Write-ahead log and checkpoints of the whole server.
SELECT w.wal_bytes, c.num_timed AS timed_checkpoints, c.num_requested AS requested_checkpoints
FROM pg_stat_wal AS w, pg_stat_checkpointer AS c;

-- name: sessions()
-- Sessions in this database.
SELECT role, state, sessions, longest_transaction_seconds FROM monitored_sessions();

-- name: tables()
-- Rows, sizes and vacuum state by table; partitions count as their table. Zero: never vacuumed.
SELECT coalesce(r.relname, s.relname)::text AS table_name,
       sum(greatest(s.n_live_tup, 0))::bigint AS live_rows,
       sum(greatest(s.n_dead_tup, 0))::bigint AS dead_rows,
       sum(greatest(s.n_mod_since_analyze, 0))::bigint AS rows_since_analyze,
       sum(coalesce(pg_table_size(s.relid), 0))::bigint AS table_bytes,
       sum(coalesce(pg_indexes_size(s.relid), 0))::bigint AS index_bytes,
       sum(s.vacuum_count + s.autovacuum_count)::bigint AS vacuums,
       sum(s.analyze_count + s.autoanalyze_count)::bigint AS analyzes,
       coalesce(extract(epoch FROM max(greatest(s.last_vacuum, s.last_autovacuum))), 0)::float8
           AS last_vacuum,
       coalesce(extract(epoch FROM max(greatest(s.last_analyze, s.last_autoanalyze))), 0)::float8
           AS last_analyze
FROM pg_stat_user_tables AS s
LEFT JOIN pg_class AS r ON r.oid = pg_partition_root(s.relid)
WHERE s.schemaname = 'public'
GROUP BY 1;

-- name: bloat()
-- Estimated space that holds no live row.
SELECT table_name, heap_bytes, bloat_bytes FROM monitored_bloat();

-- name: rollups()
-- Deltas that are not compacted yet (at most 100,000 are counted), and the days there are.
SELECT (SELECT count(*) FROM (SELECT FROM rollup_deltas LIMIT 100000) AS d) AS pending_deltas,
       count(*) AS partitions,
       count(sealed_at) AS sealed_partitions,
       count(*) FILTER (WHERE sealed_at IS NULL AND day < (now() AT TIME ZONE 'UTC')::date)
           AS partitions_to_seal
FROM event_days;

-- name: alerts()
-- Alerts and summaries of figures: how late they are judged, and what could not be sent yet.
SELECT count(check_error) AS failing,
       greatest(coalesce(extract(epoch FROM now() - min(next_at)), 0), 0)::float8 AS overdue_seconds,
       (SELECT count(*) FROM workspace.alert_messages) AS waiting_messages,
       (SELECT coalesce(extract(epoch FROM now() - min(made_at)), 0)::float8
        FROM workspace.alert_messages) AS oldest_message_seconds
FROM workspace.alerts;

-- name: alert_attempts()
-- What came of sending their messages.
SELECT channel, outcome, attempts FROM workspace.alert_attempts;

-- name: stored()
-- Stored events, exact, out of the rollups.
SELECT source, funnel_stage, sum(events)::bigint AS events, sum(revenue)::float8 AS revenue
FROM live_day_types
GROUP BY source, funnel_stage;
