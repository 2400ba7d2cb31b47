-- Five million events made inside the database, day by day.

-- name: settings#
-- A bulk load into a database that can be made again.
SET synchronous_commit = off;
SET maintenance_work_mem = '1GB';
SET work_mem = '256MB';

-- name: make_day(day, number, users)!
-- Events of one day in the order of their time. A few users act often, most seldom; a user has one
-- country and city; facebook and tiktok are about even; a tenth of what happens at the bottom is a purchase.
INSERT INTO events (event_id, day, occurred_at, received_at, source, funnel_stage, event_type,
                    user_id, country, campaign_id, revenue, data)
SELECT event_id, :day::date, occurred_at, occurred_at, source, stage, event_type, user_id,
       CASE WHEN source = 'facebook' OR stage = 'top' THEN country END,
       CASE WHEN source = 'facebook' AND stage = 'bottom' THEN campaign END,
       CASE WHEN purchase THEN amount END,
       CASE WHEN source = 'facebook' AND stage = 'top' THEN jsonb_build_object(
                'user', jsonb_build_object('userId', user_id, 'name', 'Ada ' || person, 'age', age,
                    'gender', gender,
                    'location', jsonb_build_object('country', country, 'city', city)),
                'engagement', jsonb_build_object('actionTime', occurred_at, 'referrer', referrer,
                    'videoId', 'video-' || dice %% 400))
            WHEN source = 'facebook' THEN jsonb_build_object(
                'user', jsonb_build_object('userId', user_id, 'name', 'Ada ' || person, 'age', age,
                    'gender', gender,
                    'location', jsonb_build_object('country', country, 'city', city)),
                'engagement', jsonb_build_object('adId', 'ad-' || dice %% 60, 'campaignId', campaign,
                    'clickPosition', position, 'device', device, 'browser', browser,
                    'purchaseAmount', CASE WHEN purchase THEN amount::text END))
            WHEN stage = 'top' THEN jsonb_build_object(
                'user', jsonb_build_object('userId', user_id, 'username', 'ada_' || person,
                    'followers', followers),
                'engagement', jsonb_build_object('watchTime', dice %% 180,
                    'percentageWatched', dice %% 101, 'device', phone, 'country', country,
                    'videoId', 'clip-' || dice %% 900))
            ELSE jsonb_build_object(
                'user', jsonb_build_object('userId', user_id, 'username', 'ada_' || person,
                    'followers', followers),
                'engagement', jsonb_build_object('actionTime', occurred_at,
                    'profileId', CASE WHEN NOT purchase THEN 'profile-' || dice %% 80 END,
                    'purchasedItem', CASE WHEN purchase THEN 'Mug' END,
                    'purchaseAmount', CASE WHEN purchase THEN amount::text END))
       END
FROM (
    SELECT *,
           (CASE source WHEN 'facebook' THEN 'fb' ELSE 'tt' END) || '-' || to_char(:day::date, 'YYYYMMDD')
               || '-' || n AS event_id,
           (CASE source WHEN 'facebook' THEN 'fb' ELSE 'tt' END) || '-user-' || person AS user_id,
           stage = 'bottom' AND kind < 0.12 AS purchase,
           CASE WHEN source = 'facebook' AND stage = 'top' THEN
                    CASE WHEN kind < 0.60 THEN 'ad.view' WHEN kind < 0.85 THEN 'video.view'
                         WHEN kind < 0.95 THEN 'page.like' ELSE 'comment' END
                WHEN source = 'facebook' THEN
                    CASE WHEN kind < 0.12 THEN 'checkout.complete'
                         WHEN kind < 0.35 THEN 'form.submission' ELSE 'ad.click' END
                WHEN stage = 'top' THEN
                    CASE WHEN kind < 0.60 THEN 'video.view' WHEN kind < 0.85 THEN 'like'
                         WHEN kind < 0.95 THEN 'share' ELSE 'comment' END
                ELSE CASE WHEN kind < 0.12 THEN 'purchase'
                          WHEN kind < 0.35 THEN 'follow' ELSE 'profile.visit' END
           END AS event_type,
           (ARRAY['US','US','US','DE','DE','GB','GB','FR','BR','IN','JP','UA','PL','ES','IT','NL','SE',
                  'CA','MX','AU','KR','TR','PT','CZ','RO'])[1 + person %% 25] AS country,
           'city-' || person %% 125 AS city,
           'campaign-' || lpad((1 + (least(c1, c2) * 40)::int)::text, 2, '0') AS campaign,
           16 + person %% 60 AS age,
           (ARRAY['male','female','male','female','female','male','non-binary'])[1 + person %% 7] AS gender,
           (10 ^ (person %% 62 / 10.0))::int AS followers,
           round((5 + 245 * amount_dice)::numeric, 2) AS amount,
           (ARRAY['newsfeed','marketplace','groups'])[1 + dice %% 3] AS referrer,
           (ARRAY['top_left','bottom_right','center'])[1 + dice %% 3] AS position,
           (ARRAY['mobile','mobile','desktop'])[1 + dice %% 3] AS device,
           (ARRAY['Chrome','Chrome','Safari','Firefox'])[1 + dice %% 4] AS browser,
           (ARRAY['Android','Android','iOS','Desktop'])[1 + dice %% 4] AS phone
    FROM (
        SELECT n,
               :day::date::timestamp AT TIME ZONE 'UTC' + n * interval '24 hours' / :number AS occurred_at,
               CASE WHEN random() < 0.55 THEN 'facebook' ELSE 'tiktok' END AS source,
               CASE WHEN random() < 0.75 THEN 'top' ELSE 'bottom' END AS stage,
               (random() ^ 2 * :users)::int AS person,
               (random() * 100000)::int AS dice,
               random() AS kind, random() AS c1, random() AS c2, random() AS amount_dice
        FROM generate_series(0, :number - 1) AS n
    ) AS dice
) AS drawn;

