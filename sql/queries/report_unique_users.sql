-- How many different users.

-- name: unique_users_exact
-- From the events themselves.
SELECT count(DISTINCT user_id) AS users
FROM events
WHERE {{event_filters}};

-- name: unique_users_by_country_exact
-- The same by country (null: the event has none).
SELECT country, count(DISTINCT user_id) AS users
FROM events
WHERE {{event_filters}}
GROUP BY country;

-- name: users_of_range
-- Sketches of the users of a range, and the users who are in none of these sketches: those of events
-- that are not folded into rollups yet, and of the parts of hours at both ends.
SELECT hll, NULL::text AS user_id
FROM rollup_day_users
WHERE {{whole_days}} AND event_type = coalesce(:event_type::text, '')
  AND (:source::text IS NULL OR source = :source)
  AND (:funnel_stage::text IS NULL OR funnel_stage = :funnel_stage)
UNION ALL
SELECT hll, NULL
FROM rollup_hour_users
WHERE {{whole_hours}} AND event_type = coalesce(:event_type::text, '')
  AND (:source::text IS NULL OR source = :source)
  AND (:funnel_stage::text IS NULL OR funnel_stage = :funnel_stage)
UNION ALL
SELECT NULL, user_id
FROM live_pending_users
WHERE {{whole_days}} AND {{type_filters}}
UNION ALL
SELECT NULL, user_id
FROM live_pending_users
WHERE {{whole_hours}} AND {{type_filters}}
UNION ALL
SELECT NULL, user_id
FROM events
WHERE {{event_edges}} AND {{type_filters}};
