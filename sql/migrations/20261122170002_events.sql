-- `events`: every stored event, partitioned by the UTC day it occurred on, once per (event_id, day).
-- `event_days`: the partitions there are, and which of them are sealed (see the maintenance file).
-- Text is compared by its bytes (COLLATE "C"): the unique index is built and searched faster so.
-- The unique index and a BRIN index are all that a written row pays for.

-- migrate:up
CREATE TABLE events (
    event_id     text COLLATE "C" NOT NULL,
    day          date NOT NULL,
    occurred_at  timestamptz NOT NULL,
    received_at  timestamptz NOT NULL,
    source       text COLLATE "C" NOT NULL,
    funnel_stage text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    user_id      text COLLATE "C" NOT NULL,
    country      text COLLATE "C",
    campaign_id  text COLLATE "C",
    revenue      numeric,
    data         jsonb NOT NULL,
    extra        jsonb,
    PRIMARY KEY (event_id, day)
) PARTITION BY RANGE (day);
CREATE INDEX events_occurred_at ON events USING brin (occurred_at)
    WITH (pages_per_range = 32, autosummarize = on);
COMMENT ON COLUMN events.day IS 'UTC day of occurred_at';
COMMENT ON COLUMN events.revenue IS 'amount of the purchase, where the event is one';
COMMENT ON COLUMN events.extra IS 'fields of the envelope that the contract does not know';

CREATE TABLE event_days (
    day       date PRIMARY KEY,
    sealed_at timestamptz
);
COMMENT ON COLUMN event_days.sealed_at IS
    'when the look-up indexes of the day''s partition and its rows in day_users were built';

GRANT SELECT, INSERT ON events TO universe_writer;
GRANT SELECT ON event_days TO universe_writer;
GRANT SELECT ON events, event_days TO universe_reader;

-- Makes the missing partitions of some days. Runs with its owner's rights: writers own no table.
-- Call it in a transaction of its own, and before the one that writes: attaching takes a lock that
-- lets readers and writers pass and holds up only others who attach.
CREATE FUNCTION ensure_partitions(wanted date[]) RETURNS integer
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
    PERFORM pg_advisory_xact_lock(7305, 1); -- one at a time makes or drops partitions
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

-- migrate:down
DROP FUNCTION ensure_partitions (date[]);
DROP TABLE event_days;
DROP TABLE events;
