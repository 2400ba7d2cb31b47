-- Compaction: moving rollup deltas into the rollup tables; sql/README.md explains the tables.
--
-- What is in double braces is filled in from the catalogue (the table `rollups`):
-- functions/process_batch/rollup_statements.py does it, and again when the catalogue has changed.

-- name: try_lock()$
-- Whether this transaction is now the only one that compacts deltas, seals days or drops them.
SELECT try_rollups_lock();

-- name: rollup_catalogue()
-- The rollups that compaction keeps, and what their measures are.
SELECT r.name, r.kind, r.grain, r.keys, r.measures, r.total_key,
       ARRAY(SELECT m.of_deltas FROM unnest(r.measures) WITH ORDINALITY AS o (name, place)
             JOIN rollup_measures AS m USING (name) ORDER BY o.place) AS of_deltas,
       ARRAY(SELECT m.added FROM unnest(r.measures) WITH ORDINALITY AS o (name, place)
             JOIN rollup_measures AS m USING (name) ORDER BY o.place) AS added
FROM rollups AS r
WHERE r.kind IN ('sums', 'sketches')
ORDER BY r.name;

-- name: pending(max_deltas)$
-- How many deltas wait, counted up to `max_deltas`.
SELECT count(*) FROM (SELECT FROM rollup_deltas LIMIT :max_deltas) AS waiting;

-- name: compact(max_deltas, max_events)
-- Takes up to `max_deltas` deltas, or what `max_events` events made, out of rollup_deltas, adds them to
-- every rollup of sums, and returns what is needed to add them to the rollups of users. One
-- statement, so one snapshot, and faster than one a table.
WITH taken AS MATERIALIZED (
    DELETE FROM rollup_deltas
    WHERE ctid = ANY (ARRAY(
        SELECT d.ctid
        FROM (SELECT ctid, events, sum(events) OVER (ROWS UNBOUNDED PRECEDING) AS so_far
              FROM (SELECT ctid, events FROM rollup_deltas LIMIT :max_deltas) AS waiting) AS d
        WHERE d.so_far - d.events < :max_events
    ))
    RETURNING *, (hour AT TIME ZONE 'UTC')::date AS day
),
grouped AS MATERIALIZED (
    SELECT f.hour, f.day, f.source, f.funnel_stage, f.event_type, f.country, f.campaign_id,
           split_part(g.name, '=', 1) AS dimension,
           substr(g.name, strpos(g.name, '=') + 1) AS value,
           g.events, coalesce(g.revenue, 0) AS revenue
    FROM taken AS f,
         unnest(f.groups, f.group_events, f.group_revenue) AS g (name, events, revenue)
){{additions}}
SELECT f.events, f.users, f.day, d.sealed_at IS NOT NULL AS sealed, {{sketch_keys}}
FROM taken AS f
LEFT JOIN event_days AS d ON d.day = f.day;

-- name: add_to_rollup()
-- Part of the statement above, for each rollup of sums. A rollup by campaign holds only the events of
-- a campaign. What is summed up is summed up again for coarser rollups: deltas are many times the rows.
,
{{sums}} AS (
    SELECT {{times}}, {{keys}}, {{of_rows}}
    FROM {{rows}}
    WHERE {{condition}}
    GROUP BY {{times}}, {{keys}}
),
add_to_{{rollup}} AS (
    INSERT INTO {{rollup}} AS r ({{grain}}, {{keys}}, {{measures}})
    SELECT {{grain}}, {{keys}}, {{measures}} FROM {{sums}}
    ON CONFLICT ({{grain}}, {{keys}}) DO UPDATE SET {{added}}
);

-- name: stored_sketches()
-- The stored sketches of some keys, in no order.
SELECT {{keys}}, {{measures}}
FROM {{rollup}}
JOIN unnest({{key_values}}) AS k ({{keys}}) USING ({{keys}});

-- name: store_sketches()
INSERT INTO {{rollup}} ({{keys}}, {{measures}})
SELECT * FROM unnest({{key_values}}, {{sketches}})
ON CONFLICT ({{keys}}) DO UPDATE SET {{replaced}};

-- name: recount_users(day, user_ids)$
-- What some users did on a sealed day, counted anew because of late events. A later count covers an
-- earlier one, and reports leave out users with pending deltas, so it need not be the same snapshot.
SELECT count_sealed_rollups(:day::date, :user_ids::text[]);

-- name: vacuum_deltas()#
-- Gives the space of compacted deltas back at once: reports read this whole table.
VACUUM (SKIP_LOCKED) rollup_deltas;
