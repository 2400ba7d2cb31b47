-- An estimate from the planner's statistics: the bytes that the live rows of a table would take if
-- they were packed, against the bytes it has. Partitions count as their table.
CREATE OR REPLACE FUNCTION monitored_bloat()
RETURNS TABLE (table_name text, heap_bytes bigint, bloat_bytes bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH tables AS (
        SELECT coalesce(pg_partition_root(c.oid), c.oid) AS root, c.relname,
               coalesce(pg_relation_size(c.oid), 0) AS bytes,
               greatest(pg_stat_get_live_tuples(c.oid), 0) AS live_rows,
               coalesce((SELECT split_part(o, '=', 2)::float8 FROM unnest(c.reloptions) AS o
                         WHERE o LIKE 'fillfactor=%'), 100) / 100 AS fill
        FROM pg_class AS c
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
    ),
    rows AS (
        -- 24: row header and null bitmap, 4: line pointer, 4: padding on the average
        SELECT t.root, t.bytes, t.live_rows, t.fill,
               24 + 4 + 4 + sum((1 - s.null_frac) * s.avg_width) AS row_bytes
        FROM tables AS t
        LEFT JOIN pg_stats AS s ON s.schemaname = 'public' AND s.tablename = t.relname
        GROUP BY t.root, t.relname, t.bytes, t.live_rows, t.fill
    )
    SELECT (SELECT relname FROM pg_class WHERE oid = r.root)::text, sum(r.bytes)::bigint,
           -- a table that was never analyzed counts as packed; so does what fits one page
           sum(CASE WHEN r.row_bytes IS NULL OR r.bytes <= 8192 THEN 0
                    ELSE greatest(0, r.bytes - 8192 * (ceil(r.live_rows * r.row_bytes
                                                           / (8168 * r.fill)) + 1))
               END)::bigint
    FROM rows AS r
    GROUP BY r.root
$$;
COMMENT ON FUNCTION monitored_bloat IS 'estimated bytes of each table that hold no live row';
REVOKE ALL ON FUNCTION monitored_bloat () FROM PUBLIC;
GRANT EXECUTE ON FUNCTION monitored_bloat () TO universe_reader;
