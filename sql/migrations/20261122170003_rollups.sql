-- Rollups: what reports read instead of events. sql/README.md says which report reads which.
--
-- Writers only append to `rollup_deltas`, in the transaction that writes the events, so they never
-- wait for each other. Compaction (one at a time, under an advisory lock) folds deltas into the
-- rollup_hour_* and rollup_day_* tables. At any moment, and within any one snapshot,
--   rollup table + deltas = the same sums over `events`;
-- the live_* views are that addition, and what reports should read. Their rows are parts to be
-- summed (min/max for first_at/last_at): the same key may come several times.
--
-- hour, day: UTC. purchases: events that have a revenue. country and campaign_id are null where an
-- event has none; the campaign rollups hold only the events of a campaign.

-- migrate:up
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
COMMENT ON COLUMN rollup_deltas.users IS 'who acted, each user once';
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
-- device (tiktok) or whatever else a source names. An event counts once in each of its groups.
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

-- Sets of users as Apache DataSketches (functions/common/sketches.py has their parameters). A row
-- with event_type '' is about all types of the stage, and only such rows have a theta sketch.
-- Users who are in deltas only are in live_pending_users: add them to what is read here.
CREATE TABLE rollup_hour_users (
    hour         timestamptz NOT NULL,
    source       text COLLATE "C" NOT NULL,
    funnel_stage text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    hll          bytea STORAGE EXTERNAL NOT NULL,
    theta        bytea STORAGE EXTERNAL,
    PRIMARY KEY (hour, source, funnel_stage, event_type)
);
CREATE TABLE rollup_day_users (
    day          date NOT NULL,
    source       text COLLATE "C" NOT NULL,
    funnel_stage text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    hll          bytea STORAGE EXTERNAL NOT NULL,
    theta        bytea STORAGE EXTERNAL,
    PRIMARY KEY (day, source, funnel_stage, event_type)
);

-- What each user did on a day, exact, for the days that are sealed; live_day_users() has every day.
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
COMMENT ON COLUMN day_users.first_top_at IS 'first event at the top of the funnel, if any';
COMMENT ON COLUMN day_users.last_bottom_at IS
    'last event at the bottom: someone whose earliest first_top_at lies before their latest '
    'last_bottom_at was seen at the top and later at the bottom';

CREATE VIEW live_hour_types AS
SELECT hour, source, funnel_stage, event_type, events, purchases, revenue, first_at, last_at
FROM rollup_hour_types
UNION ALL
SELECT hour, source, funnel_stage, event_type, events, purchases, revenue, first_at, last_at
FROM rollup_deltas;
CREATE VIEW live_hour_countries AS
SELECT hour, source, funnel_stage, event_type, country, events, purchases, revenue, first_at, last_at
FROM rollup_hour_countries
UNION ALL
SELECT hour, source, funnel_stage, event_type, country, events, purchases, revenue, first_at, last_at
FROM rollup_deltas;
CREATE VIEW live_hour_campaigns AS
SELECT hour, source, funnel_stage, event_type, campaign_id, events, purchases, revenue, first_at, last_at
FROM rollup_hour_campaigns
UNION ALL
SELECT hour, source, funnel_stage, event_type, campaign_id, events, purchases, revenue, first_at, last_at
FROM rollup_deltas
WHERE campaign_id IS NOT NULL;
CREATE VIEW live_hour_campaign_countries AS
SELECT hour, source, funnel_stage, event_type, campaign_id, country, events, purchases, revenue, first_at, last_at
FROM rollup_hour_campaign_countries
UNION ALL
SELECT hour, source, funnel_stage, event_type, campaign_id, country, events, purchases, revenue, first_at, last_at
FROM rollup_deltas
WHERE campaign_id IS NOT NULL;
CREATE VIEW live_hour_demographics AS
SELECT hour, source, funnel_stage, event_type, country, dimension, value, events, revenue
FROM rollup_hour_demographics
UNION ALL
SELECT d.hour, d.source, d.funnel_stage, d.event_type, d.country,
       split_part(g.name, '=', 1), substr(g.name, strpos(g.name, '=') + 1),
       g.events, coalesce(g.revenue, 0)
FROM rollup_deltas AS d,
     unnest(d.groups, d.group_events, d.group_revenue) AS g (name, events, revenue);
CREATE VIEW live_hour_campaign_demographics AS
SELECT hour, source, funnel_stage, event_type, campaign_id, dimension, value, events, revenue
FROM rollup_hour_campaign_demographics
UNION ALL
SELECT d.hour, d.source, d.funnel_stage, d.event_type, d.campaign_id,
       split_part(g.name, '=', 1), substr(g.name, strpos(g.name, '=') + 1),
       g.events, coalesce(g.revenue, 0)
FROM rollup_deltas AS d,
     unnest(d.groups, d.group_events, d.group_revenue) AS g (name, events, revenue)
