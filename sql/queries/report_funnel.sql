-- From the top of the funnel to its bottom.

-- name: funnel
-- Events of both stages by source, campaign or country (null: the event has none).
SELECT CASE :split
           WHEN 'source' THEN source
           WHEN 'campaignId' THEN campaign_id
           WHEN 'country' THEN country
       END AS key,
       coalesce(sum(events) FILTER (WHERE funnel_stage = 'top'), 0)::bigint AS top,
       coalesce(sum(events) FILTER (WHERE funnel_stage = 'bottom'), 0)::bigint AS bottom,
       sum(purchases)::bigint AS purchases,
       sum(revenue) AS revenue
FROM ({{sums}}) AS sums
GROUP BY 1
ORDER BY 2 DESC, 3 DESC, 1;

-- name: users_by_stage_exact
-- Users seen at the top, at the bottom, and first at the top and later at the bottom.
SELECT count(first_top_at) AS top,
       count(last_bottom_at) AS bottom,
       count(*) FILTER (WHERE first_top_at < last_bottom_at) AS continued
FROM (
    SELECT min(occurred_at) FILTER (WHERE funnel_stage = 'top') AS first_top_at,
           max(occurred_at) FILTER (WHERE funnel_stage = 'bottom') AS last_bottom_at
    FROM events
    WHERE {{event_filters}}
    GROUP BY user_id
) AS of_user;

-- name: users_by_stage_sampled
-- The same of every 32nd user.
SELECT count(first_top_at) AS top,
       count(last_bottom_at) AS bottom,
       count(*) FILTER (WHERE first_top_at < last_bottom_at) AS continued
FROM (
    SELECT min(occurred_at) FILTER (WHERE funnel_stage = 'top') AS first_top_at,
           max(occurred_at) FILTER (WHERE funnel_stage = 'bottom') AS last_bottom_at
    FROM events
    WHERE {{event_filters}} AND {{sampled_user}}
    GROUP BY user_id
) AS of_user;

-- name: stages_of_range
-- Sketches of the users at both stages by day and hour, in order, and the users who are in none of
-- these sketches yet.
SELECT day::timestamp AT TIME ZONE 'UTC' AS at, funnel_stage, substr(theta, 1, :bytes) AS theta, NULL::text AS user_id
FROM rollup_day_users
WHERE {{whole_days}} AND theta IS NOT NULL
  AND (:source::text IS NULL OR source = :source)
UNION ALL
SELECT hour, funnel_stage, substr(theta, 1, :bytes), NULL
FROM rollup_hour_users
WHERE {{whole_hours}} AND theta IS NOT NULL
  AND (:source::text IS NULL OR source = :source)
UNION ALL
SELECT date_trunc('day', hour, 'UTC'), funnel_stage, NULL, user_id
FROM live_pending_users
WHERE {{whole_days}} AND {{type_filters}}
UNION ALL
SELECT hour, funnel_stage, NULL, user_id
FROM live_pending_users
WHERE {{whole_hours}} AND {{type_filters}}
UNION ALL
SELECT date_trunc('hour', occurred_at, 'UTC'), funnel_stage, NULL, user_id
FROM events
WHERE {{event_edges}} AND {{type_filters}}
ORDER BY 1;
