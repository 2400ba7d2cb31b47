-- Totals of a range.

-- name: overview_by_type
-- Sums by source, stage and type.
SELECT source, funnel_stage, event_type,
       sum(events)::bigint AS events,
       sum(purchases)::bigint AS purchases,
       sum(revenue) AS revenue,
       min(first_at) AS first_at,
       max(last_at) AS last_at
FROM ({{sums}}) AS sums
GROUP BY source, funnel_stage, event_type
ORDER BY source, funnel_stage DESC, 4 DESC, event_type;
