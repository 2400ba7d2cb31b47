-- Where events come from.

-- name: countries
-- Sums by country (null: the event has none).
SELECT country,
       sum(events)::bigint AS events,
       coalesce(sum(events) FILTER (WHERE funnel_stage = 'top'), 0)::bigint AS top,
       coalesce(sum(events) FILTER (WHERE funnel_stage = 'bottom'), 0)::bigint AS bottom,
       sum(purchases)::bigint AS purchases,
       sum(revenue) AS revenue
FROM ({{sums}}) AS sums
GROUP BY country
ORDER BY 2 DESC, 1;