WHERE d.campaign_id IS NOT NULL;
CREATE VIEW live_day_types AS
SELECT day, source, funnel_stage, event_type, events, purchases, revenue, first_at, last_at
FROM rollup_day_types
UNION ALL
SELECT (hour AT TIME ZONE 'UTC')::date, source, funnel_stage, event_type, events, purchases, revenue, first_at, last_at
FROM rollup_deltas;
CREATE VIEW live_day_countries AS
SELECT day, source, funnel_stage, event_type, country, events, purchases, revenue, first_at, last_at
FROM rollup_day_countries
UNION ALL
SELECT (hour AT TIME ZONE 'UTC')::date, source, funnel_stage, event_type, country, events, purchases, revenue, first_at, last_at
FROM rollup_deltas;
CREATE VIEW live_day_campaigns AS
SELECT day, source, funnel_stage, event_type, campaign_id, events, purchases, revenue, first_at, last_at
FROM rollup_day_campaigns
UNION ALL
SELECT (hour AT TIME ZONE 'UTC')::date, source, funnel_stage, event_type, campaign_id, events, purchases, revenue, first_at, last_at
FROM rollup_deltas
WHERE campaign_id IS NOT NULL;
CREATE VIEW live_day_campaign_countries AS
SELECT day, source, funnel_stage, event_type, campaign_id, country, events, purchases, revenue, first_at, last_at
FROM rollup_day_campaign_countries
UNION ALL
SELECT (hour AT TIME ZONE 'UTC')::date, source, funnel_stage, event_type, campaign_id, country, events, purchases, revenue, first_at, last_at
FROM rollup_deltas
WHERE campaign_id IS NOT NULL;
CREATE VIEW live_day_demographics AS
SELECT day, source, funnel_stage, event_type, country, dimension, value, events, revenue
FROM rollup_day_demographics
UNION ALL
SELECT (d.hour AT TIME ZONE 'UTC')::date, d.source, d.funnel_stage, d.event_type, d.country,
       split_part(g.name, '=', 1), substr(g.name, strpos(g.name, '=') + 1),
       g.events, coalesce(g.revenue, 0)
FROM rollup_deltas AS d,
     unnest(d.groups, d.group_events, d.group_revenue) AS g (name, events, revenue);
CREATE VIEW live_day_campaign_demographics AS
SELECT day, source, funnel_stage, event_type, campaign_id, dimension, value, events, revenue
FROM rollup_day_campaign_demographics
UNION ALL
SELECT (d.hour AT TIME ZONE 'UTC')::date, d.source, d.funnel_stage, d.event_type, d.campaign_id,
       split_part(g.name, '=', 1), substr(g.name, strpos(g.name, '=') + 1),
       g.events, coalesce(g.revenue, 0)
FROM rollup_deltas AS d,
     unnest(d.groups, d.group_events, d.group_revenue) AS g (name, events, revenue)
WHERE d.campaign_id IS NOT NULL;

CREATE VIEW live_pending_users AS
SELECT hour, (hour AT TIME ZONE 'UTC')::date AS day, source, funnel_stage, event_type, country, campaign_id,
       unnest(users) AS user_id
FROM rollup_deltas;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO universe_reader, universe_writer;
GRANT INSERT, DELETE, MAINTAIN ON rollup_deltas TO universe_writer;
GRANT INSERT, UPDATE ON
    rollup_hour_types,
    rollup_hour_countries,
    rollup_hour_campaigns,
    rollup_hour_campaign_countries,
    rollup_hour_demographics,
    rollup_hour_campaign_demographics,
    rollup_hour_users,
    rollup_day_types,
    rollup_day_countries,
    rollup_day_campaigns,
    rollup_day_campaign_countries,
    rollup_day_demographics,
    rollup_day_campaign_demographics,
    rollup_day_users,
    day_users
TO universe_writer;
GRANT DELETE ON day_users TO universe_writer;

-- migrate:down
DROP VIEW
    live_hour_types,
    live_hour_countries,
    live_hour_campaigns,
    live_hour_campaign_countries,
    live_hour_demographics,
    live_hour_campaign_demographics,
    live_day_types,
    live_day_countries,
    live_day_campaigns,
    live_day_campaign_countries,
    live_day_demographics,
    live_day_campaign_demographics,
    live_pending_users;
DROP TABLE
    rollup_deltas,
    rollup_hour_types,
    rollup_hour_countries,
    rollup_hour_campaigns,
    rollup_hour_campaign_countries,
    rollup_hour_demographics,
    rollup_hour_campaign_demographics,
    rollup_hour_users,
    rollup_day_types,
    rollup_day_countries,
    rollup_day_campaigns,
    rollup_day_campaign_countries,
    rollup_day_demographics,
    rollup_day_campaign_demographics,
    rollup_day_users,
    day_users;
