-- What campaigns cost and bring.

-- name: economics
-- Clicks, purchases and revenue by source and campaign, or by source.
SELECT source, CASE WHEN :by = 'campaign' THEN campaign_id END AS campaign_id,
       coalesce(sum(events) FILTER (WHERE event_type LIKE '%%.click'), 0)::bigint AS clicks,
       sum(purchases)::bigint AS purchases,
       sum(revenue) AS revenue
FROM ({{sums}}) AS sums
GROUP BY 1, 2;

-- name: economics_spend
-- What was spent, and on which days something is known about it.
SELECT source, CASE WHEN :by = 'campaign' THEN campaign_id END AS campaign_id,
       sum(amount) AS spend, array_agg(DISTINCT day) AS days
FROM workspace.spend
WHERE (:first_day::date IS NULL OR day >= :first_day)
  AND (:end_day::date IS NULL OR day < :end_day)
  AND (:source::text IS NULL OR source = :source)
  AND (:campaign_id::text IS NULL OR campaign_id = :campaign_id)
GROUP BY 1, 2;