-- name: roll_up_sums#
-- What compaction would have summed up, by the hour.
INSERT INTO rollup_hour_types
SELECT date_trunc('hour', occurred_at, 'UTC'), source, funnel_stage, event_type,
       count(*), count(revenue), coalesce(sum(revenue), 0), min(occurred_at), max(occurred_at)
FROM events
GROUP BY 1, 2, 3, 4;
INSERT INTO rollup_hour_countries
SELECT date_trunc('hour', occurred_at, 'UTC'), source, funnel_stage, event_type, country,
       count(*), count(revenue), coalesce(sum(revenue), 0), min(occurred_at), max(occurred_at)
FROM events
GROUP BY 1, 2, 3, 4, 5;
INSERT INTO rollup_hour_campaigns
SELECT date_trunc('hour', occurred_at, 'UTC'), source, funnel_stage, event_type, campaign_id,
       count(*), count(revenue), coalesce(sum(revenue), 0), min(occurred_at), max(occurred_at)
FROM events
WHERE campaign_id IS NOT NULL
GROUP BY 1, 2, 3, 4, 5;
INSERT INTO rollup_hour_campaign_countries
SELECT date_trunc('hour', occurred_at, 'UTC'), source, funnel_stage, event_type, campaign_id, country,
       count(*), count(revenue), coalesce(sum(revenue), 0), min(occurred_at), max(occurred_at)
FROM events
WHERE campaign_id IS NOT NULL
GROUP BY 1, 2, 3, 4, 5, 6;

-- name: roll_up_groups#
-- The same for demographic groups; the whole range at once, since each event counts several times.
CREATE TEMP TABLE grouped AS
SELECT date_trunc('hour', occurred_at, 'UTC') AS hour, source, funnel_stage, event_type, country,
       campaign_id, dimension, value, count(*) AS events, coalesce(sum(revenue), 0) AS revenue
