-- Counting a day's events again; sql/README.md explains the tables.

-- name: day_events(day)
-- The stored events of a day, with what sums and sketches are made of. The time is written as most
-- producers write it.
SELECT event_id,
       to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS occurred_at,
       source, funnel_stage, event_type, data
FROM events
WHERE day = :day;
