-- How many different users.

-- name: unique_users_exact
-- From the events themselves.
SELECT count(DISTINCT user_id) AS users
FROM events
WHERE {{event_filters}};

-- name: unique_users_by_country_exact
-- The same by country (null: the event has none).
SELECT country, count(DISTINCT user_id) AS users
FROM events
WHERE {{event_filters}}
GROUP BY country;
