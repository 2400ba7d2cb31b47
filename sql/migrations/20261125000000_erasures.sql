-- Erasing a person: docs/privacy.md.

-- migrate:up

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

-- migrate:down
DROP FUNCTION delete_user_events (date, text, text), traces_of_user (date, text, text);
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
DROP FUNCTION clear_rollups (date, text[]);
DROP TABLE erasures;
