-- Drops one day: its events and all that was derived from them. Writers of that day wait meanwhile;
-- other sessions only for an instant at the end.
CREATE OR REPLACE FUNCTION drop_day(dropped date) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
DECLARE
    partition_name text := format('events_%s', to_char(dropped, 'YYYYMMDD'));
BEGIN
    PERFORM pg_advisory_xact_lock(partitions_lock());
    PERFORM pg_advisory_xact_lock(rollups_lock());
    IF NOT EXISTS (SELECT FROM event_days WHERE day = dropped) THEN
        RETURN;
    END IF;
    -- transactions that write to the day have ended after this, and later ones see it gone
    EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE', partition_name);
    PERFORM clear_rollups(dropped);
    DELETE FROM event_days WHERE day = dropped;
    EXECUTE format('ALTER TABLE public.events DETACH PARTITION public.%I', partition_name);
    EXECUTE format('DROP TABLE public.%I', partition_name);
END
$$;
REVOKE ALL ON FUNCTION drop_day (date) FROM PUBLIC;
