-- From the top of the funnel to its bottom.

-- name: funnel
-- Events of both stages by source, campaign or country (null: the event has none).
SELECT CASE :split
           WHEN 'source' THEN source
           WHEN 'campaignId' THEN campaign_id
           WHEN 'country' THEN country
       END AS key,
       coalesce(sum(events) FILTER (WHERE funnel_stage = 'top'), 0)::bigint AS top,
       coalesce(sum(events) FILTER (WHERE funnel_stage = 'bottom'), 0)::bigint AS bottom
FROM ({{sums}}) AS sums
GROUP BY 1
ORDER BY 2 DESC, 3 DESC, 1;
