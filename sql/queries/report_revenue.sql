-- Money.

-- name: revenue
-- Purchases and revenue by source, campaign, country or time (null: the event has none).
SELECT CASE :split
           WHEN 'source' THEN source
           WHEN 'campaignId' THEN campaign_id
           WHEN 'country' THEN country
           WHEN 'all' THEN 'all'
       END AS key,
       CASE WHEN :interval::text IS NOT NULL
            THEN date_trunc(:interval::text, at, :zone) END AS time,
       sum(purchases)::bigint AS purchases,
       sum(revenue) AS revenue
FROM ({{sums}}) AS sums
WHERE purchases > 0
GROUP BY 1, 2
ORDER BY 4 DESC, 1;
