-- name: store_spend(day, source, campaign_id, amount)
-- Stores what was spent, an entry of each array; an amount of null takes the entry away.
WITH given AS (
    SELECT * FROM unnest(:day::date[], :source::text[], :campaign_id::text[], :amount::numeric[])
        AS g (day, source, campaign_id, amount)
),
removed AS (
    DELETE FROM workspace.spend AS s USING given AS g
    WHERE g.amount IS NULL AND s.day = g.day AND s.source = g.source
      AND s.campaign_id = g.campaign_id
    RETURNING 1
),
stored AS (
    INSERT INTO workspace.spend AS s (day, source, campaign_id, amount)
    SELECT day, source, campaign_id, amount FROM given WHERE amount IS NOT NULL
    ON CONFLICT (day, source, campaign_id) DO UPDATE
        SET amount = excluded.amount, imported_at = excluded.imported_at
        WHERE s.amount <> excluded.amount
    RETURNING xmax = 0 AS added
)
SELECT (SELECT count(*) FROM stored WHERE added) AS added,
       (SELECT count(*) FROM stored WHERE NOT added) AS changed,
       (SELECT count(*) FROM given WHERE amount IS NOT NULL) - (SELECT count(*) FROM stored)
           AS unchanged,
       (SELECT count(*) FROM removed) AS removed;
