-- Makes the missing partitions of some days; returns how many. Runs with its owner's rights: writers
-- own no table. Call it in a transaction of its own, and before the one that writes: attaching takes a
-- lock that lets readers and writers pass and holds up only other sessions that attach.
CREATE OR REPLACE FUNCTION ensure_partitions(wanted date[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    missing date;
    made integer := 0;
    partition_name text;
BEGIN
    IF NOT EXISTS (SELECT FROM unnest(wanted) AS w (d)
                   WHERE NOT EXISTS (SELECT FROM public.event_days AS e WHERE e.day = w.d)) THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(public.partitions_lock());
    FOR missing IN
        SELECT DISTINCT w.d FROM unnest(wanted) AS w (d)
        WHERE NOT EXISTS (SELECT FROM public.event_days AS e WHERE e.day = w.d)
        ORDER BY 1
    LOOP
        IF missing < DATE '2000-01-01' OR missing > (now() AT TIME ZONE 'UTC')::date + 2 THEN
            RAISE EXCEPTION 'no partition is made for the day %', missing
                USING ERRCODE = 'datetime_field_overflow';
        END IF;
        partition_name := 'events_' || to_char(missing, 'YYYYMMDD');
        EXECUTE format(
            'CREATE TABLE public.%I (LIKE public.events INCLUDING DEFAULTS INCLUDING CONSTRAINTS '
            'INCLUDING INDEXES INCLUDING STORAGE)', partition_name);
        EXECUTE format(
            'ALTER TABLE public.events ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
            partition_name, missing, missing + 1);
        INSERT INTO public.event_days (day) VALUES (missing);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
REVOKE ALL ON FUNCTION ensure_partitions (date[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_partitions (date[]) TO universe_writer;
