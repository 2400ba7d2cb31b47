-- How many different users.

-- name: unique_users_exact
-- From the events themselves.
SELECT count(DISTINCT user_id) AS users
FROM events
WHERE {{event_filters}};

-- name: unique_users_sampled
-- Of every 32nd user.
SELECT count(DISTINCT user_id) AS users
FROM events
WHERE {{event_filters}} AND {{sampled_user}};

-- name: number_of_events
SELECT coalesce(sum(events), 0)::bigint AS events
FROM ({{sums}}) AS sums;

-- name: unique_users_by_country_exact
-- The same by country (null: the event has none).
SELECT {{told_country}} AS country, count(DISTINCT user_id) AS users
FROM events
WHERE {{event_filters}}
GROUP BY 1;

-- name: users_of_range
-- Sketches of the users of a range, and the users who are in none of these sketches: those of events
-- that are not compacted into rollups yet, and of the parts of hours at both ends.
SELECT NULL::text AS country, hll, NULL::text AS user_id
FROM rollup_day_users
WHERE {{whole_days}} AND event_type = coalesce(:event_type::text, '')
  AND (:source::text IS NULL OR source = :source)
  AND (:funnel_stage::text IS NULL OR funnel_stage = :funnel_stage)
UNION ALL
SELECT NULL, hll, NULL
FROM rollup_hour_users
WHERE {{whole_hours}} AND event_type = coalesce(:event_type::text, '')
  AND (:source::text IS NULL OR source = :source)
  AND (:funnel_stage::text IS NULL OR funnel_stage = :funnel_stage)
UNION ALL
{{users_not_in_sketches}};

-- name: users_of_countries
-- The same by country (null: the event has none).
SELECT nullif(country, '') AS country, hll, NULL::text AS user_id
FROM rollup_day_country_users
WHERE {{whole_days}}
  AND (:source::text IS NULL OR source = :source)
  AND {{country_filter}}
UNION ALL
SELECT nullif(country, ''), hll, NULL
FROM rollup_hour_country_users
WHERE {{whole_hours}}
  AND (:source::text IS NULL OR source = :source)
  AND {{country_filter}}
UNION ALL
{{users_not_in_sketches}};

-- name: buyers_exact
-- Who bought: users with an event that has an amount.
SELECT count(DISTINCT user_id) AS users
FROM events
WHERE {{event_filters}} AND revenue IS NOT NULL;

-- name: buyers_sampled
-- Of every 32nd user.
SELECT count(DISTINCT user_id) AS users
FROM events
WHERE {{event_filters}} AND revenue IS NOT NULL AND {{sampled_user}};

-- name: buyers_of_range
-- Sketches of the users of the types that purchases have, and the users who are in none of them.
SELECT hll, NULL::text AS user_id
FROM rollup_day_users
WHERE {{whole_days}} AND event_type = ANY (:purchase_types::text[])
  AND (:source::text IS NULL OR source = :source)
  AND (:funnel_stage::text IS NULL OR funnel_stage = :funnel_stage)
UNION ALL
SELECT hll, NULL
FROM rollup_hour_users
WHERE {{whole_hours}} AND event_type = ANY (:purchase_types::text[])
  AND (:source::text IS NULL OR source = :source)
  AND (:funnel_stage::text IS NULL OR funnel_stage = :funnel_stage)
UNION ALL
SELECT NULL, user_id
FROM live_pending_users
WHERE {{whole_days}} AND event_type = ANY (:purchase_types::text[]) AND {{type_filters}}
UNION ALL
SELECT NULL, user_id
FROM live_pending_users
WHERE {{whole_hours}} AND event_type = ANY (:purchase_types::text[]) AND {{type_filters}}
UNION ALL
SELECT NULL, user_id
FROM events
WHERE {{event_edges}} AND revenue IS NOT NULL AND {{type_filters}};
