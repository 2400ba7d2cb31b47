-- Who acts.

-- name: demographics
-- Events and revenue by source and demographic group.
SELECT source, dimension, value, sum(events)::bigint AS events, sum(revenue) AS revenue
FROM ({{groups}}) AS of_group
GROUP BY source, dimension, value;

-- name: demographics_events
-- What the groups of events are worked out from, for the parts of hours at both ends.
SELECT source, funnel_stage AS "funnelStage", event_type AS "eventType", data, revenue
FROM events
WHERE {{event_edges}} AND {{type_filters}} AND {{campaign_filter}} AND {{country_filter}};

-- name: demographics_events_exact
-- The groups of the events of the whole range.
SELECT source, dimension, value, count(*) AS events, coalesce(sum(revenue), 0) AS revenue
FROM events
CROSS JOIN LATERAL (:groups) AS of_event (dimension, value)
WHERE {{event_filters}} AND value IS NOT NULL
GROUP BY source, dimension, value;

-- name: demographics_events_told
-- The same for events that only their users tell the country of.
SELECT source, funnel_stage AS "funnelStage", event_type AS "eventType", data, revenue
FROM events
WHERE {{range_filters}} AND {{type_filters}} AND {{campaign_filter}} AND {{told_user}};
