-- Fragments that the reports' statements include as {{name}}.
--
-- Every statement is planned with its actual parameters: a condition on a parameter that is null
-- folds to true and costs nothing, an arm whose flag is false is dropped from the plan, and
-- partitions outside the range are never looked at.
--
-- A range is read in pieces that do not overlap: whole UTC days out of live_day_*, whole hours out
-- of live_hour_*, what is left at both ends out of events. functions/analytics_query/query/time_range.py cuts.

-- name: event_filters
-- Which rows of `events` a question is about.
{{range_filters}}
AND {{type_filters}}
AND {{campaign_filter}}
AND ({{country_filter}} OR {{told_user}})
AND {{property_filters}}

-- name: range_filters
(:from_day::date IS NULL OR day >= :from_day)
AND (:to_day::date IS NULL OR day <= :to_day)
AND (:from_time::timestamptz IS NULL OR occurred_at >= :from_time)
AND (:to_time::timestamptz IS NULL OR occurred_at < :to_time)

-- name: type_filters
(:source::text IS NULL OR source = :source)
AND (:funnel_stage::text IS NULL OR funnel_stage = :funnel_stage)
AND (:event_type::text IS NULL OR event_type = :event_type)

-- name: campaign_filter
(:campaign_id::text IS NULL OR campaign_id = :campaign_id)

-- name: country_filter
(:country::text IS NULL OR country = :country)

-- name: property_filters
-- Conditions on any property, put in as an expression; true where there are none. No rollup has them.
:property_filters

-- name: told_user
-- Events that tell no country, of users whose other events tell the one that is asked for.
:told AND country IS NULL AND source || ' ' || user_id = ANY (:told_users::text[])

-- name: told_country
-- The country of an event, or of its user.
CASE WHEN :told THEN coalesce(country, :country) ELSE country END

-- name: whole_days
:has_days
AND (:day_a::date IS NULL OR day >= :day_a)
AND (:day_b::date IS NULL OR day < :day_b)

-- name: whole_hours
:has_hours
AND (hour >= :hour_a1 AND hour < :hour_b1 OR hour >= :hour_a2 AND hour < :hour_b2)

-- name: event_edges
-- The parts of hours at both ends of a range.
:has_edges
AND day IN ((:edge_a1::timestamptz AT TIME ZONE 'UTC')::date,
            (:edge_a2::timestamptz AT TIME ZONE 'UTC')::date)
AND (occurred_at >= :edge_a1 AND occurred_at < :edge_b1
     OR occurred_at >= :edge_a2 AND occurred_at < :edge_b2)

-- name: event_sums
-- An event as sums of one.
SELECT occurred_at AS at, source, funnel_stage, event_type, {{told_country}} AS country, campaign_id,
       1 AS events, (revenue IS NOT NULL)::int AS purchases, coalesce(revenue, 0) AS revenue,
       occurred_at AS first_at, occurred_at AS last_at
FROM events

-- name: sums_events
-- The sums of a question out of the events alone.
{{event_sums}}
WHERE {{event_filters}}

-- name: sums_campaign_events
-- The same for a question about campaigns; events of no campaign are not in it.
{{event_sums}}
WHERE {{event_filters}} AND campaign_id IS NOT NULL

-- name: sums_edges
{{event_sums}}
WHERE {{event_edges}} AND {{type_filters}} AND {{campaign_filter}} AND {{country_filter}}

-- name: sums_told
-- What is not in the rollups of a country, because only the users tell it; of the whole range.
{{event_sums}}
WHERE {{range_filters}} AND {{type_filters}} AND {{campaign_filter}} AND {{told_user}}

-- name: sums_types
-- The sums of a question that is about neither countries nor campaigns.
SELECT day::timestamp AT TIME ZONE 'UTC' AS at, source, funnel_stage, event_type,
       NULL::text AS country, NULL::text AS campaign_id,
       events, purchases, revenue, first_at, last_at
FROM live_day_types
WHERE {{whole_days}} AND {{type_filters}}
UNION ALL
SELECT hour, source, funnel_stage, event_type, NULL, NULL,
       events, purchases, revenue, first_at, last_at
FROM live_hour_types
WHERE {{whole_hours}} AND {{type_filters}}
UNION ALL
{{sums_edges}}

-- name: sums_countries
-- The sums of a question about countries.
SELECT day::timestamp AT TIME ZONE 'UTC' AS at, source, funnel_stage, event_type,
       country, NULL::text AS campaign_id,
       events, purchases, revenue, first_at, last_at
FROM live_day_countries
WHERE {{whole_days}} AND {{type_filters}} AND {{country_filter}}
UNION ALL
SELECT hour, source, funnel_stage, event_type, country, NULL,
       events, purchases, revenue, first_at, last_at
FROM live_hour_countries
WHERE {{whole_hours}} AND {{type_filters}} AND {{country_filter}}
UNION ALL
{{sums_edges}}
UNION ALL
{{sums_told}}

-- name: sums_campaigns
-- The sums of a question about campaigns; events of no campaign are not in it.
SELECT day::timestamp AT TIME ZONE 'UTC' AS at, source, funnel_stage, event_type,
       NULL::text AS country, campaign_id,
       events, purchases, revenue, first_at, last_at
FROM live_day_campaigns
WHERE {{whole_days}} AND {{type_filters}} AND {{campaign_filter}}
UNION ALL
SELECT hour, source, funnel_stage, event_type, NULL, campaign_id,
       events, purchases, revenue, first_at, last_at
FROM live_hour_campaigns
WHERE {{whole_hours}} AND {{type_filters}} AND {{campaign_filter}}
UNION ALL
{{sums_edges}} AND campaign_id IS NOT NULL