FROM events, LATERAL (
    SELECT 'ageGroup', CASE width_bucket((data #>> '{user,age}')::int, ARRAY[18, 25, 35, 45, 55, 65])
           WHEN 0 THEN '0-17' WHEN 1 THEN '18-24' WHEN 2 THEN '25-34' WHEN 3 THEN '35-44'
           WHEN 4 THEN '45-54' WHEN 5 THEN '55-64' ELSE '65+' END
    WHERE source = 'facebook'
    UNION ALL SELECT 'gender', data #>> '{user,gender}' WHERE source = 'facebook'
    UNION ALL SELECT 'country', country WHERE source = 'facebook'
    UNION ALL SELECT 'city', data #>> '{user,location,city}' WHERE source = 'facebook'
    UNION ALL
    SELECT 'followerBand', CASE width_bucket((data #>> '{user,followers}')::int,
                                             ARRAY[1000, 10000, 100000, 1000000])
           WHEN 0 THEN '0-999' WHEN 1 THEN '1K-9.9K' WHEN 2 THEN '10K-99.9K'
           WHEN 3 THEN '100K-999.9K' ELSE '1M+' END
    WHERE source = 'tiktok'
    UNION ALL SELECT 'device', data #>> '{engagement,device}'
    WHERE source = 'tiktok' AND funnel_stage = 'top'
) AS g (dimension, value)
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;
INSERT INTO rollup_hour_demographics
SELECT hour, source, funnel_stage, event_type, country, dimension, value, sum(events), sum(revenue)
FROM grouped GROUP BY 1, 2, 3, 4, 5, 6, 7;
INSERT INTO rollup_hour_campaign_demographics
SELECT hour, source, funnel_stage, event_type, campaign_id, dimension, value, sum(events), sum(revenue)
FROM grouped WHERE campaign_id IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6, 7;
DROP TABLE grouped;

-- name: roll_up_days#
-- Days out of hours.
INSERT INTO rollup_day_types
SELECT (hour AT TIME ZONE 'UTC')::date, source, funnel_stage, event_type,
       sum(events), sum(purchases), sum(revenue), min(first_at), max(last_at)
FROM rollup_hour_types
GROUP BY 1, 2, 3, 4;
INSERT INTO rollup_day_countries
SELECT (hour AT TIME ZONE 'UTC')::date, source, funnel_stage, event_type, country,
       sum(events), sum(purchases), sum(revenue), min(first_at), max(last_at)
FROM rollup_hour_countries
GROUP BY 1, 2, 3, 4, 5;
INSERT INTO rollup_day_campaigns
SELECT (hour AT TIME ZONE 'UTC')::date, source, funnel_stage, event_type, campaign_id,
       sum(events), sum(purchases), sum(revenue), min(first_at), max(last_at)
FROM rollup_hour_campaigns
GROUP BY 1, 2, 3, 4, 5;
INSERT INTO rollup_day_campaign_countries
SELECT (hour AT TIME ZONE 'UTC')::date, source, funnel_stage, event_type, campaign_id, country,
       sum(events), sum(purchases), sum(revenue), min(first_at), max(last_at)
FROM rollup_hour_campaign_countries
GROUP BY 1, 2, 3, 4, 5, 6;
INSERT INTO rollup_day_demographics
SELECT (hour AT TIME ZONE 'UTC')::date, source, funnel_stage, event_type, country, dimension, value,
       sum(events), sum(revenue)
FROM rollup_hour_demographics
GROUP BY 1, 2, 3, 4, 5, 6, 7;
INSERT INTO rollup_day_campaign_demographics
SELECT (hour AT TIME ZONE 'UTC')::date, source, funnel_stage, event_type, campaign_id, dimension, value,
       sum(events), sum(revenue)
FROM rollup_hour_campaign_demographics
GROUP BY 1, 2, 3, 4, 5, 6, 7;
INSERT INTO rollup_day_groups
SELECT day, source, funnel_stage, event_type, dimension, value, sum(events), sum(revenue)
FROM rollup_day_demographics
GROUP BY 1, 2, 3, 4, 5, 6;

-- name: users_of_hours(day)
-- Who acted, for the sketches.
SELECT date_trunc('hour', occurred_at, 'UTC') AS hour, source, funnel_stage, event_type,
       coalesce(country, '') AS country, array_agg(DISTINCT user_id) AS users
FROM events
WHERE day = :day::date
GROUP BY 1, 2, 3, 4, 5;

-- name: make_raw#
-- The usual way: the event as it came in one JSONB column, with indexes on what is asked for.
CREATE TABLE raw_events (id text PRIMARY KEY, event jsonb NOT NULL);
INSERT INTO raw_events
SELECT event_id, jsonb_build_object('eventId', event_id, 'timestamp', to_char(occurred_at AT TIME ZONE 'UTC',
           'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'source', source, 'funnelStage', funnel_stage,
           'eventType', event_type, 'data', data)
FROM events;
CREATE INDEX raw_timestamp ON raw_events ((event ->> 'timestamp'));
CREATE INDEX raw_source ON raw_events ((event ->> 'source'), (event ->> 'eventType'));
CREATE INDEX raw_campaign ON raw_events ((event #>> '{data,engagement,campaignId}'));
CREATE INDEX raw_user ON raw_events ((event #>> '{data,user,userId}'));
CREATE INDEX raw_contains ON raw_events USING gin (event jsonb_path_ops);

-- name: columnar(day)
-- The typed columns for DuckDB.
COPY (
    SELECT occurred_at, source, funnel_stage, event_type, user_id, country, campaign_id, revenue,
           (data #>> '{user,age}')::int, data #>> '{user,gender}', data #>> '{user,location,city}',
           (data #>> '{user,followers}')::int, data #>> '{engagement,device}', event_id, data
    FROM events WHERE day = :day::date ORDER BY occurred_at
) TO STDOUT (FORMAT csv);
