-- Drops one day: its events and all that was derived from them. Writers of that day wait meanwhile;
-- other sessions only for an instant at the end.
CREATE OR REPLACE FUNCTION drop_day(dropped date) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
DECLARE
    partition_name text := format('events_%s', to_char(dropped, 'YYYYMMDD'));
    starts timestamptz := dropped::timestamp AT TIME ZONE 'UTC';
    rollup record;
BEGIN
    PERFORM pg_advisory_xact_lock(partitions_lock());
    PERFORM pg_advisory_xact_lock(rollups_lock());
    IF NOT EXISTS (SELECT FROM event_days WHERE day = dropped) THEN
        RETURN;
    END IF;
    -- transactions that write to the day have ended after this, and later ones see it gone
    EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE', partition_name);
    DELETE FROM rollup_deltas WHERE hour >= starts AND hour < starts + interval '24 hours';
    FOR rollup IN SELECT name, grain FROM rollups LOOP
        IF rollup.grain = 'hour' THEN
            EXECUTE format('DELETE FROM public.%I WHERE hour >= $1 AND hour < $2', rollup.name)
                USING starts, starts + interval '24 hours';
        ELSE
            EXECUTE format('DELETE FROM public.%I WHERE day = $1', rollup.name) USING dropped;
        END IF;
    END LOOP;
    DELETE FROM event_days WHERE day = dropped;
    EXECUTE format('ALTER TABLE public.events DETACH PARTITION public.%I', partition_name);
    EXECUTE format('DROP TABLE public.%I', partition_name);
END
$$;
REVOKE ALL ON FUNCTION drop_day (date) FROM PUBLIC;
