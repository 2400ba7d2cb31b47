-- What happens now.

-- name: live_sums
-- Sums by source and by minute, counted from the start of the range.
SELECT source,
       floor(extract(epoch FROM occurred_at - :from_time::timestamptz) / 60)::int AS minute,
       count(*) AS events,
       count(revenue) AS purchases,
       coalesce(sum(revenue), 0) AS revenue,
       max(occurred_at) AS last_at
FROM events
WHERE {{event_filters}}
GROUP BY 1, 2;
