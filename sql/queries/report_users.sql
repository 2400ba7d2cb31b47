-- Who does most. A user of several sources has null as source.

-- name: top_users_exact
-- Users by events or revenue, out of the events.
SELECT user_id,
       CASE WHEN min(source) = max(source) THEN min(source) END AS source,
       count(*) AS events,
       count(*) FILTER (WHERE funnel_stage = 'top') AS top,
       count(*) FILTER (WHERE funnel_stage = 'bottom') AS bottom,
       count(revenue) AS purchases,
       coalesce(sum(revenue), 0) AS revenue,
       min(occurred_at) AS first_at,
       max(occurred_at) AS last_at
FROM events
WHERE {{event_filters}}
GROUP BY user_id
ORDER BY CASE WHEN :by = 'revenue' THEN coalesce(sum(revenue), 0) ELSE count(*) END DESC,
         count(*) DESC, user_id
LIMIT :limit;

-- name: user_days
-- The stored days of a range: which are sealed, and have their users in day_users; and which of
-- those have late events that are not in day_users yet.
SELECT d.day, d.sealed_at IS NOT NULL AS sealed,
       EXISTS (SELECT FROM rollup_deltas AS r
               WHERE r.hour >= d.day::timestamp AT TIME ZONE 'UTC'
                 AND r.hour < (d.day + 1)::timestamp AT TIME ZONE 'UTC') AS pending
FROM event_days AS d
WHERE :has_days
  AND (:day_a::date IS NULL OR d.day >= :day_a)
  AND (:day_b::date IS NULL OR d.day < :day_b)
ORDER BY d.day;

-- name: most_active
-- The users with most events.
SELECT user_id
FROM ({{user_sums}}) AS of_day
GROUP BY user_id
ORDER BY sum(events) DESC, user_id
LIMIT :limit;

-- name: best_buyers
-- The users with most revenue, and those who have as much as the last of them.
SELECT user_id, sum(revenue) AS revenue
FROM ({{user_sums}}) AS of_day
WHERE purchases > 0
GROUP BY user_id
ORDER BY sum(revenue) DESC
FETCH FIRST :limit ROWS WITH TIES;

-- name: top_users
-- What some users (null: all) did.
SELECT user_id,
       CASE WHEN min(source) = max(source) THEN min(source) END AS source,
       sum(events)::bigint AS events,
       sum(top_events)::bigint AS top,
       sum(bottom_events)::bigint AS bottom,
       sum(purchases)::bigint AS purchases,
       sum(revenue) AS revenue,
       min(first_at) AS first_at,
       max(last_at) AS last_at
FROM ({{user_sums}}) AS of_day
WHERE :user_ids::text[] IS NULL OR user_id = ANY (:user_ids)
GROUP BY user_id
ORDER BY CASE WHEN :by = 'revenue' THEN sum(revenue) ELSE sum(events) END DESC,
         sum(events) DESC, user_id
LIMIT :limit;
