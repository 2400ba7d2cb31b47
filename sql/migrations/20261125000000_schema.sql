-- The schema: roles, tables, functions, the catalogue of rollups, rights, monitoring, workspace. sql/README.md explains it.
--
-- The functions between "-- functions/NAME" and "-- end" are the files of sql/functions, put here by
-- python -m infra.database.include_functions; change them there. sql/schema.sql is what this makes.

-- migrate:up

DO $$
BEGIN
    IF current_setting('server_version_num')::int < 150000 THEN
        RAISE EXCEPTION 'the database is PostgreSQL %: Universe needs 15 or newer. Use a newer server',
            current_setting('server_version_num')::int / 10000;
    END IF;
END
$$;

-- Databases that the migrations before the first release made are not carried over.
DO $$
DECLARE
    found text;
BEGIN
    SELECT max(version) INTO found FROM public.schema_migrations WHERE version < '20261125';
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'the database was made by an older version of Universe (migration %), which '
            'this version cannot take over: migrate an empty database (for "universe up", set '
            'STATE_DIR to an empty folder)', found;
    END IF;
END
$$;

-- ROLES
--
-- Roles belong to the whole cluster, so several databases may be migrated into one cluster, at the same
-- time too: a role that is there, or just being made, is left alone. They cannot log in until the
-- cluster's administrator says so:
--   ALTER ROLE universe_writer LOGIN PASSWORD '...';
-- Rolling back leaves the roles: other databases of the cluster may use them.
DO $$
DECLARE
    wanted text;
    setting text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['universe_writer', 'universe_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- another database's migration made it
            END;
        END IF;
    END LOOP;
    -- a setting that the cluster's administrator made stays
    FOREACH setting IN ARRAY ARRAY['statement_timeout=15s', 'default_transaction_read_only=on'] LOOP
        IF NOT EXISTS (
            SELECT FROM pg_roles, unnest(rolconfig) AS c (made)
            WHERE rolname = 'universe_reader'
              AND split_part(c.made, '=', 1) = split_part(setting, '=', 1)
        ) THEN
            BEGIN
                EXECUTE format('ALTER ROLE universe_reader SET %I = %L',
                               split_part(setting, '=', 1), split_part(setting, '=', 2));
            EXCEPTION WHEN internal_error THEN
                NULL; -- "tuple concurrently updated": another database's migration made it
            END;
        END IF;
    END LOOP;
END
$$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO universe_writer, universe_reader;

-- TABLES
--
-- `events`: every stored event, partitioned by the UTC day it occurred on, once per (event_id, day).
-- Text is compared by its bytes (COLLATE "C"): the unique index is built and searched faster so.
-- The unique index and a BRIN index are all that a written row pays for.
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
    day        date PRIMARY KEY,
    sealed_at  timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN event_days.sealed_at IS
    'when the look-up indexes of the day''s partition and the rollups of sealed days were built';

GRANT SELECT, INSERT ON events TO universe_writer;
GRANT SELECT ON event_days TO universe_writer;
GRANT SELECT ON events, event_days TO universe_reader;

-- The indexes that a day's partition gets when the day is sealed, built in bulk: to keep them up to date
-- for each written row would make writing several times slower. `sample` holds the events of the
-- sampled users.
CREATE TABLE sealed_day_indexes (
    place      integer PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    definition text NOT NULL
);
COMMENT ON COLUMN sealed_day_indexes.definition IS 'what follows USING';
INSERT INTO sealed_day_indexes (place, name, definition) VALUES
    (1, 'at', 'btree (occurred_at, event_id)'),
    (2, 'type', 'btree (source, event_type, occurred_at)'),
    (3, 'user', 'btree (user_id, occurred_at)'),
    (4, 'campaign', 'btree (campaign_id, occurred_at) WHERE campaign_id IS NOT NULL'),
    (5, 'country', 'btree (country, occurred_at)'),
    (6, 'revenue', 'btree (revenue, occurred_at) WHERE revenue IS NOT NULL'),
    (7, 'sample', 'btree (occurred_at) INCLUDE (day, user_id, source, funnel_stage, event_type, '
                  'country, campaign_id, revenue) WHERE in_user_sample(user_id)'),
    (8, 'data', 'gin (data jsonb_path_ops) WITH (fastupdate = on)');

-- What was erased. Nothing in it names the person: not even a hash, which anybody who has a list of user
-- ids turns back by hashing the list. `reference` is what the operator calls the request.
CREATE TABLE erasures (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reference    text,
    source       text,
    started_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    events       bigint NOT NULL DEFAULT 0,
    days         integer NOT NULL DEFAULT 0,
    dead_letters bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE erasures IS 'a row for each run of "universe erase"; nothing in it names the person';
COMMENT ON COLUMN erasures.reference IS 'what the operator calls the request, if anything';
COMMENT ON COLUMN erasures.source IS 'only events of this source; null: of all';
COMMENT ON COLUMN erasures.finished_at IS 'null: it was interrupted, or something was out of reach';
COMMENT ON COLUMN erasures.days IS 'how many days were counted again';

-- ROLLUPS
--
-- Rollups are what reports read instead of events. Writers only append to `rollup_deltas`, in the
-- transaction that writes the events, so they never wait for each other. Compaction (one process at a
-- time, under an advisory lock) moves deltas into the tables rollup_hour_* and rollup_day_*. At any
-- moment, and within any one snapshot,
--   rollup table + deltas = the same sums over `events`;
-- the live_* views are that addition, and what reports should read. Their rows are parts to be
-- summed (min/max for first_at/last_at): the same key may come several times.
--
-- hour, day: UTC. purchases: events that have a revenue. country and campaign_id are null where an
-- event has none; rollups by campaign hold only the events of a campaign.
CREATE TABLE rollup_deltas (
    hour          timestamptz NOT NULL,
    source        text COLLATE "C" NOT NULL,
    funnel_stage  text COLLATE "C" NOT NULL,
    event_type    text COLLATE "C" NOT NULL,
    country       text COLLATE "C",
    campaign_id   text COLLATE "C",
    events        bigint NOT NULL,
    purchases     bigint NOT NULL,
    revenue       numeric NOT NULL,
    first_at      timestamptz NOT NULL,
    last_at       timestamptz NOT NULL,
    users         text[] COLLATE "C" NOT NULL,
    groups        text[] COLLATE "C" NOT NULL,
    group_events  bigint[] NOT NULL,
    group_revenue numeric[]
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);
COMMENT ON TABLE rollup_deltas IS 'what was written since the last compaction, at the finest grain';
COMMENT ON COLUMN rollup_deltas.users IS 'the users who acted, each once';
COMMENT ON COLUMN rollup_deltas.groups IS
    'demographic groups as dimension=value; group_events and group_revenue run beside it';
COMMENT ON COLUMN rollup_deltas.group_revenue IS 'null: no revenue in this row';

CREATE TABLE rollup_hour_types (
    hour         timestamptz NOT NULL,
    source       text COLLATE "C" NOT NULL,
    funnel_stage text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    events       bigint NOT NULL,
    purchases    bigint NOT NULL,
    revenue      numeric NOT NULL,
    first_at     timestamptz NOT NULL,
    last_at      timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (hour, source, funnel_stage, event_type)
) WITH (fillfactor = 80);
CREATE TABLE rollup_hour_countries (
    hour         timestamptz NOT NULL,
    source       text COLLATE "C" NOT NULL,
    funnel_stage text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    country      text COLLATE "C",
    events       bigint NOT NULL,
    purchases    bigint NOT NULL,
    revenue      numeric NOT NULL,
    first_at     timestamptz NOT NULL,
    last_at      timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (hour, country, source, funnel_stage, event_type)
) WITH (fillfactor = 80);
CREATE TABLE rollup_hour_campaigns (
    hour         timestamptz NOT NULL,
    source       text COLLATE "C" NOT NULL,
    funnel_stage text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    campaign_id  text COLLATE "C" NOT NULL,
    events       bigint NOT NULL,
    purchases    bigint NOT NULL,
    revenue      numeric NOT NULL,
    first_at     timestamptz NOT NULL,
    last_at      timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (hour, campaign_id, source, funnel_stage, event_type)
) WITH (fillfactor = 80);
CREATE TABLE rollup_hour_campaign_countries (
    hour         timestamptz NOT NULL,
    source       text COLLATE "C" NOT NULL,
    funnel_stage text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    campaign_id  text COLLATE "C" NOT NULL,
    country      text COLLATE "C",
    events       bigint NOT NULL,
    purchases    bigint NOT NULL,
    revenue      numeric NOT NULL,
    first_at     timestamptz NOT NULL,
    last_at      timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (hour, campaign_id, country, source, funnel_stage, event_type)
) WITH (fillfactor = 80);

CREATE TABLE rollup_day_types (
    day          date NOT NULL,
    source       text COLLATE "C" NOT NULL,
    funnel_stage text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    events       bigint NOT NULL,
    purchases    bigint NOT NULL,
    revenue      numeric NOT NULL,
    first_at     timestamptz NOT NULL,
    last_at      timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (day, source, funnel_stage, event_type)
) WITH (fillfactor = 80);
CREATE TABLE rollup_day_countries (
    day          date NOT NULL,
    source       text COLLATE "C" NOT NULL,
    funnel_stage text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    country      text COLLATE "C",
    events       bigint NOT NULL,
    purchases    bigint NOT NULL,
    revenue      numeric NOT NULL,
    first_at     timestamptz NOT NULL,
    last_at      timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (day, country, source, funnel_stage, event_type)
) WITH (fillfactor = 80);
CREATE TABLE rollup_day_campaigns (
    day          date NOT NULL,
    source       text COLLATE "C" NOT NULL,
    funnel_stage text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    campaign_id  text COLLATE "C" NOT NULL,
    events       bigint NOT NULL,
    purchases    bigint NOT NULL,
    revenue      numeric NOT NULL,
    first_at     timestamptz NOT NULL,
    last_at      timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (day, campaign_id, source, funnel_stage, event_type)
) WITH (fillfactor = 80);
CREATE TABLE rollup_day_campaign_countries (
    day          date NOT NULL,
    source       text COLLATE "C" NOT NULL,
    funnel_stage text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    campaign_id  text COLLATE "C" NOT NULL,
    country      text COLLATE "C",
    events       bigint NOT NULL,
    purchases    bigint NOT NULL,
    revenue      numeric NOT NULL,
    first_at     timestamptz NOT NULL,
    last_at      timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (campaign_id, day, country, source, funnel_stage, event_type)
) WITH (fillfactor = 80);

-- Demographic groups: dimension is ageGroup, gender, country, city (facebook), followerBand,
-- device (tiktok) or what else a source names. An event counts once in each of its groups.
CREATE TABLE rollup_hour_demographics (
    hour         timestamptz NOT NULL,
    source       text COLLATE "C" NOT NULL,
    funnel_stage text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    country      text COLLATE "C",
    dimension    text COLLATE "C" NOT NULL,
    value        text COLLATE "C" NOT NULL,
    events       bigint NOT NULL,
    revenue      numeric NOT NULL,
    UNIQUE NULLS NOT DISTINCT (hour, dimension, value, country, source, funnel_stage, event_type)
) WITH (fillfactor = 80);
CREATE TABLE rollup_hour_campaign_demographics (
    hour         timestamptz NOT NULL,
    source       text COLLATE "C" NOT NULL,
    funnel_stage text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    campaign_id  text COLLATE "C" NOT NULL,
    dimension    text COLLATE "C" NOT NULL,
    value        text COLLATE "C" NOT NULL,
    events       bigint NOT NULL,
    revenue      numeric NOT NULL,
    UNIQUE NULLS NOT DISTINCT (hour, campaign_id, dimension, value, source, funnel_stage, event_type)
) WITH (fillfactor = 80);
CREATE TABLE rollup_day_demographics (
    day          date NOT NULL,
    source       text COLLATE "C" NOT NULL,
    funnel_stage text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    country      text COLLATE "C",
    dimension    text COLLATE "C" NOT NULL,
    value        text COLLATE "C" NOT NULL,
    events       bigint NOT NULL,
    revenue      numeric NOT NULL,
    UNIQUE NULLS NOT DISTINCT (day, dimension, value, country, source, funnel_stage, event_type)
) WITH (fillfactor = 80);
CREATE TABLE rollup_day_campaign_demographics (
    day          date NOT NULL,
    source       text COLLATE "C" NOT NULL,
    funnel_stage text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    campaign_id  text COLLATE "C" NOT NULL,
    dimension    text COLLATE "C" NOT NULL,
    value        text COLLATE "C" NOT NULL,
    events       bigint NOT NULL,
    revenue      numeric NOT NULL,
    UNIQUE NULLS NOT DISTINCT (campaign_id, day, dimension, value, source, funnel_stage, event_type)
) WITH (fillfactor = 80);

-- By day without the country too: a third of the rows, for questions that are not about one country.
CREATE TABLE rollup_day_groups (
    day          date NOT NULL,
    source       text COLLATE "C" NOT NULL,
    funnel_stage text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    dimension    text COLLATE "C" NOT NULL,
    value        text COLLATE "C" NOT NULL,
    events       bigint NOT NULL,
    revenue      numeric NOT NULL,
    PRIMARY KEY (day, dimension, value, source, funnel_stage, event_type)
) WITH (fillfactor = 80);
-- Without stage and type as well: a seventh of those rows, for questions about all events of a source.
CREATE TABLE rollup_day_group_totals (
    day       date NOT NULL,
    source    text COLLATE "C" NOT NULL,
    dimension text COLLATE "C" NOT NULL,
    value     text COLLATE "C" NOT NULL,
    events    bigint NOT NULL,
    revenue   numeric NOT NULL,
    PRIMARY KEY (day, dimension, value, source)
) WITH (fillfactor = 80);

-- Sets of users as Apache DataSketches (functions/common/sketches.py has their parameters). A row
-- with event_type '' is about all types of the stage, and only such rows have a theta sketch.
-- Users who are in deltas only are in live_pending_users: add them to what is read here.
CREATE TABLE rollup_hour_users (
    hour         timestamptz NOT NULL,
    source       text COLLATE "C" NOT NULL,
    funnel_stage text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    hll          bytea NOT NULL,
    theta        bytea,
    PRIMARY KEY (hour, source, funnel_stage, event_type)
);
ALTER TABLE rollup_hour_users ALTER COLUMN hll SET STORAGE EXTERNAL,
    ALTER COLUMN theta SET STORAGE EXTERNAL;
CREATE TABLE rollup_day_users (
    day          date NOT NULL,
    source       text COLLATE "C" NOT NULL,
    funnel_stage text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    hll          bytea NOT NULL,
    theta        bytea,
    PRIMARY KEY (day, source, funnel_stage, event_type)
);
ALTER TABLE rollup_day_users ALTER COLUMN hll SET STORAGE EXTERNAL,
    ALTER COLUMN theta SET STORAGE EXTERNAL;

-- The users of each country; country is '' for events that have none. A sketch has about two kilobytes;
-- it stays in its row (PLAIN) because reports read many in a row.
CREATE TABLE rollup_hour_country_users (
    hour    timestamptz NOT NULL,
    source  text COLLATE "C" NOT NULL,
    country text COLLATE "C" NOT NULL,
    hll     bytea NOT NULL,
    PRIMARY KEY (hour, country, source)
);
ALTER TABLE rollup_hour_country_users ALTER COLUMN hll SET STORAGE PLAIN;
CREATE TABLE rollup_day_country_users (
    day     date NOT NULL,
    source  text COLLATE "C" NOT NULL,
    country text COLLATE "C" NOT NULL,
    hll     bytea NOT NULL,
    PRIMARY KEY (day, country, source)
);
ALTER TABLE rollup_day_country_users ALTER COLUMN hll SET STORAGE PLAIN;

-- What each user did on a day, exact, for the days that are sealed.
CREATE TABLE day_users (
    day            date NOT NULL,
    source         text COLLATE "C" NOT NULL,
    user_id        text COLLATE "C" NOT NULL,
    events         bigint NOT NULL,
    top_events     bigint NOT NULL,
    bottom_events  bigint NOT NULL,
    purchases      bigint NOT NULL,
    revenue        numeric NOT NULL,
    first_at       timestamptz NOT NULL,
    last_at        timestamptz NOT NULL,
    first_top_at   timestamptz,
    last_bottom_at timestamptz,
    PRIMARY KEY (day, user_id, source)
);
-- Those who can be among the first of a report: the most active users of a day, and the buyers.
CREATE INDEX day_users_active ON day_users (day) INCLUDE (user_id, source, events)
WHERE events >= 3;
CREATE INDEX day_users_buyers ON day_users (day) INCLUDE (user_id, source, purchases, revenue)
WHERE purchases > 0;
COMMENT ON COLUMN day_users.first_top_at IS 'first event at the top of the funnel, if any';
COMMENT ON COLUMN day_users.last_bottom_at IS
    'last event at the bottom: a user whose earliest first_top_at lies before the latest '
    'last_bottom_at was seen at the top and later at the bottom';

-- The same users in packed lists, which a report of many days reads faster than rows: of each source
-- those with three or more events on the day (by events) and the buyers (by revenue), in the order of
-- user_hash(). A function of day_users, made anew whenever a day of it changes (list_leading_users).
CREATE TABLE leading_users (
    day      date NOT NULL,
    measure  text COLLATE "C" NOT NULL CHECK (measure IN ('events', 'revenue')),
    source   text COLLATE "C" NOT NULL,
    hashes   bytea NOT NULL,
    amounts  bytea NOT NULL,
    user_ids text[] COLLATE "C" NOT NULL,
    PRIMARY KEY (day, measure, source)
);
ALTER TABLE leading_users ALTER COLUMN hashes SET STORAGE EXTERNAL,
    ALTER COLUMN amounts SET STORAGE EXTERNAL;
COMMENT ON COLUMN leading_users.hashes IS 'user_hash() of each user, as int8send() writes it';
COMMENT ON COLUMN leading_users.amounts IS
    'the events or the revenue of each user, as float8send() writes it';

-- Demographic groups and users in deltas, row by row.
CREATE VIEW pending_groups AS
SELECT d.hour, d.source, d.funnel_stage, d.event_type, d.country, d.campaign_id,
       split_part(g.name, '=', 1) AS dimension, substr(g.name, strpos(g.name, '=') + 1) AS value,
       g.events, coalesce(g.revenue, 0) AS revenue
FROM rollup_deltas AS d,
     unnest(d.groups, d.group_events, d.group_revenue) AS g (name, events, revenue);
CREATE VIEW live_pending_users AS
SELECT hour, (hour AT TIME ZONE 'UTC')::date AS day, source, funnel_stage, event_type, country, campaign_id,
       unnest(users) AS user_id
FROM rollup_deltas;

GRANT SELECT ON sealed_day_indexes, leading_users, rollup_deltas, pending_groups, live_pending_users
TO universe_reader, universe_writer;
GRANT INSERT, DELETE ON leading_users TO universe_writer;
GRANT INSERT, DELETE ON rollup_deltas TO universe_writer;
-- Before PostgreSQL 17 nobody but the owner may vacuum a table: there autovacuum does it alone.
DO $$
BEGIN
    IF current_setting('server_version_num')::int >= 170000 THEN
        EXECUTE 'GRANT MAINTAIN ON rollup_deltas TO universe_writer';
    END IF;
END
$$;

-- FUNCTIONS

-- functions/locks.sql
-- The advisory locks. The upper half of each is Universe's number, the lower half says what it
-- protects: take one as pg_advisory_xact_lock(rollups_lock()).
CREATE OR REPLACE FUNCTION advisory_lock_class() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 7305::bigint << 32;

-- Partitions of events are made or dropped.
CREATE OR REPLACE FUNCTION partitions_lock() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN advisory_lock_class() + 1;

-- Deltas are compacted, or days are sealed or dropped, or the catalogue of rollups changes.
CREATE OR REPLACE FUNCTION rollups_lock() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN advisory_lock_class() + 2;

-- Indexes of a day are built.
CREATE OR REPLACE FUNCTION sealing_lock() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN advisory_lock_class() + 3;
-- end

-- functions/try_rollups_lock.sql
-- Whether this transaction now holds the lock `rollups_lock()`, until it ends. Writers take it through
-- this function, which runs as its owner: they may take no other advisory lock, and readers none.
CREATE OR REPLACE FUNCTION try_rollups_lock() RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
RETURN pg_try_advisory_xact_lock(public.rollups_lock());
REVOKE ALL ON FUNCTION try_rollups_lock () FROM PUBLIC;
GRANT EXECUTE ON FUNCTION try_rollups_lock () TO universe_writer;
-- end

-- functions/user_hash.sql
-- A user as a number: which users are in the sample, and who is who in the lists of leading users. Stored
-- values rest on it, as those of a hash-partitioned table do on PostgreSQL's hash functions.
CREATE OR REPLACE FUNCTION user_hash(user_id text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended(user_id, 7305);
-- end

-- functions/user_sample.sql
-- Questions about users that no sketch answers are estimated from the events of one user in this many
-- (a power of two). functions/analytics_query has the same number.
CREATE OR REPLACE FUNCTION sampling_modulus() RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 32;

-- Whether a user is in the sample, by the hash of the id. Sealed days have an index of their events,
-- which a query with this very condition uses: the planner inlines what it calls.
CREATE OR REPLACE FUNCTION in_user_sample(user_id text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (user_hash(user_id) & (sampling_modulus() - 1)) = 0;
-- end

-- functions/ensure_partitions.sql
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
-- end

-- functions/ensure_partitions_within.sql
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
-- end

-- functions/prepare_rollup.sql
-- What a new row in the catalogue does: it checks the row against its table, lets the roles use the
-- table, and makes the view live_* of a rollup of sums (the table plus the same sums of what is in
-- rollup_deltas). Compaction waits meanwhile, and reads the catalogue anew afterwards.
CREATE OR REPLACE FUNCTION prepare_rollup() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    wrong text;
    columns text := array_to_string(new.keys || new.measures, ', ');
BEGIN
    PERFORM pg_advisory_xact_lock(rollups_lock());
    SELECT string_agg(c, ', ') INTO wrong
    FROM unnest(new.grain || new.keys || new.measures) AS c
    WHERE NOT EXISTS (SELECT FROM pg_attribute AS a
                      WHERE a.attrelid = new.name::regclass AND a.attname = c);
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'table % has no column %', new.name, wrong;
    END IF;
    SELECT string_agg(c, ', ') INTO wrong
    FROM unnest(new.measures) AS c
    LEFT JOIN rollup_measures AS m ON m.name = c
    WHERE CASE new.kind WHEN 'sums' THEN m.of_deltas IS NULL
                        WHEN 'sealed' THEN m.of_events IS NULL
                        ELSE c NOT IN ('hll', 'theta') END;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'a rollup of % cannot have the measure %', new.kind, wrong;
    END IF;
    EXECUTE format('GRANT SELECT ON public.%I TO universe_reader, universe_writer', new.name);
    EXECUTE format('GRANT INSERT, UPDATE ON public.%I TO universe_writer', new.name);
    IF new.kind = 'sums' THEN
        EXECUTE format(
            'CREATE VIEW public.%I AS SELECT %I, %s FROM public.%I '
            'UNION ALL SELECT %s, %s FROM public.%I %s',
            regexp_replace(new.name, '^rollup_', 'live_'), new.grain, columns, new.name,
            CASE new.grain WHEN 'hour' THEN 'hour' ELSE '(hour AT TIME ZONE ''UTC'')::date' END,
            columns,
            CASE WHEN 'dimension' = ANY (new.keys) THEN 'pending_groups' ELSE 'rollup_deltas' END,
            CASE WHEN 'campaign_id' = ANY (new.keys) THEN 'WHERE campaign_id IS NOT NULL' END);
        EXECUTE format('GRANT SELECT ON public.%I TO universe_reader, universe_writer',
                       regexp_replace(new.name, '^rollup_', 'live_'));
    END IF;
    RETURN new;
END
$$;
-- end

-- functions/list_leading_users.sql
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
-- end

-- functions/count_sealed_rollups.sql
-- Counts a day's events into the rollups of sealed days: all users of a day that is being sealed, or
-- some users (`only_users`) anew, because of late events.
CREATE OR REPLACE FUNCTION count_sealed_rollups(counted date, only_users text[] DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    rollup record;
    insertion text;
BEGIN
    FOR rollup IN
        SELECT r.name, array_to_string(r.keys, ', ') AS keys,
               string_agg(m.name, ', ' ORDER BY o.place) AS measures,
               string_agg(m.of_events, ', ' ORDER BY o.place) AS counts,
               string_agg(format('%1$I = excluded.%1$I', m.name), ', ') AS recounts
        FROM rollups AS r,
             unnest(r.measures) WITH ORDINALITY AS o (measure, place)
             JOIN rollup_measures AS m ON m.name = o.measure
        WHERE r.kind = 'sealed'
        GROUP BY r.name, r.keys
    LOOP
        insertion := format(
            'INSERT INTO public.%I (day, %s, %s) SELECT day, %s, %s FROM public.events WHERE day = $1',
            rollup.name, rollup.keys, rollup.measures, rollup.keys, rollup.counts);
        -- two statements, each with the plan that suits it
        IF only_users IS NULL THEN
            EXECUTE format('DELETE FROM public.%I WHERE day = $1', rollup.name) USING counted;
            EXECUTE format('%s GROUP BY day, %s', insertion, rollup.keys) USING counted;
        ELSE
            EXECUTE format(
                '%s AND user_id = ANY ($2) GROUP BY day, %s ON CONFLICT (day, %s) DO UPDATE SET %s',
                insertion, rollup.keys, rollup.keys, rollup.recounts) USING counted, only_users;
        END IF;
    END LOOP;
    PERFORM list_leading_users(counted);
END
$$;
REVOKE ALL ON FUNCTION count_sealed_rollups (date, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION count_sealed_rollups (date, text[]) TO universe_writer;
-- end

-- functions/days_to_seal.sql
-- Days that are not sealed, were over `idle` ago, and got no event since: writing to a sealed day
-- costs more, so a day that is being filled with old events is left alone.
CREATE OR REPLACE FUNCTION days_to_seal(idle interval DEFAULT '1 hour')
RETURNS SETOF date
LANGUAGE plpgsql STABLE AS $$
DECLARE
    finished date;
BEGIN
    FOR finished IN
        SELECT d.day FROM event_days AS d
        WHERE d.sealed_at IS NULL AND (d.day + 1)::timestamp AT TIME ZONE 'UTC' < now() - idle
        ORDER BY d.day
    LOOP
        IF NOT EXISTS (SELECT FROM events AS e
                       WHERE e.day = finished AND e.received_at >= now() - idle) THEN
            RETURN NEXT finished;
        END IF;
    END LOOP;
END
$$;
-- end

-- functions/sealing_indexes.sql
-- The indexes that a sealed day's partition has besides those of every partition: their names, and
-- what follows CREATE INDEX name ON.
CREATE OR REPLACE FUNCTION sealing_indexes(sealed date)
RETURNS TABLE (index_name text, definition text)
LANGUAGE sql STABLE AS $$
    SELECT format('events_%s_%s', to_char(sealed, 'YYYYMMDD'), i.name),
           format('public.events_%s USING %s', to_char(sealed, 'YYYYMMDD'), i.definition)
    FROM sealed_day_indexes AS i
    ORDER BY i.place
$$;
-- end

-- functions/mark_sealed.sql
-- Fills the rollups of sealed days for a day whose indexes are there, and marks it sealed.
CREATE OR REPLACE FUNCTION mark_sealed(sealed date) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(rollups_lock());
    PERFORM count_sealed_rollups(sealed);
    UPDATE event_days SET sealed_at = now() WHERE day = sealed;
END
$$;
REVOKE ALL ON FUNCTION mark_sealed (date) FROM PUBLIC;
-- end

-- functions/seal_day.sql
-- Seals one day in one transaction, for a cron trigger in the database. Writers of that day wait while
-- its indexes are built; infra/database/seal.py builds them concurrently.
CREATE OR REPLACE FUNCTION seal_day(sealed date) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    index record;
BEGIN
    FOR index IN SELECT * FROM sealing_indexes(sealed) LOOP
        EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %s', index.index_name, index.definition);
    END LOOP;
    PERFORM mark_sealed(sealed);
END
$$;
REVOKE ALL ON FUNCTION seal_day (date) FROM PUBLIC;
-- end

-- functions/clear_rollups.sql
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
-- end

-- functions/drop_day.sql
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
-- end

-- functions/drop_days_before.sql
-- Drops every day before `keep_from`; a cron trigger in the database calls for example
--   CALL drop_days_before((now() AT TIME ZONE 'UTC')::date - 90);
CREATE OR REPLACE PROCEDURE drop_days_before(keep_from date)
LANGUAGE plpgsql AS $$
DECLARE
    dropped date;
BEGIN
    FOR dropped IN SELECT day FROM event_days WHERE day < keep_from ORDER BY day LOOP
        PERFORM drop_day(dropped);
        COMMIT;
    END LOOP;
END
$$;
REVOKE ALL ON PROCEDURE drop_days_before (date) FROM PUBLIC;
-- end

-- functions/traces_of_user.sql
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
-- end

-- functions/delete_user_events.sql
-- Deletes a user's events of one day, and all sums and sketches of that day: a sketch cannot forget one
-- user. Rollups of sealed days keep other users' rows. The caller counts the day's events again in the
-- same transaction (functions/process_batch/recount.py). It holds rollups_lock() since before the
-- transaction began, and the isolation level is REPEATABLE READ: so events that others write meanwhile
-- keep their own deltas, and nothing is counted twice. Returns how many events were deleted.
CREATE OR REPLACE FUNCTION delete_user_events(
    of_day date, deleted_user text, only_source text DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    starts timestamptz := of_day::timestamp AT TIME ZONE 'UTC';
    deleted bigint;
    late_users text[];
    rollup text;
BEGIN
    IF current_setting('transaction_isolation') <> 'repeatable read' THEN
        RAISE EXCEPTION 'delete_user_events() wants a transaction that is REPEATABLE READ';
    END IF;
    EXECUTE 'DELETE FROM public.events '
            'WHERE day = $1 AND user_id = $2 AND ($3 IS NULL OR source = $3)'
        USING of_day, deleted_user, only_source;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    -- users of late events, whom compaction would have counted anew
    late_users := ARRAY(SELECT DISTINCT unnest(users) FROM rollup_deltas
                        WHERE hour >= starts AND hour < starts + interval '24 hours');
    PERFORM clear_rollups(of_day, '{sums,sketches}');
    IF EXISTS (SELECT FROM event_days WHERE day = of_day AND sealed_at IS NOT NULL) THEN
        FOR rollup IN SELECT name FROM rollups WHERE kind = 'sealed' LOOP
            EXECUTE format('DELETE FROM public.%I WHERE day = $1 AND user_id = $2', rollup)
                USING of_day, deleted_user;
        END LOOP;
        PERFORM count_sealed_rollups(of_day, late_users || deleted_user);
    END IF;
    RETURN deleted;
END
$$;
REVOKE ALL ON FUNCTION delete_user_events (date, text, text) FROM PUBLIC;
-- end

-- CATALOGUE OF ROLLUPS
--
-- A table becomes a rollup by its row here (prepare_rollup): compaction, sealing and dropping of days
-- go through these rows.

-- What a measure is: over events, over deltas, and when it is added to a row that is there.
CREATE TABLE rollup_measures (
    name      text PRIMARY KEY,
    of_events text NOT NULL,
    of_deltas text,
    added     text
);
COMMENT ON COLUMN rollup_measures.of_deltas IS 'null: deltas do not have it, so only sealed days do';
COMMENT ON COLUMN rollup_measures.added IS 'r: the row that is there, excluded: what is added';
INSERT INTO rollup_measures (name, of_events, of_deltas, added) VALUES
    ('events', 'count(*)', 'sum(events)::bigint', 'r.events + excluded.events'),
    ('purchases', 'count(revenue)', 'sum(purchases)::bigint', 'r.purchases + excluded.purchases'),
    ('revenue', 'coalesce(sum(revenue), 0)', 'sum(revenue)', 'r.revenue + excluded.revenue'),
    ('first_at', 'min(occurred_at)', 'min(first_at)', 'least(r.first_at, excluded.first_at)'),
    ('last_at', 'max(occurred_at)', 'max(last_at)', 'greatest(r.last_at, excluded.last_at)');
INSERT INTO rollup_measures (name, of_events) VALUES
    ('top_events', $$count(*) FILTER (WHERE funnel_stage = 'top')$$),
    ('bottom_events', $$count(*) FILTER (WHERE funnel_stage = 'bottom')$$),
    ('first_top_at', $$min(occurred_at) FILTER (WHERE funnel_stage = 'top')$$),
    ('last_bottom_at', $$max(occurred_at) FILTER (WHERE funnel_stage = 'bottom')$$);

CREATE TABLE rollups (
    name      text PRIMARY KEY CHECK (name ~ '^[a-z][a-z_]*$'),
    kind      text NOT NULL CHECK (kind IN ('sums', 'sketches', 'sealed')),
    grain     text NOT NULL CHECK (grain IN ('hour', 'day')),
    keys      text[] NOT NULL CHECK (keys <> '{}'),
    measures  text[] NOT NULL CHECK (measures <> '{}'),
    total_key text CHECK (total_key = ANY (keys)),
    CHECK (keys <@ ARRAY['source', 'funnel_stage', 'event_type', 'country', 'campaign_id',
                         'dimension', 'value', 'user_id']),
    CHECK (('dimension' = ANY (keys)) = ('value' = ANY (keys))),
    CHECK ('dimension' <> ALL (keys) OR kind = 'sums' AND measures <@ ARRAY['events', 'revenue']),
    CHECK (('user_id' = ANY (keys)) = (kind = 'sealed')),
    CHECK (kind <> 'sealed' OR grain = 'day'),
    CHECK (kind <> 'sums' OR starts_with(name, 'rollup_')),
    CHECK (kind = 'sketches' OR total_key IS NULL)
);
COMMENT ON COLUMN rollups.kind IS
    'sums: of the events, kept by compaction; sketches: of their users, likewise; '
    'sealed: of each user, counted when a day is sealed, and anew for users of late events';
COMMENT ON COLUMN rollups.grain IS 'the column of the time';
COMMENT ON COLUMN rollups.keys IS 'the other columns of the unique key';
COMMENT ON COLUMN rollups.total_key IS
    'a key that is also kept as an empty text: all its values together. Only those rows have theta';
GRANT SELECT ON rollup_measures, rollups TO universe_reader, universe_writer;

CREATE TRIGGER prepare_rollup AFTER INSERT ON rollups
FOR EACH ROW EXECUTE FUNCTION prepare_rollup();

INSERT INTO rollups (kind, grain, name, keys, measures)
SELECT 'sums', g.grain, format('rollup_%s_%s', g.grain, r.name), r.keys, r.measures
FROM (VALUES ('hour'), ('day')) AS g (grain), (VALUES
    ('types', '{source, funnel_stage, event_type}'::text[],
     '{events, purchases, revenue, first_at, last_at}'::text[]),
    ('countries', '{source, funnel_stage, event_type, country}',
     '{events, purchases, revenue, first_at, last_at}'),
    ('campaigns', '{source, funnel_stage, event_type, campaign_id}',
     '{events, purchases, revenue, first_at, last_at}'),
    ('campaign_countries', '{source, funnel_stage, event_type, campaign_id, country}',
     '{events, purchases, revenue, first_at, last_at}'),
    ('demographics', '{source, funnel_stage, event_type, country, dimension, value}',
     '{events, revenue}'),
    ('campaign_demographics', '{source, funnel_stage, event_type, campaign_id, dimension, value}',
     '{events, revenue}')
) AS r (name, keys, measures);
INSERT INTO rollups (name, kind, grain, keys, measures) VALUES
    ('rollup_day_groups', 'sums', 'day', '{source, funnel_stage, event_type, dimension, value}',
     '{events, revenue}'),
    ('rollup_day_group_totals', 'sums', 'day', '{source, dimension, value}', '{events, revenue}'),
    ('rollup_hour_country_users', 'sketches', 'hour', '{source, country}', '{hll}'),
    ('rollup_day_country_users', 'sketches', 'day', '{source, country}', '{hll}'),
    ('day_users', 'sealed', 'day', '{source, user_id}',
     '{events, top_events, bottom_events, purchases, revenue, first_at, last_at, first_top_at,
       last_bottom_at}');
INSERT INTO rollups (name, kind, grain, keys, measures, total_key) VALUES
    ('rollup_hour_users', 'sketches', 'hour', '{source, funnel_stage, event_type}', '{hll, theta}',
     'event_type'),
    ('rollup_day_users', 'sketches', 'day', '{source, funnel_stage, event_type}', '{hll, theta}',
     'event_type');

-- RIGHTS OF EVERY ROLE
--
-- Rights that PostgreSQL gives to every role and that none of ours needs: to make temporary tables, to
-- store large objects, and to take advisory locks, with which a reader could stop compaction.

-- Temporary tables: process-batch copies into one.
DO $$
BEGIN
    IF (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()) THEN
        EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
        EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO universe_writer', current_database());
    ELSE
        RAISE WARNING 'every role may make temporary tables: % does not own the database %', current_user,
            current_database();
    END IF;
END
$$;

-- Functions of PostgreSQL itself belong to its first superuser. Where the migrations run as another
-- role, that superuser does the same beforehand: overlays/production/postgres.yaml shows how.
DO $$
DECLARE
    function record;
    left_open text[];
BEGIN
    FOR function IN
        SELECT p.oid::regprocedure AS signature, pg_has_role(p.proowner, 'USAGE') AS owned
        FROM pg_proc AS p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace
          AND p.proname ~ '^(lo_|lo(read|write)$|pg_(try_)?advisory_)'
          AND has_function_privilege('public', p.oid, 'EXECUTE')
    LOOP
        IF function.owned THEN
            EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', function.signature);
        ELSE
            left_open := left_open || function.signature::text;
        END IF;
    END LOOP;
    IF left_open IS NOT NULL THEN
        RAISE WARNING 'every role may call %, among others: % does not own these functions',
            left_open[1], current_user
            USING HINT = 'as a superuser: REVOKE EXECUTE ON FUNCTION ... FROM PUBLIC, then GRANT it to '
                || current_user;
    END IF;
END
$$;

-- MONITORING
--
-- What the exporter asks and the role universe_reader may not see by itself.

-- functions/monitored_sessions.sql
-- Sessions in this database by role and state. With its owner's rights, so that universe_reader needs no
-- membership of pg_monitor, which shows the text of all users' queries. An owner that is no superuser
-- sees the state of its own sessions only.
CREATE OR REPLACE FUNCTION monitored_sessions()
RETURNS TABLE (role text, state text, sessions bigint, longest_transaction_seconds float8)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(a.usename, 'none')::text, coalesce(a.state, 'not visible'), count(*),
           coalesce(max(extract(epoch FROM clock_timestamp() - a.xact_start)), 0)::float8
    FROM pg_stat_activity AS a
    WHERE a.datname = current_database()
    GROUP BY 1, 2
$$;
COMMENT ON FUNCTION monitored_sessions IS 'sessions in this database by role and state';
REVOKE ALL ON FUNCTION monitored_sessions () FROM PUBLIC;
GRANT EXECUTE ON FUNCTION monitored_sessions () TO universe_reader;
-- end

-- functions/monitored_bloat.sql
-- An estimate from the planner's statistics: the bytes that the live rows of a table would take if
-- they were packed, against the bytes it has. Partitions count as their table.
CREATE OR REPLACE FUNCTION monitored_bloat()
RETURNS TABLE (table_name text, heap_bytes bigint, bloat_bytes bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH tables AS (
        SELECT coalesce(pg_partition_root(c.oid), c.oid) AS root, c.relname,
               coalesce(pg_relation_size(c.oid), 0) AS bytes,
               greatest(pg_stat_get_live_tuples(c.oid), 0) AS live_rows,
               coalesce((SELECT split_part(o, '=', 2)::float8 FROM unnest(c.reloptions) AS o
                         WHERE o LIKE 'fillfactor=%'), 100) / 100 AS fill
        FROM pg_class AS c
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
    ),
    rows AS (
        -- 24: row header and null bitmap, 4: line pointer, 4: padding on the average
        SELECT t.root, t.bytes, t.live_rows, t.fill,
               24 + 4 + 4 + sum((1 - s.null_frac) * s.avg_width) AS row_bytes
        FROM tables AS t
        LEFT JOIN pg_stats AS s ON s.schemaname = 'public' AND s.tablename = t.relname
        GROUP BY t.root, t.relname, t.bytes, t.live_rows, t.fill
    )
    SELECT (SELECT relname FROM pg_class WHERE oid = r.root)::text, sum(r.bytes)::bigint,
           -- a table that was never analyzed counts as packed; so does what fits one page
           sum(CASE WHEN r.row_bytes IS NULL OR r.bytes <= 8192 THEN 0
                    ELSE greatest(0, r.bytes - 8192 * (ceil(r.live_rows * r.row_bytes
                                                           / (8168 * r.fill)) + 1))
               END)::bigint
    FROM rows AS r
    GROUP BY r.root
$$;
COMMENT ON FUNCTION monitored_bloat IS 'estimated bytes of each table that hold no live row';
REVOKE ALL ON FUNCTION monitored_bloat () FROM PUBLIC;
GRANT EXECUTE ON FUNCTION monitored_bloat () TO universe_reader;
-- end

-- WORKSPACE
--
-- What a team keeps beside its events. analytics-query writes here, and nowhere else: the role
-- universe_reader may change rows of these tables, in transactions that name themselves READ WRITE.
CREATE SCHEMA workspace;

-- What was spent on a campaign on a day of the workspace's time zone.
CREATE TABLE workspace.spend (
    day         date NOT NULL,
    source      text COLLATE "C" NOT NULL,
    campaign_id text COLLATE "C" NOT NULL,
    amount      numeric NOT NULL CHECK (amount >= 0),
    imported_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (day, source, campaign_id)
);
COMMENT ON COLUMN workspace.spend.day IS 'a day of the time zone of the workspace (TIMEZONE)';
COMMENT ON COLUMN workspace.spend.amount IS 'in the currency of the workspace (CURRENCY)';

-- A view of the dashboard by name: the query of its address.
CREATE TABLE workspace.views (
    id         uuid NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    query      text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- Something that happened, to be marked on curves.
CREATE TABLE workspace.annotations (
    id    uuid NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    time  timestamptz NOT NULL,
    label text NOT NULL
);
CREATE INDEX annotations_time ON workspace.annotations (time);

-- A link to read with, limited to its filters.
CREATE TABLE workspace.shares (
    id         uuid NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    name       text NOT NULL,
    filters    jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);

-- What links are signed with; made with the first one. Without it no link that was given away is valid.
CREATE TABLE workspace.share_secret (
    only_row boolean NOT NULL DEFAULT true PRIMARY KEY CHECK (only_row),
    secret   text NOT NULL
);

-- A figure that is watched, or a summary that is sent; and how it stands.
CREATE TABLE workspace.alerts (
    id           uuid NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    name         text NOT NULL UNIQUE,
    rule         jsonb NOT NULL,
    emails       text[] NOT NULL,
    webhook      text,
    changed_at   timestamptz NOT NULL DEFAULT now(),
    next_at      timestamptz NOT NULL DEFAULT now(),
    judged       timestamptz,
    firing_since timestamptz,
    value        numeric,
    compared     numeric,
    checked_at   timestamptz,
    notified_at  timestamptz,
    check_error  text,
    send_errors  jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX alerts_next ON workspace.alerts (next_at);
COMMENT ON COLUMN workspace.alerts.next_at IS 'when it is judged next; while that runs, when it is given up';
COMMENT ON COLUMN workspace.alerts.judged IS 'the start of the last whole interval that was judged; the time of the last summary';
COMMENT ON COLUMN workspace.alerts.send_errors IS 'what went wrong last, by recipient';

-- A message of an alert to one recipient, until it is sent or given up.
CREATE TABLE workspace.alert_messages (
    id        uuid NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    alert_id  uuid NOT NULL REFERENCES workspace.alerts ON DELETE CASCADE,
    recipient text NOT NULL,
    message   jsonb NOT NULL,
    made_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts  integer NOT NULL DEFAULT 0,
    next_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX alert_messages_of ON workspace.alert_messages (alert_id, recipient, made_at);
COMMENT ON COLUMN workspace.alert_messages.recipient IS 'mailto:ADDRESS, or the URL of a webhook';

-- One of a recipient at a time: that something is over is not said before that it began. Tests wait for
-- nothing, and nothing waits for them.
CREATE VIEW workspace.alert_messages_in_order AS
SELECT m.id, m.next_at
FROM workspace.alert_messages AS m
WHERE m.message ->> 'kind' = 'test' OR NOT EXISTS (
    SELECT FROM workspace.alert_messages AS e
    WHERE e.alert_id = m.alert_id AND e.recipient = m.recipient
        AND (e.made_at, e.id) < (m.made_at, m.id) AND e.message ->> 'kind' <> 'test'
);
COMMENT ON VIEW workspace.alert_messages_in_order IS 'the messages that may be sent next, at their time';

-- What came of sending since the database was made; they stay when an alert is deleted.
CREATE TABLE workspace.alert_attempts (
    channel  text NOT NULL,
    outcome  text NOT NULL,
    attempts bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (channel, outcome)
);
INSERT INTO workspace.alert_attempts (channel, outcome)
SELECT c, o FROM unnest('{email,webhook}'::text[]) AS c, unnest('{sent,failed,lost}'::text[]) AS o;
COMMENT ON COLUMN workspace.alert_attempts.outcome IS 'sent; failed: it is tried again; lost: it was given up';

GRANT USAGE ON SCHEMA workspace TO universe_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA workspace TO universe_reader;
-- of tables that later migrations make
ALTER DEFAULT PRIVILEGES IN SCHEMA workspace
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO universe_reader;

-- migrate:down
DO $$
DECLARE
    function record;
BEGIN
    FOR function IN
        SELECT p.oid::regprocedure AS signature
        FROM pg_proc AS p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace
          AND p.proname ~ '^(lo_|lo(read|write)$|pg_(try_)?advisory_)'
          AND p.proname NOT IN ('lo_import', 'lo_export')
          AND pg_has_role(p.proowner, 'USAGE')
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', function.signature);
    END LOOP;
    IF (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()) THEN
        EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database());
        EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM universe_writer', current_database());
    END IF;
END
$$;
DROP SCHEMA workspace CASCADE;
DROP FUNCTION monitored_bloat (), monitored_sessions ();
DO $$
DECLARE
    rollup text;
BEGIN
    FOR rollup IN SELECT name FROM rollups LOOP
        EXECUTE format('DROP TABLE public.%I CASCADE', rollup); -- and its view
    END LOOP;
END
$$;
DROP TABLE rollups, rollup_measures;
DROP PROCEDURE drop_days_before (date);
DROP FUNCTION delete_user_events (date, text, text), traces_of_user (date, text, text),
    clear_rollups (date, text[]), drop_day (date), seal_day (date), mark_sealed (date), sealing_indexes (date),
    days_to_seal (interval), count_sealed_rollups (date, text[]), list_leading_users (date), prepare_rollup (),
    ensure_partitions_within (date[], integer), ensure_partitions (date[]);
DROP VIEW live_pending_users, pending_groups;
DROP TABLE erasures, leading_users, rollup_deltas, sealed_day_indexes, event_days, events;
DROP FUNCTION try_rollups_lock (), in_user_sample (text), user_hash (text), sampling_modulus (), sealing_lock (), rollups_lock (),
    partitions_lock (), advisory_lock_class ();
REVOKE USAGE ON SCHEMA public FROM universe_writer, universe_reader;
