-- Empties the rollups of one day, of some kinds, and drops what was not compacted yet. The caller holds
-- rollups_lock().
CREATE OR REPLACE FUNCTION clear_rollups(
    cleared date, kinds text[] DEFAULT '{sums,sketches,sealed}'
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    starts timestamptz := cleared::timestamp AT TIME ZONE 'UTC';
    rollup record;
BEGIN
    DELETE FROM rollup_deltas WHERE hour >= starts AND hour < starts + interval '24 hours';
    FOR rollup IN SELECT name, grain FROM rollups WHERE kind = ANY (kinds) LOOP
        IF rollup.grain = 'hour' THEN
            EXECUTE format('DELETE FROM public.%I WHERE hour >= $1 AND hour < $2', rollup.name)
                USING starts, starts + interval '24 hours';
        ELSE
            EXECUTE format('DELETE FROM public.%I WHERE day = $1', rollup.name) USING cleared;
        END IF;
    END LOOP;
    IF 'sealed' = ANY (kinds) THEN
        DELETE FROM leading_users WHERE day = cleared;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION clear_rollups (date, text[]) FROM PUBLIC;