-- name: sums_campaign_countries
-- The sums of a question about both; events of no campaign are not in it.
SELECT day::timestamp AT TIME ZONE 'UTC' AS at, source, funnel_stage, event_type,
       country, campaign_id,
       events, purchases, revenue, first_at, last_at
FROM live_day_campaign_countries
WHERE {{whole_days}} AND {{type_filters}} AND {{campaign_filter}} AND {{country_filter}}
UNION ALL
SELECT hour, source, funnel_stage, event_type, country, campaign_id,
       events, purchases, revenue, first_at, last_at
FROM live_hour_campaign_countries
WHERE {{whole_hours}} AND {{type_filters}} AND {{campaign_filter}} AND {{country_filter}}
UNION ALL
{{sums_edges}} AND campaign_id IS NOT NULL
UNION ALL
{{sums_told}} AND campaign_id IS NOT NULL

-- name: groups_of_all
-- Events and revenue of demographic groups of a question that is not about one country, but for the
-- parts of hours at both ends.
SELECT source, dimension, value, events, revenue
FROM live_day_groups
WHERE {{whole_days}} AND {{type_filters}}
UNION ALL
SELECT source, dimension, value, events, revenue
FROM live_hour_demographics
WHERE {{whole_hours}} AND {{type_filters}}

-- name: groups_of_all_types
-- The same of a question about all stages and types.
SELECT source, dimension, value, events, revenue
FROM live_day_group_totals
WHERE {{whole_days}} AND (:source::text IS NULL OR source = :source)
UNION ALL
SELECT source, dimension, value, events, revenue
FROM live_hour_demographics
WHERE {{whole_hours}} AND {{type_filters}}

-- name: groups_of_country
-- The same of a question about one country.
SELECT source, dimension, value, events, revenue
FROM live_day_demographics
WHERE {{whole_days}} AND {{type_filters}} AND {{country_filter}}
UNION ALL
SELECT source, dimension, value, events, revenue
FROM live_hour_demographics
WHERE {{whole_hours}} AND {{type_filters}} AND {{country_filter}}

-- name: groups_of_campaign
-- The same of campaigns.
SELECT source, dimension, value, events, revenue
FROM live_day_campaign_demographics
WHERE {{whole_days}} AND {{type_filters}} AND {{campaign_filter}}
UNION ALL
SELECT source, dimension, value, events, revenue
FROM live_hour_campaign_demographics
WHERE {{whole_hours}} AND {{type_filters}} AND {{campaign_filter}}

-- name: event_columns
event_id, occurred_at, received_at, source, funnel_stage, event_type, user_id, country,
campaign_id, revenue, data, extra

-- name: event_search
-- What only the search of raw events can ask for.
(:user_id::text IS NULL OR user_id = :user_id)
AND (:before_time::timestamptz IS NULL
     OR (occurred_at, event_id) < (:before_time::timestamptz, :before_id::text))

-- name: found_events
-- Events in order up to a limit; days that are sealed have an index in this order.
SELECT {{event_columns}}
FROM events
WHERE {{event_filters}} AND {{event_search}}
ORDER BY occurred_at DESC, event_id DESC
LIMIT :limit

-- name: found_events_containing
-- The same where only few events hold what is looked for: they are found first and ordered then.
SELECT {{event_columns}}
FROM (
    SELECT *
    FROM events
    WHERE {{event_filters}} AND {{event_search}}
      AND (:contained::jsonb IS NULL OR data @> :contained)
    OFFSET 0
) AS matching
ORDER BY occurred_at DESC, event_id DESC
LIMIT :limit

-- name: user_sums
-- What users did: sealed days out of day_users; other days and the hours at both ends out of events.
SELECT user_id, source, events, top_events, bottom_events, purchases, revenue, first_at, last_at,
       CASE WHEN events >= 3 THEN events ELSE 0 END AS listed_events
FROM day_users
WHERE day = ANY (:sealed_days::date[]) AND (:source::text IS NULL OR source = :source)
UNION ALL
SELECT user_id, source, 1, (funnel_stage = 'top')::int, (funnel_stage = 'bottom')::int,
       (revenue IS NOT NULL)::int, coalesce(revenue, 0), occurred_at, occurred_at, 1
FROM ({{loose_user_events}}) AS loose

-- name: loose_user_events
-- The events of days that are not in day_users, and of the hours at both ends.
SELECT user_id, source, funnel_stage, revenue, occurred_at
FROM events
WHERE day = ANY (:open_days::date[]) AND (:source::text IS NULL OR source = :source)
UNION ALL
SELECT user_id, source, funnel_stage, revenue, occurred_at
FROM events
WHERE :has_rest
  AND day IN ((:rest_a1::timestamptz AT TIME ZONE 'UTC')::date,
              (:rest_a2::timestamptz AT TIME ZONE 'UTC')::date)
  AND (occurred_at >= :rest_a1 AND occurred_at < :rest_b1
       OR occurred_at >= :rest_a2 AND occurred_at < :rest_b2)
  AND (:source::text IS NULL OR source = :source)

-- name: users_not_in_sketches
SELECT country, NULL, user_id
FROM live_pending_users
WHERE {{whole_days}} AND {{type_filters}} AND {{country_filter}}
UNION ALL
SELECT country, NULL, user_id
FROM live_pending_users
WHERE {{whole_hours}} AND {{type_filters}} AND {{country_filter}}
UNION ALL
SELECT country, NULL, user_id
FROM events
WHERE {{event_edges}} AND {{type_filters}} AND {{country_filter}}
UNION ALL
SELECT {{told_country}}, NULL, user_id
FROM events
WHERE {{range_filters}} AND {{type_filters}} AND {{told_user}}

-- name: sampled_user
-- The users of the sample; sealed days have an index of their events.
in_user_sample(user_id)
