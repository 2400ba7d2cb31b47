-- Compaction into the rollups of sums as it was written by hand, before it was generated.
WITH taken AS MATERIALIZED (
    DELETE FROM rollup_deltas
    WHERE ctid = ANY (ARRAY(
        SELECT d.ctid
        FROM (SELECT ctid, events, sum(events) OVER (ROWS UNBOUNDED PRECEDING) AS so_far
              FROM (SELECT ctid, events FROM rollup_deltas LIMIT %(max_deltas)s) AS waiting) AS d
        WHERE d.so_far - d.events < %(max_events)s
    ))
    RETURNING *, (hour AT TIME ZONE 'UTC')::date AS day
),
grouped AS MATERIALIZED (
    SELECT f.hour, f.day, f.source, f.funnel_stage, f.event_type, f.country, f.campaign_id,
           split_part(g.name, '=', 1) AS dimension,
           substr(g.name, strpos(g.name, '=') + 1) AS value,
           g.events, coalesce(g.revenue, 0) AS revenue
    FROM taken AS f,
         unnest(f.groups, f.group_events, f.group_revenue) AS g (name, events, revenue)
),
hour_types AS (
    INSERT INTO rollup_hour_types AS r
        (hour, source, funnel_stage, event_type,
         events, purchases, revenue, first_at, last_at)
    SELECT hour, source, funnel_stage, event_type,
           sum(events)::bigint, sum(purchases)::bigint, sum(revenue), min(first_at), max(last_at)
    FROM taken
    GROUP BY 1, 2, 3, 4
    ON CONFLICT (hour, source, funnel_stage, event_type) DO UPDATE SET
        events = r.events + excluded.events,
        purchases = r.purchases + excluded.purchases,
        revenue = r.revenue + excluded.revenue,
        first_at = least(r.first_at, excluded.first_at),
        last_at = greatest(r.last_at, excluded.last_at)
),
hour_countries AS (
    INSERT INTO rollup_hour_countries AS r
        (hour, source, funnel_stage, event_type, country,
         events, purchases, revenue, first_at, last_at)
    SELECT hour, source, funnel_stage, event_type, country,
           sum(events)::bigint, sum(purchases)::bigint, sum(revenue), min(first_at), max(last_at)
    FROM taken
    GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT (hour, country, source, funnel_stage, event_type) DO UPDATE SET
        events = r.events + excluded.events,
        purchases = r.purchases + excluded.purchases,
        revenue = r.revenue + excluded.revenue,
        first_at = least(r.first_at, excluded.first_at),
        last_at = greatest(r.last_at, excluded.last_at)
),
hour_campaigns AS (
    INSERT INTO rollup_hour_campaigns AS r
        (hour, source, funnel_stage, event_type, campaign_id,
         events, purchases, revenue, first_at, last_at)
    SELECT hour, source, funnel_stage, event_type, campaign_id,
           sum(events)::bigint, sum(purchases)::bigint, sum(revenue), min(first_at), max(last_at)
    FROM taken
    WHERE campaign_id IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT (hour, campaign_id, source, funnel_stage, event_type) DO UPDATE SET
        events = r.events + excluded.events,
        purchases = r.purchases + excluded.purchases,
        revenue = r.revenue + excluded.revenue,
        first_at = least(r.first_at, excluded.first_at),
        last_at = greatest(r.last_at, excluded.last_at)
),
hour_campaign_countries AS (
    INSERT INTO rollup_hour_campaign_countries AS r
        (hour, source, funnel_stage, event_type, campaign_id, country,
         events, purchases, revenue, first_at, last_at)
    SELECT hour, source, funnel_stage, event_type, campaign_id, country,
           sum(events)::bigint, sum(purchases)::bigint, sum(revenue), min(first_at), max(last_at)
    FROM taken
    WHERE campaign_id IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (hour, campaign_id, country, source, funnel_stage, event_type) DO UPDATE SET
        events = r.events + excluded.events,
        purchases = r.purchases + excluded.purchases,
        revenue = r.revenue + excluded.revenue,
        first_at = least(r.first_at, excluded.first_at),
        last_at = greatest(r.last_at, excluded.last_at)
),
hour_demographics AS (
    INSERT INTO rollup_hour_demographics AS r
        (hour, source, funnel_stage, event_type, country, dimension, value, events, revenue)
    SELECT hour, source, funnel_stage, event_type, country, dimension, value, sum(events)::bigint, sum(revenue)
    FROM grouped
    GROUP BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (hour, dimension, value, country, source, funnel_stage, event_type) DO UPDATE SET
        events = r.events + excluded.events,
        revenue = r.revenue + excluded.revenue
),
hour_campaign_demographics AS (
    INSERT INTO rollup_hour_campaign_demographics AS r
        (hour, source, funnel_stage, event_type, campaign_id, dimension, value, events, revenue)
    SELECT hour, source, funnel_stage, event_type, campaign_id, dimension, value, sum(events)::bigint, sum(revenue)
    FROM grouped
    WHERE campaign_id IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (hour, campaign_id, dimension, value, source, funnel_stage, event_type) DO UPDATE SET
        events = r.events + excluded.events,
        revenue = r.revenue + excluded.revenue
),
day_types AS (
    INSERT INTO rollup_day_types AS r
        (day, source, funnel_stage, event_type,
         events, purchases, revenue, first_at, last_at)
    SELECT day, source, funnel_stage, event_type,
           sum(events)::bigint, sum(purchases)::bigint, sum(revenue), min(first_at), max(last_at)
    FROM taken
    GROUP BY 1, 2, 3, 4
    ON CONFLICT (day, source, funnel_stage, event_type) DO UPDATE SET
        events = r.events + excluded.events,
        purchases = r.purchases + excluded.purchases,
        revenue = r.revenue + excluded.revenue,
        first_at = least(r.first_at, excluded.first_at),
        last_at = greatest(r.last_at, excluded.last_at)
),
day_countries AS (
    INSERT INTO rollup_day_countries AS r
        (day, source, funnel_stage, event_type, country,
         events, purchases, revenue, first_at, last_at)
    SELECT day, source, funnel_stage, event_type, country,
           sum(events)::bigint, sum(purchases)::bigint, sum(revenue), min(first_at), max(last_at)
    FROM taken
    GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT (day, country, source, funnel_stage, event_type) DO UPDATE SET
        events = r.events + excluded.events,
        purchases = r.purchases + excluded.purchases,
        revenue = r.revenue + excluded.revenue,
        first_at = least(r.first_at, excluded.first_at),
        last_at = greatest(r.last_at, excluded.last_at)
),
day_campaigns AS (
    INSERT INTO rollup_day_campaigns AS r
        (day, source, funnel_stage, event_type, campaign_id,
         events, purchases, revenue, first_at, last_at)
    SELECT day, source, funnel_stage, event_type, campaign_id,
           sum(events)::bigint, sum(purchases)::bigint, sum(revenue), min(first_at), max(last_at)
    FROM taken
    WHERE campaign_id IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT (day, campaign_id, source, funnel_stage, event_type) DO UPDATE SET
        events = r.events + excluded.events,
        purchases = r.purchases + excluded.purchases,
        revenue = r.revenue + excluded.revenue,
        first_at = least(r.first_at, excluded.first_at),
        last_at = greatest(r.last_at, excluded.last_at)
),
day_campaign_countries AS (
    INSERT INTO rollup_day_campaign_countries AS r
        (day, source, funnel_stage, event_type, campaign_id, country,
         events, purchases, revenue, first_at, last_at)
    SELECT day, source, funnel_stage, event_type, campaign_id, country,
           sum(events)::bigint, sum(purchases)::bigint, sum(revenue), min(first_at), max(last_at)
    FROM taken
    WHERE campaign_id IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (campaign_id, day, country, source, funnel_stage, event_type) DO UPDATE SET
        events = r.events + excluded.events,
        purchases = r.purchases + excluded.purchases,
        revenue = r.revenue + excluded.revenue,
        first_at = least(r.first_at, excluded.first_at),
        last_at = greatest(r.last_at, excluded.last_at)
),
day_demographics AS (
    INSERT INTO rollup_day_demographics AS r
        (day, source, funnel_stage, event_type, country, dimension, value, events, revenue)
    SELECT day, source, funnel_stage, event_type, country, dimension, value, sum(events)::bigint, sum(revenue)
    FROM grouped
    GROUP BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (day, dimension, value, country, source, funnel_stage, event_type) DO UPDATE SET
        events = r.events + excluded.events,
        revenue = r.revenue + excluded.revenue
),
day_groups AS (
    INSERT INTO rollup_day_groups AS r
        (day, source, funnel_stage, event_type, dimension, value, events, revenue)
    SELECT day, source, funnel_stage, event_type, dimension, value, sum(events)::bigint, sum(revenue)
    FROM grouped
    GROUP BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (day, dimension, value, source, funnel_stage, event_type) DO UPDATE SET
        events = r.events + excluded.events,
        revenue = r.revenue + excluded.revenue
),
day_group_totals AS (
    INSERT INTO rollup_day_group_totals AS r
        (day, source, dimension, value, events, revenue)
    SELECT day, source, dimension, value, sum(events)::bigint, sum(revenue)
    FROM grouped
    GROUP BY 1, 2, 3, 4
    ON CONFLICT (day, dimension, value, source) DO UPDATE SET
        events = r.events + excluded.events,
        revenue = r.revenue + excluded.revenue
),
day_campaign_demographics AS (
    INSERT INTO rollup_day_campaign_demographics AS r
        (day, source, funnel_stage, event_type, campaign_id, dimension, value, events, revenue)
    SELECT day, source, funnel_stage, event_type, campaign_id, dimension, value, sum(events)::bigint, sum(revenue)
    FROM grouped
    WHERE campaign_id IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (campaign_id, day, dimension, value, source, funnel_stage, event_type) DO UPDATE SET
        events = r.events + excluded.events,
        revenue = r.revenue + excluded.revenue
)
SELECT f.hour, f.day, f.source, f.funnel_stage, f.event_type, f.country, f.events, f.users,
       d.sealed_at IS NOT NULL AS sealed
FROM taken AS f
LEFT JOIN event_days AS d ON d.day = f.day;
