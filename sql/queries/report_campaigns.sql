-- What campaigns bring.

-- name: campaigns
-- Sums by campaign.
SELECT campaign_id,
       sum(events)::bigint AS events,
       coalesce(sum(events) FILTER (WHERE event_type LIKE '%%.click'), 0)::bigint AS clicks,
       sum(purchases)::bigint AS purchases,
       sum(revenue) AS revenue,
       min(first_at) AS first_at,
       max(last_at) AS last_at
FROM ({{sums}}) AS sums
GROUP BY campaign_id
ORDER BY 2 DESC, 1;
