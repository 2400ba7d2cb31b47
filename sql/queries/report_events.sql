-- Raw events, newest first. The position of an event is (occurred_at, event_id).

-- name: stored_range
-- When the first and the last stored event occurred.
SELECT min(first_at) AS first_at, max(last_at) AS last_at FROM live_day_types;

-- name: export
-- The whole events, in order; what is put in searches with or without containment.
{{found}};

-- name: page
-- The first events in order that take at most :max_bytes together, and the next one, which does not
-- fit. An event that alone takes more than :max_event_bytes comes without what makes it so large:
-- without extra, without data, or without both.
WITH sized AS (
    SELECT *,
           octet_length(data::text) AS data_bytes,
           coalesce(octet_length(extra::text), 0) AS extra_bytes,
           -- names and times of a JSON object, and the texts that a sender chooses
           400 + octet_length(event_id) + octet_length(user_id)
               + coalesce(octet_length(country), 0) + coalesce(octet_length(campaign_id), 0)
               AS other_bytes
    FROM ({{found}}) AS found
), cut AS (
    SELECT *,
           data_bytes > :max_event_bytes AS without_data,
           extra_bytes > 0 AND extra_bytes > :max_event_bytes
               - CASE WHEN data_bytes > :max_event_bytes THEN 0 ELSE data_bytes END AS without_extra
    FROM sized
), measured AS (
    SELECT *,
           other_bytes + CASE WHEN without_data THEN 0 ELSE data_bytes END
               + CASE WHEN without_extra THEN 0 ELSE extra_bytes END AS bytes
    FROM cut
), placed AS (
    SELECT *,
           sum(bytes) OVER (ORDER BY occurred_at DESC, event_id DESC ROWS UNBOUNDED PRECEDING)
               AS bytes_so_far
    FROM measured
)
SELECT event_id, occurred_at, received_at, source, funnel_stage, event_type, user_id, country,
       campaign_id, revenue,
       CASE WHEN NOT without_data AND bytes_so_far <= :max_bytes THEN data END AS data,
       CASE WHEN NOT without_extra AND bytes_so_far <= :max_bytes THEN extra END AS extra,
       without_data, without_extra, bytes, bytes_so_far <= :max_bytes AS fits
FROM placed
WHERE bytes_so_far - bytes <= :max_bytes
ORDER BY occurred_at DESC, event_id DESC;
