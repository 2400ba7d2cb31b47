-- Figures by the values of a property.

-- name: breakdown
-- Out of the events: those of each of the first values, of all other values, and of those that have none.
WITH pairs AS (
    SELECT left(:value, 200) AS value, user_id,
           count(*) AS events, count(revenue) AS purchases, coalesce(sum(revenue), 0) AS revenue
    FROM events
    WHERE {{event_filters}}
    GROUP BY 1, 2
), ranked AS (
    SELECT value,
           row_number() OVER (
               ORDER BY CASE :sort
                            WHEN 'events' THEN sum(events)
                            WHEN 'people' THEN count(*)
                            WHEN 'purchases' THEN sum(purchases)
                            WHEN 'revenue' THEN sum(revenue)
                        END DESC,
                        sum(events) DESC, value COLLATE "C"
           ) AS place
    FROM pairs
    WHERE value IS NOT NULL
    GROUP BY value
), placed AS (
    SELECT CASE WHEN place > :limit::bigint THEN :limit + 1 ELSE place END AS place, pairs.*
    FROM pairs
    LEFT JOIN ranked USING (value)
)
SELECT CASE WHEN place <= :limit THEN min(value) END AS value,
       place,
       count(DISTINCT value) AS number,
       sum(events)::bigint AS events,
       count(DISTINCT user_id) AS people,
       count(DISTINCT user_id) FILTER (WHERE purchases > 0) AS buyers,
       sum(purchases)::bigint AS purchases,
       sum(revenue) AS revenue
FROM placed
GROUP BY place
ORDER BY place NULLS LAST;

-- name: breakdown_of_sums
-- Events and money by a property that rollups have.
SELECT CASE :column
           WHEN 'source' THEN source
           WHEN 'funnel_stage' THEN funnel_stage
           WHEN 'event_type' THEN event_type
           WHEN 'country' THEN country
           WHEN 'campaign_id' THEN campaign_id
       END AS value,
       sum(events)::bigint AS events,
       sum(purchases)::bigint AS purchases,
       sum(revenue) AS revenue
FROM ({{sums}}) AS sums
GROUP BY 1;

-- name: breakdown_sums_total
SELECT coalesce(sum(events), 0)::bigint AS events,
       coalesce(sum(purchases), 0)::bigint AS purchases,
       coalesce(sum(revenue), 0) AS revenue
FROM ({{sums}}) AS sums;

-- name: breakdown_people
-- People and buyers among every 32nd user, by value: of each of the first ones, of all others, of none.
SELECT array_position(:values::text[], value) AS place,
       value IS NULL AS unknown,
       count(DISTINCT user_id) AS people,
       count(DISTINCT user_id) FILTER (WHERE revenue IS NOT NULL) AS buyers
FROM (
    SELECT :value AS value, user_id, revenue
    FROM events
    WHERE {{event_filters}} AND {{sampled_user}}
) AS sampled
GROUP BY 1, 2;
