-- What the analytics benchmark does in PostgreSQL to take in its data.

-- name: settings#
-- A bulk load into a database that can be made again.
SET synchronous_commit = off;
SET maintenance_work_mem = '512MB';
SET work_mem = '64MB';

-- name: catalogue()
-- The rollups of sums: what they hold, as DuckDB takes it too.
SELECT r.name, r.grain, r.keys, r.measures,
       ARRAY(SELECT m.of_events FROM unnest(r.measures) WITH ORDINALITY AS o (name, place)
             JOIN rollup_measures AS m USING (name) ORDER BY o.place) AS of_events
FROM rollups AS r
WHERE r.kind = 'sums'
ORDER BY r.name;

-- name: constraints()
-- The unique keys of the rollups, which are made in bulk.
SELECT c.conrelid::regclass::text, c.conname::text, pg_get_constraintdef(c.oid)
FROM pg_constraint AS c
JOIN rollups AS r ON c.conrelid = r.name::regclass
WHERE r.kind = 'sums' AND c.contype IN ('p', 'u')
ORDER BY 1;

-- name: make_raw#
-- The usual way: the event as it came in one JSONB column.
CREATE UNLOGGED TABLE raw_events (id text COLLATE "C" NOT NULL, event jsonb NOT NULL);
-- what indexes would tell the planner that no statement of this benchmark reads
CREATE STATISTICS raw_kinds ON (event ->> 'source'), (event ->> 'eventType') FROM raw_events;
CREATE STATISTICS raw_users ON (event #>> '{data,user,userId}') FROM raw_events;

-- name: raw_indexes()
-- Indexes on what is asked for here; more would take minutes to build, and make no report faster.
SELECT * FROM (VALUES
    ('CREATE INDEX raw_contains ON raw_events USING gin (event jsonb_path_ops)'),
    ('CREATE INDEX raw_timestamp ON raw_events ((event ->> ''timestamp''))'),
    ('CREATE INDEX raw_campaign ON raw_events ((event #>> ''{data,engagement,campaignId}''))')
) AS i (statement);
