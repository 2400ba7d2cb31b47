-- Makes the missing partitions of some days as ensure_partitions does, but no more than
-- `max_per_minute` in a minute, of all sessions together: each costs five relations, and every plan
-- and every report of all days looks at each. The latest days come first. Days from two days ago
-- on are always made, so that what happens now never waits for what happened long ago.
-- The more partitions there are, the longer the next takes (7 us of a processor for each that is
-- there): one call makes fewer then, so that none holds up the events that come with it, or after it.
-- Returns the days that have to wait.
CREATE OR REPLACE FUNCTION ensure_partitions_within(wanted date[], max_per_minute integer)
RETURNS SETOF date
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    first_recent date := (now() AT TIME ZONE 'UTC')::date - 2;
    missing date[];
    allowed integer;
BEGIN
    -- once without the lock, for those that only learn that they have to wait
    FOR step IN 1 .. 2 LOOP
        missing := ARRAY (SELECT DISTINCT w.d FROM unnest(wanted) AS w (d)
                          WHERE NOT EXISTS (SELECT FROM public.event_days AS e WHERE e.day = w.d)
                          ORDER BY 1 DESC);
        SELECT greatest(max_per_minute - count(*), 0) INTO allowed FROM public.event_days
        WHERE created_at > clock_timestamp() - interval '1 minute';
        allowed := least(allowed, 60000 / (1000 + (SELECT count(*) FROM public.event_days)));
        IF missing = '{}' OR (allowed = 0 AND missing[1] < first_recent) THEN
            RETURN QUERY SELECT * FROM unnest(missing);
            RETURN;
        END IF;
        PERFORM pg_advisory_xact_lock(public.partitions_lock());
    END LOOP;
    PERFORM public.ensure_partitions(ARRAY (
        SELECT m.d FROM unnest(missing) WITH ORDINALITY AS m (d, place)
        WHERE m.place <= allowed OR m.d >= first_recent));
    RETURN QUERY
    SELECT m.d FROM unnest(missing) AS m (d)
    WHERE NOT EXISTS (SELECT FROM public.event_days AS e WHERE e.day = m.d);
END
$$;
REVOKE ALL ON FUNCTION ensure_partitions_within (date[], integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_partitions_within (date[], integer) TO universe_writer;
