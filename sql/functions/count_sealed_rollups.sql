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
