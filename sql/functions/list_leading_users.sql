-- Makes the lists of a day's leading users out of day_users. A user who is in none had at most two events
-- of that source on that day (functions/analytics_query has the same number), or bought nothing.
CREATE OR REPLACE FUNCTION list_leading_users(listed date) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM leading_users WHERE day = listed;
    INSERT INTO leading_users (day, measure, source, hashes, amounts, user_ids)
    SELECT listed, u.measure, u.source,
           string_agg(int8send(u.hash), '' ORDER BY u.hash),
           string_agg(float8send(u.amount), '' ORDER BY u.hash),
           array_agg(u.user_id ORDER BY u.hash)
    FROM (
        SELECT 'events' AS measure, source, user_id, user_hash(user_id) AS hash, events::float8 AS amount
        FROM day_users
        WHERE day = listed AND events >= 3
        UNION ALL
        SELECT 'revenue', source, user_id, user_hash(user_id), revenue::float8
        FROM day_users
        WHERE day = listed AND purchases > 0
    ) AS u
    GROUP BY u.measure, u.source;
END
$$;
REVOKE ALL ON FUNCTION list_leading_users (date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION list_leading_users (date) TO universe_writer;
