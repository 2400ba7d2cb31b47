-- Funnels of chosen steps.

-- name: steps
-- The events of a range that are one of the steps, by person and in order, each with the steps that
-- it is as bits, and the value that people are split by.
SELECT user_id, occurred_at,
       CASE :split
           WHEN 'source' THEN source
           WHEN 'campaignId' THEN campaign_id
           WHEN 'country' THEN {{told_country}}
       END AS key,
       steps
FROM (
    SELECT e.user_id, e.occurred_at, e.source, e.campaign_id, e.country, step.steps
    FROM events AS e
    CROSS JOIN LATERAL (
        SELECT sum(1 << (place - 1)::int)::int AS steps
        FROM unnest(:step_sources::text[], :step_stages::text[], :step_types::text[],
                    :step_campaigns::text[], :step_countries::text[], :step_contained::jsonb[])
             WITH ORDINALITY AS s (of_source, of_stage, of_type, of_campaign, of_country, contained, place)
        WHERE (of_source IS NULL OR source = of_source)
          AND (of_stage IS NULL OR funnel_stage = of_stage)
          AND (of_type IS NULL OR event_type = of_type)
          AND (of_campaign IS NULL OR campaign_id = of_campaign)
          AND (of_country IS NULL OR country = of_country)
          AND :step_contains
          AND :step_filters
    ) AS step
    WHERE {{event_filters}}
      AND (:types::text[] IS NULL OR event_type = ANY (:types))
      AND (NOT :sampled OR {{sampled_user}})
      AND step.steps IS NOT NULL
) AS found
ORDER BY user_id, occurred_at, key;
