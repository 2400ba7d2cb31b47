-- Fragments that the reports' statements include as {{name}}.
-- Every statement is planned with its actual parameters: a condition on a parameter that is null
-- folds to true and costs nothing, and partitions outside the range are never looked at.

-- name: event_filters
-- Which rows of `events` a question is about.
(:from_day::date IS NULL OR day >= :from_day)
AND (:to_day::date IS NULL OR day <= :to_day)
AND (:from_time::timestamptz IS NULL OR occurred_at >= :from_time)
AND (:to_time::timestamptz IS NULL OR occurred_at < :to_time)
AND (:source::text IS NULL OR source = :source)
AND (:funnel_stage::text IS NULL OR funnel_stage = :funnel_stage)
AND (:event_type::text IS NULL OR event_type = :event_type)
AND (:campaign_id::text IS NULL OR campaign_id = :campaign_id)
AND (:country::text IS NULL OR country = :country)

-- name: sums_events
-- The events of a question, each as sums of one.
SELECT occurred_at AS at, source, funnel_stage, event_type, country, campaign_id,
       1 AS events, (revenue IS NOT NULL)::int AS purchases, coalesce(revenue, 0) AS revenue,
       occurred_at AS first_at, occurred_at AS last_at
FROM events
WHERE {{event_filters}}
