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
        SELECT sum(1 << (s.place - 1)::int)::int AS steps
        FROM unnest(:step_sources::text[], :step_stages::text[], :step_types::text[],
                    :step_campaigns::text[], :step_countries::text[], :step_contained::jsonb[])
             WITH ORDINALITY AS s (source, stage, type, campaign, country, contained, place)
        WHERE (s.source IS NULL OR e.source = s.source)
          AND (s.stage IS NULL OR e.funnel_stage = s.stage)
          AND (s.type IS NULL OR e.event_type = s.type)
          AND (s.campaign IS NULL OR e.campaign_id = s.campaign)
          AND (s.country IS NULL OR e.country = s.country)
          AND (s.contained IS NULL OR e.data @> s.contained)
    ) AS step
    WHERE {{event_filters}}
      AND (:types::text[] IS NULL OR event_type = ANY (:types))
      AND (NOT :sampled OR {{sampled_user}})
      AND step.steps IS NOT NULL
) AS found
ORDER BY user_id, occurred_at, key;
