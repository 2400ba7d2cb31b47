-- Demographic groups by day without the country: a third of the rows of rollup_day_demographics, for
-- the questions that are not about one country.

-- migrate:up
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
INSERT INTO rollup_day_groups
SELECT day, source, funnel_stage, event_type, dimension, value, sum(events)::bigint, sum(revenue)
FROM rollup_day_demographics
GROUP BY 1, 2, 3, 4, 5, 6;

CREATE VIEW live_day_groups AS
SELECT day, source, funnel_stage, event_type, dimension, value, events, revenue
FROM rollup_day_groups
UNION ALL
SELECT (d.hour AT TIME ZONE 'UTC')::date, d.source, d.funnel_stage, d.event_type,
       split_part(g.name, '=', 1), substr(g.name, strpos(g.name, '=') + 1),
       g.events, coalesce(g.revenue, 0)
FROM rollup_deltas AS d,
     unnest(d.groups, d.group_events, d.group_revenue) AS g (name, events, revenue);

GRANT SELECT ON rollup_day_groups, live_day_groups TO universe_reader;
GRANT SELECT, INSERT, UPDATE ON rollup_day_groups TO universe_writer;
GRANT SELECT ON live_day_groups TO universe_writer;

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
    DELETE FROM rollup_day_groups WHERE day = dropped;
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
DROP VIEW live_day_groups;
DROP TABLE rollup_day_groups;
