-- What people did before they bought.

-- name: attribution
-- Purchases, and the touches that they may be attributed to, by user (and source, by campaign) and in
-- order; a touch of the same moment as a purchase is before it. The filters choose purchases only.
WITH purchases AS MATERIALIZED (
    SELECT user_id, source, occurred_at, revenue
    FROM events
    WHERE {{event_filters}} AND revenue IS NOT NULL
), touches AS (
    SELECT user_id, source, campaign_id, occurred_at
    FROM events
    WHERE (:touched_from_day::date IS NULL OR day >= :touched_from_day)
      AND (:to_day::date IS NULL OR day <= :to_day)
      AND (:touched_from::timestamptz IS NULL OR occurred_at >= :touched_from)
      AND (:to_time::timestamptz IS NULL OR occurred_at < :to_time)
      AND (NOT :by_campaign
           OR campaign_id IS NOT NULL AND (:source::text IS NULL OR source = :source))
      AND revenue IS NULL
      AND user_id IN (SELECT user_id FROM purchases)
)
SELECT user_id, same_source, occurred_at, source, campaign_id, revenue
FROM (
    SELECT user_id, CASE WHEN :by_campaign THEN source END AS same_source, occurred_at,
           source, CASE WHEN :by_campaign THEN campaign_id END AS campaign_id,
           NULL::numeric AS revenue
    FROM touches
    UNION ALL
    SELECT user_id, CASE WHEN :by_campaign THEN source END, occurred_at, NULL, NULL, revenue
    FROM purchases
) AS found
ORDER BY user_id, same_source, occurred_at, revenue IS NOT NULL,
         source COLLATE "C", campaign_id COLLATE "C";
