-- Seals one day in one transaction, for a cron trigger in the database. Writers of that day wait while
-- its indexes are built; infra/database/seal.py builds them concurrently.
CREATE OR REPLACE FUNCTION seal_day(sealed date) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    index record;
BEGIN
    FOR index IN SELECT * FROM sealing_indexes(sealed) LOOP
        EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %s', index.index_name, index.definition);
    END LOOP;
    PERFORM mark_sealed(sealed);
END
$$;
REVOKE ALL ON FUNCTION seal_day (date) FROM PUBLIC;
