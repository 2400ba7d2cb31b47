-- Who comes back.

-- name: retention
-- People by the interval (day, week, month; of a time zone) of their first event of a range and by
-- the intervals in which they were seen again, and how many keys there are beyond the limit.
WITH first AS (
    SELECT CASE :split
               WHEN 'none' THEN 'all'
               WHEN 'source' THEN source
               WHEN 'campaignId' THEN campaign_id
           END AS key,
           user_id,
           min(occurred_at) AS first_at
    FROM events
    WHERE {{event_filters}} AND (NOT :sampled OR {{sampled_user}})
    GROUP BY 1, 2
), cohorts AS (
    SELECT key, user_id, date_trunc(:interval, first_at, :zone) AS cohort
    FROM first
    WHERE key IS NOT NULL AND (:since::timestamptz IS NULL OR first_at >= :since)
), keys AS (
    SELECT key, count(*) OVER () AS number
    FROM cohorts
    GROUP BY key
    ORDER BY count(*) DESC, key
    LIMIT :limit
), seen AS (
    SELECT DISTINCT user_id, date_trunc(:interval, occurred_at, :zone) AS period
    FROM events
    WHERE (:since::timestamptz IS NULL OR occurred_at >= :since AND day >= :since_day)
      AND (:to_time::timestamptz IS NULL OR occurred_at < :to_time AND day <= :to_day)
      AND (NOT :sampled OR {{sampled_user}})
      AND (:any_event OR {{type_filters}} AND {{campaign_filter}} AND ({{country_filter}} OR {{told_user}})
           AND {{property_filters}})
)
SELECT key, cohort, period, count(*) AS users, max(number) AS keys
FROM cohorts
JOIN keys USING (key)
JOIN seen USING (user_id)
WHERE period >= cohort
GROUP BY key, cohort, period
ORDER BY key, cohort, period;
