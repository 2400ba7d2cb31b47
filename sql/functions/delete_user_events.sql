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
