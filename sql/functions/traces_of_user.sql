-- What one day holds of a user: events, and whether only derived rows are left of them (as after a
-- DELETE of events by hand). One day a call: each takes locks on its partition only.
CREATE OR REPLACE FUNCTION traces_of_user(
    searched date, wanted_user text, only_source text DEFAULT NULL,
    OUT user_events bigint, OUT derived boolean
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    starts timestamptz := searched::timestamp AT TIME ZONE 'UTC';
    rollup text;
BEGIN
    EXECUTE 'SELECT count(*) FROM public.events '
            'WHERE day = $1 AND user_id = $2 AND ($3 IS NULL OR source = $3)'
        INTO user_events USING searched, wanted_user, only_source;
    derived := EXISTS (SELECT FROM rollup_deltas
                       WHERE hour >= starts AND hour < starts + interval '24 hours'
                         AND wanted_user = ANY (users)
                         AND (only_source IS NULL OR source = only_source));
    FOR rollup IN SELECT name FROM rollups WHERE kind = 'sealed' LOOP
        EXIT WHEN derived;
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM public.%I AS r WHERE day = $1 AND user_id = $2 '
            'AND ($3 IS NULL OR coalesce(to_jsonb(r) ->> ''source'', $3) = $3))', rollup)
            INTO derived USING searched, wanted_user, only_source;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION traces_of_user (date, text, text) FROM PUBLIC;
