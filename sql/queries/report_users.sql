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

-- name: top_users
-- The same out of what users did on whole days, and the events at both ends.
SELECT user_id,
       CASE WHEN min(source) = max(source) THEN min(source) END AS source,
       sum(events)::bigint AS events,
       sum(top_events)::bigint AS top,
       sum(bottom_events)::bigint AS bottom,
       sum(purchases)::bigint AS purchases,
       sum(revenue) AS revenue,
       min(first_at) AS first_at,
       max(last_at) AS last_at
FROM (
    SELECT user_id, source, events, top_events, bottom_events, purchases, revenue, first_at, last_at
    FROM live_day_users(coalesce(:day_a::date, '-infinity'), coalesce(:day_b::date, 'infinity'))
    WHERE :has_days AND (:source::text IS NULL OR source = :source)
    UNION ALL
    SELECT user_id, source, 1, (funnel_stage = 'top')::int, (funnel_stage = 'bottom')::int,
           (revenue IS NOT NULL)::int, coalesce(revenue, 0), occurred_at, occurred_at
    FROM events
    WHERE :has_rest
      AND day IN ((:rest_a1::timestamptz AT TIME ZONE 'UTC')::date,
                  (:rest_a2::timestamptz AT TIME ZONE 'UTC')::date)
      AND (occurred_at >= :rest_a1 AND occurred_at < :rest_b1
           OR occurred_at >= :rest_a2 AND occurred_at < :rest_b2)
      AND (:source::text IS NULL OR source = :source)
) AS of_day
GROUP BY user_id
ORDER BY CASE WHEN :by = 'revenue' THEN sum(revenue) ELSE sum(events) END DESC,
         sum(events) DESC, user_id
LIMIT :limit;
