-- What reports need to answer over months in milliseconds, besides the sums.
--
-- rollup_*_country_users: the users of each country as HLL sketches; country is '' for events that
-- have none. Users who are in deltas only are in live_pending_users, as for the other sketches. A
-- sketch has about two kilobytes; it stays in its row (PLAIN) because reports read many in a row.
-- The index `sample` of a sealed day holds the events of every 32nd user, known by the hash of the id:
-- questions about users that no sketch answers are estimated from these.
-- The indexes of day_users find those few users who can be among the first: the most active of a day,
-- and the buyers. They are written when a day is sealed, not when events come in.

-- migrate:up
CREATE TABLE rollup_hour_country_users (
    hour    timestamptz NOT NULL,
    source  text COLLATE "C" NOT NULL,
    country text COLLATE "C" NOT NULL,
    hll     bytea STORAGE PLAIN NOT NULL,
    PRIMARY KEY (hour, country, source)
);
CREATE TABLE rollup_day_country_users (
    day     date NOT NULL,
    source  text COLLATE "C" NOT NULL,
    country text COLLATE "C" NOT NULL,
    hll     bytea STORAGE PLAIN NOT NULL,
    PRIMARY KEY (day, country, source)
);
GRANT SELECT ON rollup_hour_country_users, rollup_day_country_users TO universe_reader;
GRANT SELECT, INSERT, UPDATE ON rollup_hour_country_users, rollup_day_country_users
TO universe_writer;

CREATE INDEX day_users_active ON day_users (day) INCLUDE (user_id, source, events)
WHERE events >= 3;
CREATE INDEX day_users_buyers ON day_users (day) INCLUDE (user_id, source, purchases, revenue)
WHERE purchases > 0;

CREATE OR REPLACE FUNCTION sealing_indexes(sealed date)
RETURNS TABLE (index_name text, definition text)
LANGUAGE sql STABLE AS $$
    SELECT format('events_%s_%s', to_char(sealed, 'YYYYMMDD'), i.name),
           format('public.events_%s USING %s', to_char(sealed, 'YYYYMMDD'), i.columns)
    FROM (VALUES
        ('at', 'btree (occurred_at, event_id)'),
        ('type', 'btree (source, event_type, occurred_at)'),
        ('user', 'btree (user_id, occurred_at)'),
        ('campaign', 'btree (campaign_id, occurred_at) WHERE campaign_id IS NOT NULL'),
        ('country', 'btree (country, occurred_at)'),
        ('revenue', 'btree (revenue, occurred_at) WHERE revenue IS NOT NULL'),
        ('sample', 'btree (occurred_at) INCLUDE (day, user_id, source, funnel_stage, event_type, '
                   'country, campaign_id) WHERE (hashtextextended(user_id, 7305) & 31) = 0'),
        ('data', 'gin (data jsonb_path_ops) WITH (fastupdate = on)')
    ) AS i (name, columns)
$$;

CREATE OR REPLACE FUNCTION drop_day(dropped date) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
DECLARE
    partition_name text := format('events_%s', to_char(dropped, 'YYYYMMDD'));
    kind text;
    starts timestamptz := dropped::timestamp AT TIME ZONE 'UTC';
BEGIN
    PERFORM pg_advisory_xact_lock(7305, 1); -- nobody makes partitions
    PERFORM pg_advisory_xact_lock(7305, 2); -- nobody folds deltas
    IF NOT EXISTS (SELECT FROM event_days WHERE day = dropped) THEN
        RETURN;
    END IF;
    -- whoever writes to the day has committed after this, and sees the partition gone
    EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE', partition_name);
    DELETE FROM rollup_deltas WHERE hour >= starts AND hour < starts + interval '24 hours';
    FOREACH kind IN ARRAY ARRAY['types', 'countries', 'campaigns', 'campaign_countries',
                                'demographics', 'campaign_demographics', 'users',
                                'country_users'] LOOP
        EXECUTE format('DELETE FROM public.rollup_hour_%s WHERE hour >= $1 AND hour < $2', kind)
            USING starts, starts + interval '24 hours';
        EXECUTE format('DELETE FROM public.rollup_day_%s WHERE day = $1', kind) USING dropped;
    END LOOP;
    DELETE FROM day_users WHERE day = dropped;
    DELETE FROM event_days WHERE day = dropped;
    EXECUTE format('ALTER TABLE public.events DETACH PARTITION public.%I', partition_name);
    EXECUTE format('DROP TABLE public.%I', partition_name);
END
$$;

-- migrate:down
CREATE OR REPLACE FUNCTION drop_day(dropped date) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
DECLARE
    partition_name text := format('events_%s', to_char(dropped, 'YYYYMMDD'));
    kind text;
    starts timestamptz := dropped::timestamp AT TIME ZONE 'UTC';
BEGIN
    PERFORM pg_advisory_xact_lock(7305, 1);
    PERFORM pg_advisory_xact_lock(7305, 2);
    IF NOT EXISTS (SELECT FROM event_days WHERE day = dropped) THEN
        RETURN;
    END IF;
    EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE', partition_name);
    DELETE FROM rollup_deltas WHERE hour >= starts AND hour < starts + interval '24 hours';
    FOREACH kind IN ARRAY ARRAY['types', 'countries', 'campaigns', 'campaign_countries',
                                'demographics', 'campaign_demographics', 'users'] LOOP
        EXECUTE format('DELETE FROM public.rollup_hour_%s WHERE hour >= $1 AND hour < $2', kind)
            USING starts, starts + interval '24 hours';
        EXECUTE format('DELETE FROM public.rollup_day_%s WHERE day = $1', kind) USING dropped;
    END LOOP;
    DELETE FROM day_users WHERE day = dropped;
    DELETE FROM event_days WHERE day = dropped;
    EXECUTE format('ALTER TABLE public.events DETACH PARTITION public.%I', partition_name);
    EXECUTE format('DROP TABLE public.%I', partition_name);
END
$$;
CREATE OR REPLACE FUNCTION sealing_indexes(sealed date)
RETURNS TABLE (index_name text, definition text)
LANGUAGE sql STABLE AS $$
    SELECT format('events_%s_%s', to_char(sealed, 'YYYYMMDD'), i.name),
           format('public.events_%s USING %s', to_char(sealed, 'YYYYMMDD'), i.columns)
    FROM (VALUES
        ('at', 'btree (occurred_at, event_id)'),
        ('type', 'btree (source, event_type, occurred_at)'),
        ('user', 'btree (user_id, occurred_at)'),
        ('campaign', 'btree (campaign_id, occurred_at) WHERE campaign_id IS NOT NULL'),
        ('country', 'btree (country, occurred_at)'),
        ('revenue', 'btree (revenue, occurred_at) WHERE revenue IS NOT NULL'),
        ('data', 'gin (data jsonb_path_ops) WITH (fastupdate = on)')
    ) AS i (name, columns)
$$;
DROP INDEX day_users_active;
DROP INDEX day_users_buyers;
DROP TABLE rollup_hour_country_users, rollup_day_country_users;
