-- Sealing and retention.
--
-- A day that is over is sealed: its partition gets the indexes that searches want, built in bulk
-- where keeping them up to date for each written row would make writing several times slower, and
-- day_users gets its rows. Late events may still come; compaction counts their users anew.
-- infra/database/maintenance.py does it with concurrent index builds; seal_day() below is the same in
-- one call for a cron trigger inside the database, and holds up writers of that day meanwhile.
--
-- Retention drops whole days with everything that was derived from them: reports over dropped days
-- answer zero, as the events themselves would.

-- migrate:up

-- What users did on a day, out of the events. Some users (`only`), or all where that is null.
CREATE FUNCTION count_day_users(wanted date, only_users text[] DEFAULT NULL)
RETURNS SETOF day_users
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF only_users IS NULL THEN
        RETURN QUERY
        SELECT e.day, e.source, e.user_id, count(*),
               count(*) FILTER (WHERE e.funnel_stage = 'top'),
               count(*) FILTER (WHERE e.funnel_stage = 'bottom'),
               count(e.revenue), coalesce(sum(e.revenue), 0), min(e.occurred_at), max(e.occurred_at),
               min(e.occurred_at) FILTER (WHERE e.funnel_stage = 'top'),
               max(e.occurred_at) FILTER (WHERE e.funnel_stage = 'bottom')
        FROM events AS e
        WHERE e.day = wanted
        GROUP BY e.day, e.source, e.user_id;
    ELSE
        RETURN QUERY
        SELECT e.day, e.source, e.user_id, count(*),
               count(*) FILTER (WHERE e.funnel_stage = 'top'),
               count(*) FILTER (WHERE e.funnel_stage = 'bottom'),
               count(e.revenue), coalesce(sum(e.revenue), 0), min(e.occurred_at), max(e.occurred_at),
               min(e.occurred_at) FILTER (WHERE e.funnel_stage = 'top'),
               max(e.occurred_at) FILTER (WHERE e.funnel_stage = 'bottom')
        FROM events AS e
        WHERE e.day = wanted AND e.user_id = ANY (only_users)
        GROUP BY e.day, e.source, e.user_id;
    END IF;
END
$$;

-- What users did per day and source, from_day to before to_day, exact at this moment: sealed days
-- out of day_users, open days out of events, and users of sealed days whose late events are not
-- folded yet out of events too.
CREATE FUNCTION live_day_users(from_day date, to_day date)
RETURNS SETOF day_users
LANGUAGE plpgsql STABLE ROWS 10000 AS $$
DECLARE
    sealed date[];
    open_day date;
    late record;
BEGIN
    SELECT coalesce(array_agg(d.day), '{}') INTO sealed
    FROM event_days AS d
    WHERE d.day >= from_day AND d.day < to_day AND d.sealed_at IS NOT NULL;

    RETURN QUERY
    WITH late AS MATERIALIZED (
        SELECT DISTINCT p.day, p.user_id FROM live_pending_users AS p WHERE p.day = ANY (sealed)
    )
    SELECT u.* FROM day_users AS u
    WHERE u.day >= from_day AND u.day < to_day AND u.day = ANY (sealed)
      AND NOT EXISTS (SELECT FROM late AS l WHERE l.day = u.day AND l.user_id = u.user_id);

    FOR open_day IN
        SELECT d.day FROM event_days AS d
        WHERE d.day >= from_day AND d.day < to_day AND d.day <> ALL (sealed)
    LOOP
        RETURN QUERY SELECT * FROM count_day_users(open_day);
    END LOOP;

    FOR late IN
        SELECT p.day, array_agg(DISTINCT p.user_id) AS user_ids
        FROM live_pending_users AS p WHERE p.day = ANY (sealed) GROUP BY p.day
    LOOP
        RETURN QUERY SELECT * FROM count_day_users(late.day, late.user_ids);
    END LOOP;
END
$$;

-- The indexes that a sealed day's partition has besides those of every partition.
CREATE FUNCTION sealing_indexes(sealed date)
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

-- Days that are not sealed, were over `idle` ago, and got no event since: writing to a sealed day
-- costs more, so a day that is being filled with old events is left alone.
CREATE FUNCTION days_to_seal(idle interval DEFAULT '1 hour')
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

-- Fills day_users for a day whose indexes are there, and marks it sealed.
CREATE FUNCTION mark_sealed(sealed date) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7305, 2); -- compaction waits
    DELETE FROM day_users WHERE day = sealed;
    INSERT INTO day_users SELECT * FROM count_day_users(sealed);
    UPDATE event_days SET sealed_at = now() WHERE day = sealed;
END
$$;

-- Seals one day in one transaction: for a cron trigger in the database.
CREATE FUNCTION seal_day(sealed date) RETURNS void
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

-- Drops one day: its events and all that was derived from them. Writers of that day wait meanwhile;
-- nobody else does, but for an instant at the end.
CREATE FUNCTION drop_day(dropped date) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
DECLARE
    partition_name text := format('events_%s', to_char(dropped, 'YYYYMMDD'));
    grain text;
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
    FOREACH grain IN ARRAY ARRAY['types', 'countries', 'campaigns', 'campaign_countries',
                                 'demographics', 'campaign_demographics', 'users'] LOOP
        EXECUTE format('DELETE FROM public.rollup_hour_%s WHERE hour >= $1 AND hour < $2', grain)
            USING starts, starts + interval '24 hours';
        EXECUTE format('DELETE FROM public.rollup_day_%s WHERE day = $1', grain) USING dropped;
    END LOOP;
    DELETE FROM day_users WHERE day = dropped;
    DELETE FROM event_days WHERE day = dropped;
    EXECUTE format('ALTER TABLE public.events DETACH PARTITION public.%I', partition_name);
    EXECUTE format('DROP TABLE public.%I', partition_name);
END
$$;

-- Drops every day before `keep_from`; a cron trigger in the database calls for example
--   CALL drop_days_before((now() AT TIME ZONE 'UTC')::date - 90);
CREATE PROCEDURE drop_days_before(keep_from date)
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

REVOKE ALL ON FUNCTION mark_sealed (date), seal_day (date), drop_day (date) FROM PUBLIC;
REVOKE ALL ON PROCEDURE drop_days_before (date) FROM PUBLIC;

-- migrate:down
DROP PROCEDURE drop_days_before (date);
DROP FUNCTION drop_day (date), seal_day (date), mark_sealed (date), days_to_seal (interval),
    sealing_indexes (date), live_day_users (date, date), count_day_users (date, text[]);
