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

-- name: perhaps_most_active
-- The users who can be among those with most events, out of the index of users with three or more on
-- a day: a user who is missing there had at most two on each of the days and sources (`slots`).
-- No user at all, where this cannot tell.
WITH of_user AS MATERIALIZED (
    SELECT user_id, sum(events) AS events, sum(days) AS days
    FROM (
        SELECT user_id, events, 1 AS days
        FROM day_users
        WHERE day = ANY (:sealed_days::date[]) AND events >= 3
          AND (:source::text IS NULL OR source = :source)
        UNION ALL
        SELECT user_id, 1, 0
        FROM ({{loose_user_events}}) AS loose
    ) AS of_day
    GROUP BY user_id
),
last_one AS (
    SELECT events FROM of_user ORDER BY events DESC OFFSET :limit - 1 LIMIT 1
)
SELECT of_user.user_id
FROM of_user, last_one
WHERE last_one.events > 2 * :slots
  AND of_user.events + 2 * (:slots - of_user.days) >= last_one.events;

-- name: best_buyers
-- The users who can be among those with most revenue. Sums in floating point are off by far less
-- than the margin; their exact ones are computed for the users that are found here.
WITH of_user AS MATERIALIZED (
    SELECT user_id, sum(revenue) AS revenue
    FROM (
        SELECT user_id, revenue::float8
        FROM day_users
        WHERE day = ANY (:sealed_days::date[]) AND purchases > 0
          AND (:source::text IS NULL OR source = :source)
        UNION ALL
        SELECT user_id, revenue::float8
        FROM ({{loose_user_events}}) AS loose
        WHERE revenue IS NOT NULL
    ) AS of_day
    GROUP BY user_id
),
last_one AS (
    SELECT revenue FROM of_user ORDER BY revenue DESC OFFSET :limit - 1 LIMIT 1
)
SELECT of_user.user_id
FROM of_user, last_one
WHERE last_one.revenue > 0.01
  AND of_user.revenue >= last_one.revenue * 0.999999;

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
