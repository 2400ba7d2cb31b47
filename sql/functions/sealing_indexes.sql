-- The indexes that a sealed day's partition has besides those of every partition: their names, and
-- what follows CREATE INDEX name ON.
CREATE OR REPLACE FUNCTION sealing_indexes(sealed date)
RETURNS TABLE (index_name text, definition text)
LANGUAGE sql STABLE AS $$
    SELECT format('events_%s_%s', to_char(sealed, 'YYYYMMDD'), i.name),
           format('public.events_%s USING %s', to_char(sealed, 'YYYYMMDD'), i.definition)
    FROM sealed_day_indexes AS i
    ORDER BY i.place
$$;
