-- Who does most. A user of several sources has null as source.

-- name: top_users_exact
-- Users, or some of them, by events or revenue, out of the events.
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
  AND (:user_ids::text[] IS NULL OR user_id = ANY (:user_ids))
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

-- name: listed_amounts
-- The lists of sealed days: who may lead, and by how much.
SELECT day, source, hashes, amounts
FROM leading_users
WHERE measure = :by AND day = ANY (:sealed_days::date[])
  AND (:source::text IS NULL OR source = :source);

-- name: loose_amounts
-- The same of the events that are in no list: one entry for each.
SELECT string_agg(int8send(user_hash(user_id)), '') AS hashes,
       string_agg(float8send(CASE WHEN :by = 'revenue' THEN revenue::float8 ELSE 1 END), '') AS amounts
FROM ({{loose_user_events}}) AS loose
WHERE :by <> 'revenue' OR revenue IS NOT NULL;

-- name: names_of_listed
-- The users at some places of the lists.
SELECT l.user_ids[p.place] AS user_id
FROM unnest(:days::date[], :sources::text[], :places::int[]) AS p (day, source, place)
JOIN leading_users AS l ON l.measure = :by AND l.day = p.day AND l.source = p.source;

-- name: names_of_loose
SELECT DISTINCT user_id
FROM ({{loose_user_events}}) AS loose
WHERE user_hash(user_id) = ANY (:hashes::bigint[]);

-- name: top_users
-- What some users (null: all) did. `listed` is what lists and loose events have of them.
SELECT user_id,
       CASE WHEN min(source) = max(source) THEN min(source) END AS source,
       sum(events)::bigint AS events,
       sum(top_events)::bigint AS top,
       sum(bottom_events)::bigint AS bottom,
       sum(purchases)::bigint AS purchases,
       sum(revenue) AS revenue,
       min(first_at) AS first_at,
       max(last_at) AS last_at,
       CASE WHEN :by = 'revenue' THEN sum(revenue) ELSE sum(listed_events) END AS listed
FROM ({{user_sums}}) AS of_day
WHERE :user_ids::text[] IS NULL OR user_id = ANY (:user_ids)
GROUP BY user_id
ORDER BY CASE WHEN :by = 'revenue' THEN sum(revenue) ELSE sum(events) END DESC,
         sum(events) DESC, user_id
LIMIT :limit;
