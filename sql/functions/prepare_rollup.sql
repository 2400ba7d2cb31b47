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
