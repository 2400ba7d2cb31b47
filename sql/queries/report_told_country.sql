-- Events that tell no country, and whose country it is.

-- name: told_countries
-- Events without a country by what is known of their users: their latest event with a country tells
-- the one that is asked for ('same', with the users), another one ('other'), or there is none ('nowhere').
WITH without AS (
    SELECT source, user_id, count(*) AS events, count(revenue) AS purchases, sum(revenue) AS revenue
    FROM events
    WHERE country IS NULL AND {{range_filters}} AND {{type_filters}} AND {{campaign_filter}}
      AND {{property_filters}}
    GROUP BY source, user_id
), latest AS (
    -- the greatest of times with their countries: a hash of users, and no sort of all their events
    SELECT source, user_id,
           substr(max((lpad((extract(epoch FROM occurred_at) * 1000000)::bigint::text, 20, '0') || country)
                      COLLATE "C"), 21) AS country
    FROM events
    WHERE country IS NOT NULL AND (source, user_id) IN (SELECT source, user_id FROM without)
    GROUP BY source, user_id
)
SELECT CASE WHEN l.country = :country THEN 'same' WHEN l.country IS NULL THEN 'nowhere' ELSE 'other' END AS told,
       sum(w.events)::bigint AS events,
       sum(w.purchases)::bigint AS purchases,
       coalesce(sum(w.revenue), 0) AS revenue,
       array_agg(w.source || ' ' || w.user_id) FILTER (WHERE l.country = :country) AS users
FROM without AS w
LEFT JOIN latest AS l ON l.source = w.source AND l.user_id = w.user_id
GROUP BY 1;

-- name: totals
SELECT coalesce(sum(events), 0)::bigint AS events,
       coalesce(sum(purchases), 0)::bigint AS purchases,
       coalesce(sum(revenue), 0) AS revenue
FROM ({{sums}}) AS sums;

-- name: totals_without_country
SELECT coalesce(sum(events), 0)::bigint AS events,
       coalesce(sum(purchases), 0)::bigint AS purchases,
       coalesce(sum(revenue), 0) AS revenue
FROM ({{sums}}) AS sums
WHERE country IS NULL;

-- name: stages_of_all
SELECT DISTINCT source, funnel_stage
FROM ({{sums}}) AS sums;

-- name: stages_with_country
SELECT DISTINCT source, funnel_stage
FROM ({{sums}}) AS sums
WHERE country IS NOT NULL;
