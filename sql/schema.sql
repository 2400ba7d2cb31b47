SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: workspace; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA workspace;


--
-- Name: advisory_lock_class(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.advisory_lock_class() RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((7305)::bigint << 32);


--
-- Name: clear_rollups(date, text[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.clear_rollups(cleared date, kinds text[] DEFAULT '{sums,sketches,sealed}'::text[]) RETURNS void
    LANGUAGE plpgsql
    AS $_$
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
$_$;


--
-- Name: count_sealed_rollups(date, text[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.count_sealed_rollups(counted date, only_users text[] DEFAULT NULL::text[]) RETURNS void
    LANGUAGE plpgsql
    AS $_$
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
$_$;


--
-- Name: days_to_seal(interval); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.days_to_seal(idle interval DEFAULT '01:00:00'::interval) RETURNS SETOF date
    LANGUAGE plpgsql STABLE
    AS $$
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


--
-- Name: delete_user_events(date, text, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.delete_user_events(of_day date, deleted_user text, only_source text DEFAULT NULL::text) RETURNS bigint
    LANGUAGE plpgsql
    AS $_$
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
$_$;


--
-- Name: drop_day(date); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.drop_day(dropped date) RETURNS void
    LANGUAGE plpgsql
    SET lock_timeout TO '5s'
    AS $$
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


--
-- Name: drop_days_before(date); Type: PROCEDURE; Schema: public; Owner: -
--

CREATE PROCEDURE public.drop_days_before(IN keep_from date)
    LANGUAGE plpgsql
    AS $$
DECLARE
    dropped date;
BEGIN
    FOR dropped IN SELECT day FROM event_days WHERE day < keep_from ORDER BY day LOOP
        PERFORM drop_day(dropped);
        COMMIT;
    END LOOP;
END
$$;


--
-- Name: ensure_partitions(date[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.ensure_partitions(wanted date[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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


--
-- Name: ensure_partitions_within(date[], integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.ensure_partitions_within(wanted date[], max_per_minute integer) RETURNS SETOF date
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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


--
-- Name: sampling_modulus(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.sampling_modulus() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 32;


--
-- Name: user_hash(text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.user_hash(user_id text) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN hashtextextended(user_id, (7305)::bigint);


--
-- Name: in_user_sample(text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.in_user_sample(user_id text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((public.user_hash(user_id) & ((public.sampling_modulus() - 1))::bigint) = 0);


--
-- Name: list_leading_users(date); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.list_leading_users(listed date) RETURNS void
    LANGUAGE plpgsql
    AS $$
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


--
-- Name: mark_sealed(date); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.mark_sealed(sealed date) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(rollups_lock());
    PERFORM count_sealed_rollups(sealed);
    UPDATE event_days SET sealed_at = now() WHERE day = sealed;
END
$$;


--
-- Name: monitored_bloat(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.monitored_bloat() RETURNS TABLE(table_name text, heap_bytes bigint, bloat_bytes bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


--
-- Name: FUNCTION monitored_bloat(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.monitored_bloat() IS 'estimated bytes of each table that hold no live row';


--
-- Name: monitored_sessions(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.monitored_sessions() RETURNS TABLE(role text, state text, sessions bigint, longest_transaction_seconds double precision)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT coalesce(a.usename, 'none')::text, coalesce(a.state, 'not visible'), count(*),
           coalesce(max(extract(epoch FROM clock_timestamp() - a.xact_start)), 0)::float8
    FROM pg_stat_activity AS a
    WHERE a.datname = current_database()
    GROUP BY 1, 2
$$;


--
-- Name: FUNCTION monitored_sessions(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.monitored_sessions() IS 'sessions in this database by role and state';


--
-- Name: partitions_lock(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.partitions_lock() RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (public.advisory_lock_class() + 1);


--
-- Name: prepare_rollup(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.prepare_rollup() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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


--
-- Name: rollups_lock(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.rollups_lock() RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (public.advisory_lock_class() + 2);


--
-- Name: seal_day(date); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.seal_day(sealed date) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    index record;
BEGIN
    FOR index IN SELECT * FROM sealing_indexes(sealed) LOOP
        EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %s', index.index_name, index.definition);
    END LOOP;
    PERFORM mark_sealed(sealed);
END
$$;


--
-- Name: sealing_indexes(date); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.sealing_indexes(sealed date) RETURNS TABLE(index_name text, definition text)
    LANGUAGE sql STABLE
    AS $$
    SELECT format('events_%s_%s', to_char(sealed, 'YYYYMMDD'), i.name),
           format('public.events_%s USING %s', to_char(sealed, 'YYYYMMDD'), i.definition)
    FROM sealed_day_indexes AS i
    ORDER BY i.place
$$;


--
-- Name: sealing_lock(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.sealing_lock() RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (public.advisory_lock_class() + 3);


--
-- Name: traces_of_user(date, text, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.traces_of_user(searched date, wanted_user text, only_source text DEFAULT NULL::text, OUT user_events bigint, OUT derived boolean) RETURNS record
    LANGUAGE plpgsql STABLE
    AS $_$
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
$_$;


--
-- Name: try_rollups_lock(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.try_rollups_lock() RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    RETURN pg_try_advisory_xact_lock(public.rollups_lock());


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: day_users; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.day_users (
    day date NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    events bigint NOT NULL,
    top_events bigint NOT NULL,
    bottom_events bigint NOT NULL,
    purchases bigint NOT NULL,
    revenue numeric NOT NULL,
    first_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL,
    first_top_at timestamp with time zone,
    last_bottom_at timestamp with time zone
);


--
-- Name: COLUMN day_users.first_top_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.day_users.first_top_at IS 'first event at the top of the funnel, if any';


--
-- Name: COLUMN day_users.last_bottom_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.day_users.last_bottom_at IS 'last event at the bottom: a user whose earliest first_top_at lies before the latest last_bottom_at was seen at the top and later at the bottom';


--
-- Name: erasures; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.erasures (
    id bigint NOT NULL,
    reference text,
    source text,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    events bigint DEFAULT 0 NOT NULL,
    days integer DEFAULT 0 NOT NULL,
    dead_letters bigint DEFAULT 0 NOT NULL
);


--
-- Name: TABLE erasures; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.erasures IS 'a row for each run of "universe erase"; nothing in it names the person';


--
-- Name: COLUMN erasures.reference; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.erasures.reference IS 'what the operator calls the request, if anything';


--
-- Name: COLUMN erasures.source; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.erasures.source IS 'only events of this source; null: of all';


--
-- Name: COLUMN erasures.finished_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.erasures.finished_at IS 'null: it was interrupted, or something was out of reach';


--
-- Name: COLUMN erasures.days; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.erasures.days IS 'how many days were counted again';


--
-- Name: erasures_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.erasures ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.erasures_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: event_days; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.event_days (
    day date NOT NULL,
    sealed_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);


--
-- Name: COLUMN event_days.sealed_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.event_days.sealed_at IS 'when the look-up indexes of the day''s partition and the rollups of sealed days were built';


--
-- Name: events; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.events (
    event_id text NOT NULL COLLATE pg_catalog."C",
    day date NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    funnel_stage text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    country text COLLATE pg_catalog."C",
    campaign_id text COLLATE pg_catalog."C",
    revenue numeric,
    data jsonb NOT NULL,
    extra jsonb
)
PARTITION BY RANGE (day);


--
-- Name: COLUMN events.day; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.events.day IS 'UTC day of occurred_at';


--
-- Name: COLUMN events.revenue; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.events.revenue IS 'amount of the purchase, where the event is one';


--
-- Name: COLUMN events.extra; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.events.extra IS 'fields of the envelope that the contract does not know';


--
-- Name: leading_users; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.leading_users (
    day date NOT NULL,
    measure text NOT NULL COLLATE pg_catalog."C",
    source text NOT NULL COLLATE pg_catalog."C",
    hashes bytea NOT NULL,
    amounts bytea NOT NULL,
    user_ids text[] NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT leading_users_measure_check CHECK ((measure = ANY (ARRAY['events'::text, 'revenue'::text])))
);
ALTER TABLE ONLY public.leading_users ALTER COLUMN hashes SET STORAGE EXTERNAL;
ALTER TABLE ONLY public.leading_users ALTER COLUMN amounts SET STORAGE EXTERNAL;


--
-- Name: COLUMN leading_users.hashes; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.leading_users.hashes IS 'user_hash() of each user, as int8send() writes it';


--
-- Name: COLUMN leading_users.amounts; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.leading_users.amounts IS 'the events or the revenue of each user, as float8send() writes it';


--
-- Name: rollup_day_campaign_countries; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_day_campaign_countries (
    day date NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    funnel_stage text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    campaign_id text NOT NULL COLLATE pg_catalog."C",
    country text COLLATE pg_catalog."C",
    events bigint NOT NULL,
    purchases bigint NOT NULL,
    revenue numeric NOT NULL,
    first_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL
)
WITH (fillfactor='80');


--
-- Name: rollup_deltas; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_deltas (
    hour timestamp with time zone NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    funnel_stage text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    country text COLLATE pg_catalog."C",
    campaign_id text COLLATE pg_catalog."C",
    events bigint NOT NULL,
    purchases bigint NOT NULL,
    revenue numeric NOT NULL,
    first_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL,
    users text[] NOT NULL COLLATE pg_catalog."C",
    groups text[] NOT NULL COLLATE pg_catalog."C",
    group_events bigint[] NOT NULL,
    group_revenue numeric[]
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='20000');


--
-- Name: TABLE rollup_deltas; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.rollup_deltas IS 'what was written since the last compaction, at the finest grain';


--
-- Name: COLUMN rollup_deltas.users; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.rollup_deltas.users IS 'the users who acted, each once';


--
-- Name: COLUMN rollup_deltas.groups; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.rollup_deltas.groups IS 'demographic groups as dimension=value; group_events and group_revenue run beside it';


--
-- Name: COLUMN rollup_deltas.group_revenue; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.rollup_deltas.group_revenue IS 'null: no revenue in this row';


--
-- Name: live_day_campaign_countries; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.live_day_campaign_countries AS
 SELECT rollup_day_campaign_countries.day,
    rollup_day_campaign_countries.source,
    rollup_day_campaign_countries.funnel_stage,
    rollup_day_campaign_countries.event_type,
    rollup_day_campaign_countries.campaign_id,
    rollup_day_campaign_countries.country,
    rollup_day_campaign_countries.events,
    rollup_day_campaign_countries.purchases,
    rollup_day_campaign_countries.revenue,
    rollup_day_campaign_countries.first_at,
    rollup_day_campaign_countries.last_at
   FROM public.rollup_day_campaign_countries
UNION ALL
 SELECT ((rollup_deltas.hour AT TIME ZONE 'UTC'::text))::date AS day,
    rollup_deltas.source,
    rollup_deltas.funnel_stage,
    rollup_deltas.event_type,
    rollup_deltas.campaign_id,
    rollup_deltas.country,
    rollup_deltas.events,
    rollup_deltas.purchases,
    rollup_deltas.revenue,
    rollup_deltas.first_at,
    rollup_deltas.last_at
   FROM public.rollup_deltas
  WHERE (rollup_deltas.campaign_id IS NOT NULL);


--
-- Name: pending_groups; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.pending_groups AS
 SELECT d.hour,
    d.source,
    d.funnel_stage,
    d.event_type,
    d.country,
    d.campaign_id,
    split_part(g.name, '='::text, 1) AS dimension,
    substr(g.name, (strpos(g.name, '='::text) + 1)) AS value,
    g.events,
    COALESCE(g.revenue, (0)::numeric) AS revenue
   FROM public.rollup_deltas d,
    LATERAL UNNEST(d.groups, d.group_events, d.group_revenue) g(name, events, revenue);


--
-- Name: rollup_day_campaign_demographics; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_day_campaign_demographics (
    day date NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    funnel_stage text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    campaign_id text NOT NULL COLLATE pg_catalog."C",
    dimension text NOT NULL COLLATE pg_catalog."C",
    value text NOT NULL COLLATE pg_catalog."C",
    events bigint NOT NULL,
    revenue numeric NOT NULL
)
WITH (fillfactor='80');


--
-- Name: live_day_campaign_demographics; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.live_day_campaign_demographics AS
 SELECT rollup_day_campaign_demographics.day,
    rollup_day_campaign_demographics.source,
    rollup_day_campaign_demographics.funnel_stage,
    rollup_day_campaign_demographics.event_type,
    rollup_day_campaign_demographics.campaign_id,
    rollup_day_campaign_demographics.dimension,
    rollup_day_campaign_demographics.value,
    rollup_day_campaign_demographics.events,
    rollup_day_campaign_demographics.revenue
   FROM public.rollup_day_campaign_demographics
UNION ALL
 SELECT ((pending_groups.hour AT TIME ZONE 'UTC'::text))::date AS day,
    pending_groups.source,
    pending_groups.funnel_stage,
    pending_groups.event_type,
    pending_groups.campaign_id,
    pending_groups.dimension,
    pending_groups.value,
    pending_groups.events,
    pending_groups.revenue
   FROM public.pending_groups
  WHERE (pending_groups.campaign_id IS NOT NULL);


--
-- Name: rollup_day_campaigns; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_day_campaigns (
    day date NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    funnel_stage text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    campaign_id text NOT NULL COLLATE pg_catalog."C",
    events bigint NOT NULL,
    purchases bigint NOT NULL,
    revenue numeric NOT NULL,
    first_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL
)
WITH (fillfactor='80');


--
-- Name: live_day_campaigns; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.live_day_campaigns AS
 SELECT rollup_day_campaigns.day,
    rollup_day_campaigns.source,
    rollup_day_campaigns.funnel_stage,
    rollup_day_campaigns.event_type,
    rollup_day_campaigns.campaign_id,
    rollup_day_campaigns.events,
    rollup_day_campaigns.purchases,
    rollup_day_campaigns.revenue,
    rollup_day_campaigns.first_at,
    rollup_day_campaigns.last_at
   FROM public.rollup_day_campaigns
UNION ALL
 SELECT ((rollup_deltas.hour AT TIME ZONE 'UTC'::text))::date AS day,
    rollup_deltas.source,
    rollup_deltas.funnel_stage,
    rollup_deltas.event_type,
    rollup_deltas.campaign_id,
    rollup_deltas.events,
    rollup_deltas.purchases,
    rollup_deltas.revenue,
    rollup_deltas.first_at,
    rollup_deltas.last_at
   FROM public.rollup_deltas
  WHERE (rollup_deltas.campaign_id IS NOT NULL);


--
-- Name: rollup_day_countries; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_day_countries (
    day date NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    funnel_stage text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    country text COLLATE pg_catalog."C",
    events bigint NOT NULL,
    purchases bigint NOT NULL,
    revenue numeric NOT NULL,
    first_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL
)
WITH (fillfactor='80');


--
-- Name: live_day_countries; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.live_day_countries AS
 SELECT rollup_day_countries.day,
    rollup_day_countries.source,
    rollup_day_countries.funnel_stage,
    rollup_day_countries.event_type,
    rollup_day_countries.country,
    rollup_day_countries.events,
    rollup_day_countries.purchases,
    rollup_day_countries.revenue,
    rollup_day_countries.first_at,
    rollup_day_countries.last_at
   FROM public.rollup_day_countries
UNION ALL
 SELECT ((rollup_deltas.hour AT TIME ZONE 'UTC'::text))::date AS day,
    rollup_deltas.source,
    rollup_deltas.funnel_stage,
    rollup_deltas.event_type,
    rollup_deltas.country,
    rollup_deltas.events,
    rollup_deltas.purchases,
    rollup_deltas.revenue,
    rollup_deltas.first_at,
    rollup_deltas.last_at
   FROM public.rollup_deltas;


--
-- Name: rollup_day_demographics; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_day_demographics (
    day date NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    funnel_stage text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    country text COLLATE pg_catalog."C",
    dimension text NOT NULL COLLATE pg_catalog."C",
    value text NOT NULL COLLATE pg_catalog."C",
    events bigint NOT NULL,
    revenue numeric NOT NULL
)
WITH (fillfactor='80');


--
-- Name: live_day_demographics; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.live_day_demographics AS
 SELECT rollup_day_demographics.day,
    rollup_day_demographics.source,
    rollup_day_demographics.funnel_stage,
    rollup_day_demographics.event_type,
    rollup_day_demographics.country,
    rollup_day_demographics.dimension,
    rollup_day_demographics.value,
    rollup_day_demographics.events,
    rollup_day_demographics.revenue
   FROM public.rollup_day_demographics
UNION ALL
 SELECT ((pending_groups.hour AT TIME ZONE 'UTC'::text))::date AS day,
    pending_groups.source,
    pending_groups.funnel_stage,
    pending_groups.event_type,
    pending_groups.country,
    pending_groups.dimension,
    pending_groups.value,
    pending_groups.events,
    pending_groups.revenue
   FROM public.pending_groups;


--
-- Name: rollup_day_group_totals; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_day_group_totals (
    day date NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    dimension text NOT NULL COLLATE pg_catalog."C",
    value text NOT NULL COLLATE pg_catalog."C",
    events bigint NOT NULL,
    revenue numeric NOT NULL
)
WITH (fillfactor='80');


--
-- Name: live_day_group_totals; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.live_day_group_totals AS
 SELECT rollup_day_group_totals.day,
    rollup_day_group_totals.source,
    rollup_day_group_totals.dimension,
    rollup_day_group_totals.value,
    rollup_day_group_totals.events,
    rollup_day_group_totals.revenue
   FROM public.rollup_day_group_totals
UNION ALL
 SELECT ((pending_groups.hour AT TIME ZONE 'UTC'::text))::date AS day,
    pending_groups.source,
    pending_groups.dimension,
    pending_groups.value,
    pending_groups.events,
    pending_groups.revenue
   FROM public.pending_groups;


--
-- Name: rollup_day_groups; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_day_groups (
    day date NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    funnel_stage text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    dimension text NOT NULL COLLATE pg_catalog."C",
    value text NOT NULL COLLATE pg_catalog."C",
    events bigint NOT NULL,
    revenue numeric NOT NULL
)
WITH (fillfactor='80');


--
-- Name: live_day_groups; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.live_day_groups AS
 SELECT rollup_day_groups.day,
    rollup_day_groups.source,
    rollup_day_groups.funnel_stage,
    rollup_day_groups.event_type,
    rollup_day_groups.dimension,
    rollup_day_groups.value,
    rollup_day_groups.events,
    rollup_day_groups.revenue
   FROM public.rollup_day_groups
UNION ALL
 SELECT ((pending_groups.hour AT TIME ZONE 'UTC'::text))::date AS day,
    pending_groups.source,
    pending_groups.funnel_stage,
    pending_groups.event_type,
    pending_groups.dimension,
    pending_groups.value,
    pending_groups.events,
    pending_groups.revenue
   FROM public.pending_groups;


--
-- Name: rollup_day_types; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_day_types (
    day date NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    funnel_stage text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    events bigint NOT NULL,
    purchases bigint NOT NULL,
    revenue numeric NOT NULL,
    first_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL
)
WITH (fillfactor='80');


--
-- Name: live_day_types; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.live_day_types AS
 SELECT rollup_day_types.day,
    rollup_day_types.source,
    rollup_day_types.funnel_stage,
    rollup_day_types.event_type,
    rollup_day_types.events,
    rollup_day_types.purchases,
    rollup_day_types.revenue,
    rollup_day_types.first_at,
    rollup_day_types.last_at
   FROM public.rollup_day_types
UNION ALL
 SELECT ((rollup_deltas.hour AT TIME ZONE 'UTC'::text))::date AS day,
    rollup_deltas.source,
    rollup_deltas.funnel_stage,
    rollup_deltas.event_type,
    rollup_deltas.events,
    rollup_deltas.purchases,
    rollup_deltas.revenue,
    rollup_deltas.first_at,
    rollup_deltas.last_at
   FROM public.rollup_deltas;


--
-- Name: rollup_hour_campaign_countries; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_hour_campaign_countries (
    hour timestamp with time zone NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    funnel_stage text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    campaign_id text NOT NULL COLLATE pg_catalog."C",
    country text COLLATE pg_catalog."C",
    events bigint NOT NULL,
    purchases bigint NOT NULL,
    revenue numeric NOT NULL,
    first_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL
)
WITH (fillfactor='80');


--
-- Name: live_hour_campaign_countries; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.live_hour_campaign_countries AS
 SELECT rollup_hour_campaign_countries.hour,
    rollup_hour_campaign_countries.source,
    rollup_hour_campaign_countries.funnel_stage,
    rollup_hour_campaign_countries.event_type,
    rollup_hour_campaign_countries.campaign_id,
    rollup_hour_campaign_countries.country,
    rollup_hour_campaign_countries.events,
    rollup_hour_campaign_countries.purchases,
    rollup_hour_campaign_countries.revenue,
    rollup_hour_campaign_countries.first_at,
    rollup_hour_campaign_countries.last_at
   FROM public.rollup_hour_campaign_countries
UNION ALL
 SELECT rollup_deltas.hour,
    rollup_deltas.source,
    rollup_deltas.funnel_stage,
    rollup_deltas.event_type,
    rollup_deltas.campaign_id,
    rollup_deltas.country,
    rollup_deltas.events,
    rollup_deltas.purchases,
    rollup_deltas.revenue,
    rollup_deltas.first_at,
    rollup_deltas.last_at
   FROM public.rollup_deltas
  WHERE (rollup_deltas.campaign_id IS NOT NULL);


--
-- Name: rollup_hour_campaign_demographics; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_hour_campaign_demographics (
    hour timestamp with time zone NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    funnel_stage text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    campaign_id text NOT NULL COLLATE pg_catalog."C",
    dimension text NOT NULL COLLATE pg_catalog."C",
    value text NOT NULL COLLATE pg_catalog."C",
    events bigint NOT NULL,
    revenue numeric NOT NULL
)
WITH (fillfactor='80');


--
-- Name: live_hour_campaign_demographics; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.live_hour_campaign_demographics AS
 SELECT rollup_hour_campaign_demographics.hour,
    rollup_hour_campaign_demographics.source,
    rollup_hour_campaign_demographics.funnel_stage,
    rollup_hour_campaign_demographics.event_type,
    rollup_hour_campaign_demographics.campaign_id,
    rollup_hour_campaign_demographics.dimension,
    rollup_hour_campaign_demographics.value,
    rollup_hour_campaign_demographics.events,
    rollup_hour_campaign_demographics.revenue
   FROM public.rollup_hour_campaign_demographics
UNION ALL
 SELECT pending_groups.hour,
    pending_groups.source,
    pending_groups.funnel_stage,
    pending_groups.event_type,
    pending_groups.campaign_id,
    pending_groups.dimension,
    pending_groups.value,
    pending_groups.events,
    pending_groups.revenue
   FROM public.pending_groups
  WHERE (pending_groups.campaign_id IS NOT NULL);


--
-- Name: rollup_hour_campaigns; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_hour_campaigns (
    hour timestamp with time zone NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    funnel_stage text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    campaign_id text NOT NULL COLLATE pg_catalog."C",
    events bigint NOT NULL,
    purchases bigint NOT NULL,
    revenue numeric NOT NULL,
    first_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL
)
WITH (fillfactor='80');


--
-- Name: live_hour_campaigns; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.live_hour_campaigns AS
 SELECT rollup_hour_campaigns.hour,
    rollup_hour_campaigns.source,
    rollup_hour_campaigns.funnel_stage,
    rollup_hour_campaigns.event_type,
    rollup_hour_campaigns.campaign_id,
    rollup_hour_campaigns.events,
    rollup_hour_campaigns.purchases,
    rollup_hour_campaigns.revenue,
    rollup_hour_campaigns.first_at,
    rollup_hour_campaigns.last_at
   FROM public.rollup_hour_campaigns
UNION ALL
 SELECT rollup_deltas.hour,
    rollup_deltas.source,
    rollup_deltas.funnel_stage,
    rollup_deltas.event_type,
    rollup_deltas.campaign_id,
    rollup_deltas.events,
    rollup_deltas.purchases,
    rollup_deltas.revenue,
    rollup_deltas.first_at,
    rollup_deltas.last_at
   FROM public.rollup_deltas
  WHERE (rollup_deltas.campaign_id IS NOT NULL);


--
-- Name: rollup_hour_countries; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_hour_countries (
    hour timestamp with time zone NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    funnel_stage text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    country text COLLATE pg_catalog."C",
    events bigint NOT NULL,
    purchases bigint NOT NULL,
    revenue numeric NOT NULL,
    first_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL
)
WITH (fillfactor='80');


--
-- Name: live_hour_countries; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.live_hour_countries AS
 SELECT rollup_hour_countries.hour,
    rollup_hour_countries.source,
    rollup_hour_countries.funnel_stage,
    rollup_hour_countries.event_type,
    rollup_hour_countries.country,
    rollup_hour_countries.events,
    rollup_hour_countries.purchases,
    rollup_hour_countries.revenue,
    rollup_hour_countries.first_at,
    rollup_hour_countries.last_at
   FROM public.rollup_hour_countries
UNION ALL
 SELECT rollup_deltas.hour,
    rollup_deltas.source,
    rollup_deltas.funnel_stage,
    rollup_deltas.event_type,
    rollup_deltas.country,
    rollup_deltas.events,
    rollup_deltas.purchases,
    rollup_deltas.revenue,
    rollup_deltas.first_at,
    rollup_deltas.last_at
   FROM public.rollup_deltas;


--
-- Name: rollup_hour_demographics; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_hour_demographics (
    hour timestamp with time zone NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    funnel_stage text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    country text COLLATE pg_catalog."C",
    dimension text NOT NULL COLLATE pg_catalog."C",
    value text NOT NULL COLLATE pg_catalog."C",
    events bigint NOT NULL,
    revenue numeric NOT NULL
)
WITH (fillfactor='80');


--
-- Name: live_hour_demographics; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.live_hour_demographics AS
 SELECT rollup_hour_demographics.hour,
    rollup_hour_demographics.source,
    rollup_hour_demographics.funnel_stage,
    rollup_hour_demographics.event_type,
    rollup_hour_demographics.country,
    rollup_hour_demographics.dimension,
    rollup_hour_demographics.value,
    rollup_hour_demographics.events,
    rollup_hour_demographics.revenue
   FROM public.rollup_hour_demographics
UNION ALL
 SELECT pending_groups.hour,
    pending_groups.source,
    pending_groups.funnel_stage,
    pending_groups.event_type,
    pending_groups.country,
    pending_groups.dimension,
    pending_groups.value,
    pending_groups.events,
    pending_groups.revenue
   FROM public.pending_groups;


--
-- Name: rollup_hour_types; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_hour_types (
    hour timestamp with time zone NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    funnel_stage text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    events bigint NOT NULL,
    purchases bigint NOT NULL,
    revenue numeric NOT NULL,
    first_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL
)
WITH (fillfactor='80');


--
-- Name: live_hour_types; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.live_hour_types AS
 SELECT rollup_hour_types.hour,
    rollup_hour_types.source,
    rollup_hour_types.funnel_stage,
    rollup_hour_types.event_type,
    rollup_hour_types.events,
    rollup_hour_types.purchases,
    rollup_hour_types.revenue,
    rollup_hour_types.first_at,
    rollup_hour_types.last_at
   FROM public.rollup_hour_types
UNION ALL
 SELECT rollup_deltas.hour,
    rollup_deltas.source,
    rollup_deltas.funnel_stage,
    rollup_deltas.event_type,
    rollup_deltas.events,
    rollup_deltas.purchases,
    rollup_deltas.revenue,
    rollup_deltas.first_at,
    rollup_deltas.last_at
   FROM public.rollup_deltas;


--
-- Name: live_pending_users; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.live_pending_users AS
 SELECT hour,
    ((hour AT TIME ZONE 'UTC'::text))::date AS day,
    source,
    funnel_stage,
    event_type,
    country,
    campaign_id,
    unnest(users) AS user_id
   FROM public.rollup_deltas;


--
-- Name: rollup_day_country_users; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_day_country_users (
    day date NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    country text NOT NULL COLLATE pg_catalog."C",
    hll bytea NOT NULL
);
ALTER TABLE ONLY public.rollup_day_country_users ALTER COLUMN hll SET STORAGE PLAIN;


--
-- Name: rollup_day_users; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_day_users (
    day date NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    funnel_stage text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    hll bytea NOT NULL,
    theta bytea
);
ALTER TABLE ONLY public.rollup_day_users ALTER COLUMN hll SET STORAGE EXTERNAL;
ALTER TABLE ONLY public.rollup_day_users ALTER COLUMN theta SET STORAGE EXTERNAL;


--
-- Name: rollup_hour_country_users; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_hour_country_users (
    hour timestamp with time zone NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    country text NOT NULL COLLATE pg_catalog."C",
    hll bytea NOT NULL
);
ALTER TABLE ONLY public.rollup_hour_country_users ALTER COLUMN hll SET STORAGE PLAIN;


--
-- Name: rollup_hour_users; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_hour_users (
    hour timestamp with time zone NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    funnel_stage text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    hll bytea NOT NULL,
    theta bytea
);
ALTER TABLE ONLY public.rollup_hour_users ALTER COLUMN hll SET STORAGE EXTERNAL;
ALTER TABLE ONLY public.rollup_hour_users ALTER COLUMN theta SET STORAGE EXTERNAL;


--
-- Name: rollup_measures; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollup_measures (
    name text NOT NULL,
    of_events text NOT NULL,
    of_deltas text,
    added text
);


--
-- Name: COLUMN rollup_measures.of_deltas; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.rollup_measures.of_deltas IS 'null: deltas do not have it, so only sealed days do';


--
-- Name: COLUMN rollup_measures.added; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.rollup_measures.added IS 'r: the row that is there, excluded: what is added';


--
-- Name: rollups; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rollups (
    name text NOT NULL,
    kind text NOT NULL,
    grain text NOT NULL,
    keys text[] NOT NULL,
    measures text[] NOT NULL,
    total_key text,
    CONSTRAINT rollups_check CHECK ((total_key = ANY (keys))),
    CONSTRAINT rollups_check1 CHECK ((('dimension'::text <> ALL (keys)) OR ((kind = 'sums'::text) AND (measures <@ ARRAY['events'::text, 'revenue'::text])))),
    CONSTRAINT rollups_check2 CHECK ((('user_id'::text = ANY (keys)) = (kind = 'sealed'::text))),
    CONSTRAINT rollups_check3 CHECK (((kind <> 'sealed'::text) OR (grain = 'day'::text))),
    CONSTRAINT rollups_check4 CHECK (((kind <> 'sums'::text) OR starts_with(name, 'rollup_'::text))),
    CONSTRAINT rollups_check5 CHECK (((kind = 'sketches'::text) OR (total_key IS NULL))),
    CONSTRAINT rollups_grain_check CHECK ((grain = ANY (ARRAY['hour'::text, 'day'::text]))),
    CONSTRAINT rollups_keys_check CHECK ((keys <> '{}'::text[])),
    CONSTRAINT rollups_keys_check1 CHECK ((keys <@ ARRAY['source'::text, 'funnel_stage'::text, 'event_type'::text, 'country'::text, 'campaign_id'::text, 'dimension'::text, 'value'::text, 'user_id'::text])),
    CONSTRAINT rollups_keys_check2 CHECK ((('dimension'::text = ANY (keys)) = ('value'::text = ANY (keys)))),
    CONSTRAINT rollups_kind_check CHECK ((kind = ANY (ARRAY['sums'::text, 'sketches'::text, 'sealed'::text]))),
    CONSTRAINT rollups_measures_check CHECK ((measures <> '{}'::text[])),
    CONSTRAINT rollups_name_check CHECK ((name ~ '^[a-z][a-z_]*$'::text))
);


--
-- Name: COLUMN rollups.kind; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.rollups.kind IS 'sums: of the events, kept by compaction; sketches: of their users, likewise; sealed: of each user, counted when a day is sealed, and anew for users of late events';


--
-- Name: COLUMN rollups.grain; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.rollups.grain IS 'the column of the time';


--
-- Name: COLUMN rollups.keys; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.rollups.keys IS 'the other columns of the unique key';


--
-- Name: COLUMN rollups.total_key; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.rollups.total_key IS 'a key that is also kept as an empty text: all its values together. Only those rows have theta';


--
-- Name: schema_migrations; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.schema_migrations (
    version character varying NOT NULL
);


--
-- Name: sealed_day_indexes; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.sealed_day_indexes (
    place integer NOT NULL,
    name text NOT NULL,
    definition text NOT NULL
);


--
-- Name: COLUMN sealed_day_indexes.definition; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.sealed_day_indexes.definition IS 'what follows USING';


--
-- Name: alert_attempts; Type: TABLE; Schema: workspace; Owner: -
--

CREATE TABLE workspace.alert_attempts (
    channel text NOT NULL,
    outcome text NOT NULL,
    attempts bigint DEFAULT 0 NOT NULL
);


--
-- Name: COLUMN alert_attempts.outcome; Type: COMMENT; Schema: workspace; Owner: -
--

COMMENT ON COLUMN workspace.alert_attempts.outcome IS 'sent; failed: it is tried again; lost: it was given up';


--
-- Name: alert_messages; Type: TABLE; Schema: workspace; Owner: -
--

CREATE TABLE workspace.alert_messages (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    alert_id uuid NOT NULL,
    recipient text NOT NULL,
    message jsonb NOT NULL,
    made_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    next_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: COLUMN alert_messages.recipient; Type: COMMENT; Schema: workspace; Owner: -
--

COMMENT ON COLUMN workspace.alert_messages.recipient IS 'mailto:ADDRESS, or the URL of a webhook';


--
-- Name: alert_messages_in_order; Type: VIEW; Schema: workspace; Owner: -
--

CREATE VIEW workspace.alert_messages_in_order AS
 SELECT id,
    next_at
   FROM workspace.alert_messages m
  WHERE (((message ->> 'kind'::text) = 'test'::text) OR (NOT (EXISTS ( SELECT
           FROM workspace.alert_messages e
          WHERE ((e.alert_id = m.alert_id) AND (e.recipient = m.recipient) AND (ROW(e.made_at, e.id) < ROW(m.made_at, m.id)) AND ((e.message ->> 'kind'::text) <> 'test'::text))))));


--
-- Name: VIEW alert_messages_in_order; Type: COMMENT; Schema: workspace; Owner: -
--

COMMENT ON VIEW workspace.alert_messages_in_order IS 'the messages that may be sent next, at their time';


--
-- Name: alerts; Type: TABLE; Schema: workspace; Owner: -
--

CREATE TABLE workspace.alerts (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    rule jsonb NOT NULL,
    emails text[] NOT NULL,
    webhook text,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    next_at timestamp with time zone DEFAULT now() NOT NULL,
    judged timestamp with time zone,
    firing_since timestamp with time zone,
    value numeric,
    compared numeric,
    checked_at timestamp with time zone,
    notified_at timestamp with time zone,
    check_error text,
    send_errors jsonb DEFAULT '{}'::jsonb NOT NULL
);


--
-- Name: COLUMN alerts.next_at; Type: COMMENT; Schema: workspace; Owner: -
--

COMMENT ON COLUMN workspace.alerts.next_at IS 'when it is judged next; while that runs, when it is given up';


--
-- Name: COLUMN alerts.judged; Type: COMMENT; Schema: workspace; Owner: -
--

COMMENT ON COLUMN workspace.alerts.judged IS 'the start of the last whole interval that was judged; the time of the last summary';


--
-- Name: COLUMN alerts.send_errors; Type: COMMENT; Schema: workspace; Owner: -
--

COMMENT ON COLUMN workspace.alerts.send_errors IS 'what went wrong last, by recipient';


--
-- Name: annotations; Type: TABLE; Schema: workspace; Owner: -
--

CREATE TABLE workspace.annotations (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    "time" timestamp with time zone NOT NULL,
    label text NOT NULL
);


--
-- Name: share_secret; Type: TABLE; Schema: workspace; Owner: -
--

CREATE TABLE workspace.share_secret (
    only_row boolean DEFAULT true NOT NULL,
    secret text NOT NULL,
    CONSTRAINT share_secret_only_row_check CHECK (only_row)
);


--
-- Name: shares; Type: TABLE; Schema: workspace; Owner: -
--

CREATE TABLE workspace.shares (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    filters jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL
);


--
-- Name: spend; Type: TABLE; Schema: workspace; Owner: -
--

CREATE TABLE workspace.spend (
    day date NOT NULL,
    source text NOT NULL COLLATE pg_catalog."C",
    campaign_id text NOT NULL COLLATE pg_catalog."C",
    amount numeric NOT NULL,
    imported_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT spend_amount_check CHECK ((amount >= (0)::numeric))
);


--
-- Name: COLUMN spend.day; Type: COMMENT; Schema: workspace; Owner: -
--

COMMENT ON COLUMN workspace.spend.day IS 'a day of the time zone of the workspace (TIMEZONE)';


--
-- Name: COLUMN spend.amount; Type: COMMENT; Schema: workspace; Owner: -
--

COMMENT ON COLUMN workspace.spend.amount IS 'in the currency of the workspace (CURRENCY)';


--
-- Name: views; Type: TABLE; Schema: workspace; Owner: -
--

CREATE TABLE workspace.views (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    query text NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: day_users day_users_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.day_users
    ADD CONSTRAINT day_users_pkey PRIMARY KEY (day, user_id, source);


--
-- Name: erasures erasures_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.erasures
    ADD CONSTRAINT erasures_pkey PRIMARY KEY (id);


--
-- Name: event_days event_days_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.event_days
    ADD CONSTRAINT event_days_pkey PRIMARY KEY (day);


--
-- Name: events events_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (event_id, day);


--
-- Name: leading_users leading_users_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.leading_users
    ADD CONSTRAINT leading_users_pkey PRIMARY KEY (day, measure, source);


--
-- Name: rollup_day_campaign_countries rollup_day_campaign_countries_campaign_id_day_country_sourc_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_day_campaign_countries
    ADD CONSTRAINT rollup_day_campaign_countries_campaign_id_day_country_sourc_key UNIQUE NULLS NOT DISTINCT (campaign_id, day, country, source, funnel_stage, event_type);


--
-- Name: rollup_day_campaign_demographics rollup_day_campaign_demograph_campaign_id_day_dimension_val_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_day_campaign_demographics
    ADD CONSTRAINT rollup_day_campaign_demograph_campaign_id_day_dimension_val_key UNIQUE NULLS NOT DISTINCT (campaign_id, day, dimension, value, source, funnel_stage, event_type);


--
-- Name: rollup_day_campaigns rollup_day_campaigns_day_campaign_id_source_funnel_stage_ev_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_day_campaigns
    ADD CONSTRAINT rollup_day_campaigns_day_campaign_id_source_funnel_stage_ev_key UNIQUE NULLS NOT DISTINCT (day, campaign_id, source, funnel_stage, event_type);


--
-- Name: rollup_day_countries rollup_day_countries_day_country_source_funnel_stage_event__key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_day_countries
    ADD CONSTRAINT rollup_day_countries_day_country_source_funnel_stage_event__key UNIQUE NULLS NOT DISTINCT (day, country, source, funnel_stage, event_type);


--
-- Name: rollup_day_country_users rollup_day_country_users_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_day_country_users
    ADD CONSTRAINT rollup_day_country_users_pkey PRIMARY KEY (day, country, source);


--
-- Name: rollup_day_demographics rollup_day_demographics_day_dimension_value_country_source__key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_day_demographics
    ADD CONSTRAINT rollup_day_demographics_day_dimension_value_country_source__key UNIQUE NULLS NOT DISTINCT (day, dimension, value, country, source, funnel_stage, event_type);


--
-- Name: rollup_day_group_totals rollup_day_group_totals_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_day_group_totals
    ADD CONSTRAINT rollup_day_group_totals_pkey PRIMARY KEY (day, dimension, value, source);


--
-- Name: rollup_day_groups rollup_day_groups_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_day_groups
    ADD CONSTRAINT rollup_day_groups_pkey PRIMARY KEY (day, dimension, value, source, funnel_stage, event_type);


--
-- Name: rollup_day_types rollup_day_types_day_source_funnel_stage_event_type_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_day_types
    ADD CONSTRAINT rollup_day_types_day_source_funnel_stage_event_type_key UNIQUE NULLS NOT DISTINCT (day, source, funnel_stage, event_type);


--
-- Name: rollup_day_users rollup_day_users_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_day_users
    ADD CONSTRAINT rollup_day_users_pkey PRIMARY KEY (day, source, funnel_stage, event_type);


--
-- Name: rollup_hour_campaign_countries rollup_hour_campaign_countrie_hour_campaign_id_country_sour_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_hour_campaign_countries
    ADD CONSTRAINT rollup_hour_campaign_countrie_hour_campaign_id_country_sour_key UNIQUE NULLS NOT DISTINCT (hour, campaign_id, country, source, funnel_stage, event_type);


--
-- Name: rollup_hour_campaign_demographics rollup_hour_campaign_demograp_hour_campaign_id_dimension_va_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_hour_campaign_demographics
    ADD CONSTRAINT rollup_hour_campaign_demograp_hour_campaign_id_dimension_va_key UNIQUE NULLS NOT DISTINCT (hour, campaign_id, dimension, value, source, funnel_stage, event_type);


--
-- Name: rollup_hour_campaigns rollup_hour_campaigns_hour_campaign_id_source_funnel_stage__key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_hour_campaigns
    ADD CONSTRAINT rollup_hour_campaigns_hour_campaign_id_source_funnel_stage__key UNIQUE NULLS NOT DISTINCT (hour, campaign_id, source, funnel_stage, event_type);


--
-- Name: rollup_hour_countries rollup_hour_countries_hour_country_source_funnel_stage_even_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_hour_countries
    ADD CONSTRAINT rollup_hour_countries_hour_country_source_funnel_stage_even_key UNIQUE NULLS NOT DISTINCT (hour, country, source, funnel_stage, event_type);


--
-- Name: rollup_hour_country_users rollup_hour_country_users_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_hour_country_users
    ADD CONSTRAINT rollup_hour_country_users_pkey PRIMARY KEY (hour, country, source);


--
-- Name: rollup_hour_demographics rollup_hour_demographics_hour_dimension_value_country_sourc_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_hour_demographics
    ADD CONSTRAINT rollup_hour_demographics_hour_dimension_value_country_sourc_key UNIQUE NULLS NOT DISTINCT (hour, dimension, value, country, source, funnel_stage, event_type);


--
-- Name: rollup_hour_types rollup_hour_types_hour_source_funnel_stage_event_type_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_hour_types
    ADD CONSTRAINT rollup_hour_types_hour_source_funnel_stage_event_type_key UNIQUE NULLS NOT DISTINCT (hour, source, funnel_stage, event_type);


--
-- Name: rollup_hour_users rollup_hour_users_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_hour_users
    ADD CONSTRAINT rollup_hour_users_pkey PRIMARY KEY (hour, source, funnel_stage, event_type);


--
-- Name: rollup_measures rollup_measures_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollup_measures
    ADD CONSTRAINT rollup_measures_pkey PRIMARY KEY (name);


--
-- Name: rollups rollups_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rollups
    ADD CONSTRAINT rollups_pkey PRIMARY KEY (name);


--
-- Name: schema_migrations schema_migrations_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);


--
-- Name: sealed_day_indexes sealed_day_indexes_name_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sealed_day_indexes
    ADD CONSTRAINT sealed_day_indexes_name_key UNIQUE (name);


--
-- Name: sealed_day_indexes sealed_day_indexes_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sealed_day_indexes
    ADD CONSTRAINT sealed_day_indexes_pkey PRIMARY KEY (place);


--
-- Name: alert_attempts alert_attempts_pkey; Type: CONSTRAINT; Schema: workspace; Owner: -
--

ALTER TABLE ONLY workspace.alert_attempts
    ADD CONSTRAINT alert_attempts_pkey PRIMARY KEY (channel, outcome);


--
-- Name: alert_messages alert_messages_pkey; Type: CONSTRAINT; Schema: workspace; Owner: -
--

ALTER TABLE ONLY workspace.alert_messages
    ADD CONSTRAINT alert_messages_pkey PRIMARY KEY (id);


--
-- Name: alerts alerts_name_key; Type: CONSTRAINT; Schema: workspace; Owner: -
--

ALTER TABLE ONLY workspace.alerts
    ADD CONSTRAINT alerts_name_key UNIQUE (name);


--
-- Name: alerts alerts_pkey; Type: CONSTRAINT; Schema: workspace; Owner: -
--

ALTER TABLE ONLY workspace.alerts
    ADD CONSTRAINT alerts_pkey PRIMARY KEY (id);


--
-- Name: annotations annotations_pkey; Type: CONSTRAINT; Schema: workspace; Owner: -
--

ALTER TABLE ONLY workspace.annotations
    ADD CONSTRAINT annotations_pkey PRIMARY KEY (id);


--
-- Name: share_secret share_secret_pkey; Type: CONSTRAINT; Schema: workspace; Owner: -
--

ALTER TABLE ONLY workspace.share_secret
    ADD CONSTRAINT share_secret_pkey PRIMARY KEY (only_row);


--
-- Name: shares shares_pkey; Type: CONSTRAINT; Schema: workspace; Owner: -
--

ALTER TABLE ONLY workspace.shares
    ADD CONSTRAINT shares_pkey PRIMARY KEY (id);


--
-- Name: spend spend_pkey; Type: CONSTRAINT; Schema: workspace; Owner: -
--

ALTER TABLE ONLY workspace.spend
    ADD CONSTRAINT spend_pkey PRIMARY KEY (day, source, campaign_id);


--
-- Name: views views_name_key; Type: CONSTRAINT; Schema: workspace; Owner: -
--

ALTER TABLE ONLY workspace.views
    ADD CONSTRAINT views_name_key UNIQUE (name);


--
-- Name: views views_pkey; Type: CONSTRAINT; Schema: workspace; Owner: -
--

ALTER TABLE ONLY workspace.views
    ADD CONSTRAINT views_pkey PRIMARY KEY (id);


--
-- Name: day_users_active; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX day_users_active ON public.day_users USING btree (day) INCLUDE (user_id, source, events) WHERE (events >= 3);


--
-- Name: day_users_buyers; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX day_users_buyers ON public.day_users USING btree (day) INCLUDE (user_id, source, purchases, revenue) WHERE (purchases > 0);


--
-- Name: events_occurred_at; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX events_occurred_at ON ONLY public.events USING brin (occurred_at) WITH (pages_per_range='32', autosummarize='on');


--
-- Name: alert_messages_of; Type: INDEX; Schema: workspace; Owner: -
--

CREATE INDEX alert_messages_of ON workspace.alert_messages USING btree (alert_id, recipient, made_at);


--
-- Name: alerts_next; Type: INDEX; Schema: workspace; Owner: -
--

CREATE INDEX alerts_next ON workspace.alerts USING btree (next_at);


--
-- Name: annotations_time; Type: INDEX; Schema: workspace; Owner: -
--

CREATE INDEX annotations_time ON workspace.annotations USING btree ("time");


--
-- Name: rollups prepare_rollup; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER prepare_rollup AFTER INSERT ON public.rollups FOR EACH ROW EXECUTE FUNCTION public.prepare_rollup();


--
-- Name: alert_messages alert_messages_alert_id_fkey; Type: FK CONSTRAINT; Schema: workspace; Owner: -
--

ALTER TABLE ONLY workspace.alert_messages
    ADD CONSTRAINT alert_messages_alert_id_fkey FOREIGN KEY (alert_id) REFERENCES workspace.alerts(id) ON DELETE CASCADE;


--
-- PostgreSQL database dump complete
--

--
-- Dbmate schema migrations
--

INSERT INTO public.schema_migrations (version) VALUES
    ('20261125000000');
