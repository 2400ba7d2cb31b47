-- The events of the analytics benchmark, made in DuckDB day by day, and all that is derived from them
-- there: PostgreSQL only takes it in. A test compares this with what process-batch writes.
-- {{day}}: the day, {{number}}: how many events, {{users}}: how many people act, per source.

-- name: table
CREATE TABLE events (
    day DATE, occurred_at TIMESTAMP, source VARCHAR, funnel_stage VARCHAR, event_type VARCHAR,
    user_id VARCHAR, country VARCHAR, campaign_id VARCHAR, revenue DECIMAL(18, 2), age INTEGER,
    gender VARCHAR, city VARCHAR, followers INTEGER, device VARCHAR, event_id VARCHAR, data VARCHAR
);

-- name: make_day
-- Events of one day in the order of their time. A few users act often, most seldom; a user has one
-- country and city; facebook and tiktok are about even; a tenth of what happens at the bottom is a
-- purchase.
INSERT INTO events
SELECT DATE '{{day}}', occurred_at, source, stage, event_type, user_id,
       CASE WHEN facebook OR top THEN country END,
       CASE WHEN facebook AND NOT top THEN campaign END,
       CASE WHEN purchase THEN amount END,
       CASE WHEN facebook THEN age END,
       CASE WHEN facebook THEN gender END,
       CASE WHEN facebook THEN city END,
       CASE WHEN NOT facebook THEN followers END,
       CASE WHEN facebook AND NOT top THEN device WHEN NOT facebook AND top THEN phone END,
       event_id,
       CASE WHEN facebook THEN
            '{"user":{"userId":"' || user_id || '","name":"Ada ' || person || '","age":' || age
            || ',"gender":"' || gender || '","location":{"country":"' || country || '","city":"'
            || city || '"}},"engagement":{'
            || CASE WHEN top THEN
                   '"actionTime":"' || moment || '","referrer":"' || referrer || '","videoId":"video-'
                   || dice % 400 || '"}}'
               ELSE
                   '"adId":"ad-' || dice % 60 || '","campaignId":"' || campaign
                   || '","clickPosition":"' || position || '","device":"' || device
                   || '","browser":"' || browser || '","purchaseAmount":'
                   || CASE WHEN purchase THEN '"' || amount || '"' ELSE 'null' END || '}}'
               END
       ELSE
            '{"user":{"userId":"' || user_id || '","username":"ada_' || person || '","followers":'
            || followers || '},"engagement":{'
            || CASE WHEN top THEN
                   '"watchTime":' || dice % 180 || ',"percentageWatched":' || dice % 101
                   || ',"device":"' || phone || '","country":"' || country || '","videoId":"clip-'
                   || dice % 900 || '"}}'
               ELSE
                   '"actionTime":"' || moment || '","profileId":'
                   || CASE WHEN purchase THEN 'null' ELSE '"profile-' || dice % 80 || '"' END
                   || CASE WHEN purchase THEN ',"purchasedItem":"Mug","purchaseAmount":"' || amount || '"'
                      ELSE ',"purchasedItem":null,"purchaseAmount":null' END || '}}'
               END
       END
