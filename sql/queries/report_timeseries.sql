-- Events and revenue over time.

-- name: timeseries
-- Sums by interval (minute to year; of a time zone) and by what the series are split by.
SELECT date_trunc(:interval, at, :zone) AS time,
       CASE :split
           WHEN 'none' THEN 'all'
           WHEN 'source' THEN source
           WHEN 'funnelStage' THEN funnel_stage
           WHEN 'eventType' THEN event_type
           WHEN 'country' THEN country
           WHEN 'campaignId' THEN campaign_id
       END AS key,
       sum(events)::bigint AS events,
       sum(revenue) AS revenue
FROM ({{sums}}) AS sums
GROUP BY 1, 2
ORDER BY 1;

-- name: timeseries_span
-- The first and the last moment that has an event.
SELECT min(first_at) AS first_at, max(last_at) AS last_at
FROM ({{sums}}) AS sums;
