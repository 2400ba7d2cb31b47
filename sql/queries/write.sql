-- name: ensure_partitions(days)$
-- The partitions of some days, made where they are missing. In a transaction of its own.
SELECT ensure_partitions(:days::date[]);

-- name: ensure_partitions_within(days, max_per_minute)
-- The same, but no more than so many in a minute; returns the days that have to wait.
SELECT ensure_partitions_within(:days::date[], :max_per_minute::integer)::text;

-- name: known_events(day, event_ids)
-- Which of some events of a day are stored already.
SELECT event_id FROM events WHERE day = :day::date AND event_id = ANY (:event_ids::text[]);

-- name: make_staging()#
-- Where rows are kept that cannot go straight into events. One per connection, emptied at commit.
CREATE TEMP TABLE IF NOT EXISTS incoming (LIKE events) ON COMMIT DELETE ROWS;

-- name: empty_staging()!
DELETE FROM incoming;

-- name: insert_new_events()
-- The staged rows that are not stored yet, and which they were. The order keeps two writers of
-- the same events from waiting for each other crosswise.
INSERT INTO events
SELECT * FROM incoming ORDER BY day, event_id
ON CONFLICT (event_id, day) DO NOTHING
RETURNING day::text, event_id;

-- name: confirm_earlier_commits()$
-- Commit a few bytes. A commit is confirmed after all before it are, on the disk and by a synchronous
-- standby: those too that a server which crashed while they waited shows after its restart.
SELECT pg_logical_emit_message(true, 'universe', '');
