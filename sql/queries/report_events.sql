-- Raw events, newest first. The position of an event is (occurred_at, event_id).

-- name: stored_range
-- When the first and the last stored event occurred.
SELECT min(first_at) AS first_at, max(last_at) AS last_at FROM live_day_types;

-- name: events
-- Events in order up to a limit; days that are sealed have an index in this order.
SELECT {{event_columns}}
FROM events
WHERE {{event_filters}} AND {{event_search}}
ORDER BY occurred_at DESC, event_id DESC
LIMIT :limit;

-- name: events_containing
-- The same where only few events hold what is looked for: they are found first and ordered then.
WITH found AS MATERIALIZED (
    SELECT *
    FROM events
    WHERE {{event_filters}} AND {{event_search}} AND data @> :contained::jsonb
)
SELECT {{event_columns}}
FROM found
ORDER BY occurred_at DESC, event_id DESC
LIMIT :limit;