FROM (
    SELECT *,
           strftime(occurred_at, '%Y-%m-%dT%H:%M:%S.%fZ') AS moment,
           prefix || '-' || strftime(DATE '{{day}}', '%Y%m%d') || '-' || n AS event_id,
           prefix || '-user-' || person AS user_id,
           NOT top AND kind < 0.12 AS purchase,
           CASE WHEN facebook AND top THEN
                    CASE WHEN kind < 0.60 THEN 'ad.view' WHEN kind < 0.85 THEN 'video.view'
                         WHEN kind < 0.95 THEN 'page.like' ELSE 'comment' END
                WHEN facebook THEN
                    CASE WHEN kind < 0.12 THEN 'checkout.complete'
                         WHEN kind < 0.35 THEN 'form.submission' ELSE 'ad.click' END
                WHEN top THEN
                    CASE WHEN kind < 0.60 THEN 'video.view' WHEN kind < 0.85 THEN 'like'
                         WHEN kind < 0.95 THEN 'share' ELSE 'comment' END
                ELSE CASE WHEN kind < 0.12 THEN 'purchase'
                          WHEN kind < 0.35 THEN 'follow' ELSE 'profile.visit' END
           END AS event_type,
           ['US', 'US', 'US', 'DE', 'DE', 'GB', 'GB', 'FR', 'BR', 'IN', 'JP', 'UA', 'PL', 'ES', 'IT',
            'NL', 'SE', 'CA', 'MX', 'AU', 'KR', 'TR', 'PT', 'CZ', 'RO'][1 + person % 25] AS country,
           'city-' || person % 125 AS city,
           'campaign-' || lpad(CAST(1 + CAST(least(c1, c2) * 40 AS INTEGER) AS VARCHAR), 2, '0')
               AS campaign,
           16 + person % 60 AS age,
           ['male', 'female', 'male', 'female', 'female', 'male', 'non-binary'][1 + person % 7]
               AS gender,
           CAST(10 ** (person % 62 / 10.0) AS INTEGER) AS followers,
           CAST(5 + 245 * amount_dice AS DECIMAL(18, 2)) AS amount,
           ['newsfeed', 'marketplace', 'groups'][1 + dice % 3] AS referrer,
           ['top_left', 'bottom_right', 'center'][1 + dice % 3] AS position,
           ['mobile', 'mobile', 'desktop'][1 + dice % 3] AS device,
           ['Chrome', 'Chrome', 'Safari', 'Firefox'][1 + dice % 4] AS browser,
           ['Android', 'Android', 'iOS', 'Desktop'][1 + dice % 4] AS phone
    FROM (
        SELECT *, CASE WHEN facebook THEN 'facebook' ELSE 'tiktok' END AS source,
               CASE WHEN facebook THEN 'fb' ELSE 'tt' END AS prefix,
               CASE WHEN top THEN 'top' ELSE 'bottom' END AS stage
        FROM (
            SELECT n,
                   DATE '{{day}}' + to_microseconds(n * 86400000000 // {{number}}) AS occurred_at,
                   random() < 0.55 AS facebook, random() < 0.75 AS top,
                   CAST(random() ** 2 * {{users}} AS INTEGER) AS person,
                   CAST(random() * 100000 AS INTEGER) AS dice,
                   random() AS kind, random() AS c1, random() AS c2, random() AS amount_dice
            FROM range({{number}}) AS r (n)
        )
    )
);

-- name: copy_day
-- The events of a day out of those of a day {{shift}} days later.
INSERT INTO events
SELECT * REPLACE (DATE '{{day}}' AS day, occurred_at - INTERVAL {{shift}} DAYS AS occurred_at)
FROM events
WHERE day = DATE '{{day}}' + {{shift}};

-- name: of_day
-- Columns of `events` in PostgreSQL.
SELECT event_id, day, strftime(occurred_at, '%Y-%m-%dT%H:%M:%S.%fZ') AS occurred, occurred,
       source, funnel_stage, event_type, user_id, country, campaign_id, revenue, data
FROM events WHERE day = DATE '{{day}}';

-- name: grouped_events
-- Each event once in every demographic group of it.
CREATE OR REPLACE TEMP TABLE grouped AS
SELECT date_trunc('hour', occurred_at) AS hour, day, source, funnel_stage, event_type, country,
       campaign_id, g.dimension, g.value, count(*) AS events, coalesce(sum(revenue), 0) AS revenue
FROM events, LATERAL (SELECT unnest([
    {dimension: 'ageGroup', value: CASE WHEN age < 18 THEN '0-17' WHEN age < 25 THEN '18-24'
        WHEN age < 35 THEN '25-34' WHEN age < 45 THEN '35-44' WHEN age < 55 THEN '45-54'
        WHEN age < 65 THEN '55-64' WHEN age >= 65 THEN '65+' END},
    {dimension: 'gender', value: gender},
    {dimension: 'country', value: CASE source WHEN 'facebook' THEN country END},
    {dimension: 'city', value: city},
    {dimension: 'followerBand', value: CASE WHEN followers < 1000 THEN '0-999'
        WHEN followers < 10000 THEN '1K-9.9K' WHEN followers < 100000 THEN '10K-99.9K'
        WHEN followers < 1000000 THEN '100K-999.9K' WHEN followers >= 1000000 THEN '1M+' END},
    {dimension: 'device', value: CASE source WHEN 'tiktok' THEN device END}
]) AS g)
WHERE day = DATE '{{day}}' AND g.value IS NOT NULL
GROUP BY ALL;

-- name: sums
-- A rollup of sums; keys, measures and source are filled in.
SELECT {{grain}}, {{keys}}, {{measures}}
FROM {{rows}}
WHERE {{condition}}
GROUP BY {{grain}}, {{keys}};

-- name: users_of_hours
-- Who acted, for the sketches.
SELECT date_trunc('hour', occurred_at) AS hour, source, funnel_stage, event_type,
       coalesce(country, '') AS country, list(DISTINCT user_id) AS users
FROM events
WHERE day = DATE '{{day}}'
GROUP BY ALL;

-- name: spend
-- What campaigns cost, a row for each day and campaign.
CREATE OR REPLACE TABLE spend AS
SELECT day::DATE AS day, 'facebook' AS source,
       'campaign-' || lpad(CAST(number AS VARCHAR), 2, '0') AS campaign_id,
       CAST(20 + (7 * number + date_diff('day', DATE '2000-01-01', day::DATE)) % 50 AS DECIMAL(18, 2))
           AS amount
FROM generate_series(TIMESTAMP '{{first}}', TIMESTAMP '{{last}}', INTERVAL 1 DAY) AS d (day),
     range(1, 42) AS c (number);
