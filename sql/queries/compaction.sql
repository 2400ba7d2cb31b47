-- Compaction: moving rollup deltas into the rollup tables; sql/README.md explains the tables.

-- name: try_lock()$
-- Whether this transaction is now the only one that compacts deltas, seals days or drops them.
SELECT pg_try_advisory_xact_lock(7305, 2);

-- name: pending(most)$
-- How many deltas wait, counted up to `most`.
SELECT count(*) FROM (SELECT FROM rollup_deltas LIMIT :most) AS waiting;

-- name: compact(most, most_events)
-- Takes up to `most` deltas, or what `most_events` events made, out of rollup_deltas, adds them to
-- every rollup of sums, and returns what is needed to add them to the rollups of users. One
-- statement, so one snapshot. In the order of the indexes, so that neighbours are written together.
WITH taken AS MATERIALIZED (
    DELETE FROM rollup_deltas
    WHERE ctid = ANY (ARRAY(
        SELECT d.ctid
        FROM (SELECT ctid, events, sum(events) OVER (ROWS UNBOUNDED PRECEDING) AS so_far
              FROM (SELECT ctid, events FROM rollup_deltas LIMIT :most) AS waiting) AS d
        WHERE d.so_far - d.events < :most_events
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

-- name: hour_sketches(times, sources, stages, types)
-- The stored sketches of some keys, in no order.
SELECT r.hour, r.source, r.funnel_stage, r.event_type, r.hll, r.theta
FROM rollup_hour_users AS r
JOIN unnest(:times::timestamptz[], :sources::text[], :stages::text[], :types::text[])
    AS k (hour, source, funnel_stage, event_type)
    USING (hour, source, funnel_stage, event_type);

-- name: store_hour_sketches(times, sources, stages, types, hlls, thetas)!
INSERT INTO rollup_hour_users (hour, source, funnel_stage, event_type, hll, theta)
SELECT * FROM unnest(:times::timestamptz[], :sources::text[], :stages::text[], :types::text[],
                     :hlls::bytea[], :thetas::bytea[])
ON CONFLICT (hour, source, funnel_stage, event_type) DO UPDATE SET
    hll = excluded.hll, theta = excluded.theta;

-- name: day_sketches(times, sources, stages, types)
-- The stored sketches of some keys, in no order.
SELECT r.day, r.source, r.funnel_stage, r.event_type, r.hll, r.theta
FROM rollup_day_users AS r
JOIN unnest(:times::date[], :sources::text[], :stages::text[], :types::text[])
    AS k (day, source, funnel_stage, event_type)
    USING (day, source, funnel_stage, event_type);

-- name: store_day_sketches(times, sources, stages, types, hlls, thetas)!
INSERT INTO rollup_day_users (day, source, funnel_stage, event_type, hll, theta)
SELECT * FROM unnest(:times::date[], :sources::text[], :stages::text[], :types::text[],
                     :hlls::bytea[], :thetas::bytea[])
ON CONFLICT (day, source, funnel_stage, event_type) DO UPDATE SET
    hll = excluded.hll, theta = excluded.theta;

-- name: hour_country_sketches(times, sources, countries)
-- The stored sketches of some countries ('': events that have none), in no order.
SELECT r.hour, r.source, r.country, r.hll
FROM rollup_hour_country_users AS r
JOIN unnest(:times::timestamptz[], :sources::text[], :countries::text[])
    AS k (hour, source, country)
    USING (hour, source, country);

-- name: store_hour_country_sketches(times, sources, countries, hlls)!
INSERT INTO rollup_hour_country_users (hour, source, country, hll)
SELECT * FROM unnest(:times::timestamptz[], :sources::text[], :countries::text[], :hlls::bytea[])
ON CONFLICT (hour, country, source) DO UPDATE SET hll = excluded.hll;

-- name: day_country_sketches(times, sources, countries)
-- The stored sketches of some countries ('': events that have none), in no order.
SELECT r.day, r.source, r.country, r.hll
FROM rollup_day_country_users AS r
JOIN unnest(:times::date[], :sources::text[], :countries::text[])
    AS k (day, source, country)
    USING (day, source, country);

-- name: store_day_country_sketches(times, sources, countries, hlls)!
INSERT INTO rollup_day_country_users (day, source, country, hll)
SELECT * FROM unnest(:times::date[], :sources::text[], :countries::text[], :hlls::bytea[])
ON CONFLICT (day, country, source) DO UPDATE SET hll = excluded.hll;

-- name: recount_users(day, user_ids)!
-- What some users did on a sealed day, counted anew because of late events. A later count covers an
-- earlier one, and reports leave out users with pending deltas, so it need not be the same snapshot.
INSERT INTO day_users
SELECT * FROM count_day_users(:day::date, :user_ids::text[])
ON CONFLICT (day, user_id, source) DO UPDATE SET
    events = excluded.events,
    top_events = excluded.top_events,
    bottom_events = excluded.bottom_events,
    purchases = excluded.purchases,
    revenue = excluded.revenue,
    first_at = excluded.first_at,
    last_at = excluded.last_at,
    first_top_at = excluded.first_top_at,
    last_bottom_at = excluded.last_bottom_at;

-- name: vacuum_deltas()#
-- Gives the space of compacted deltas back at once: reports read this whole table.
VACUUM (SKIP_LOCKED) rollup_deltas;
