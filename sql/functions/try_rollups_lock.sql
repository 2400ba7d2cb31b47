-- Whether this transaction now holds the lock `rollups_lock()`, until it ends. Writers take it through
-- this function, which runs as its owner: they may take no other advisory lock, and readers none.
CREATE OR REPLACE FUNCTION try_rollups_lock() RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
RETURN pg_try_advisory_xact_lock(public.rollups_lock());
REVOKE ALL ON FUNCTION try_rollups_lock () FROM PUBLIC;
GRANT EXECUTE ON FUNCTION try_rollups_lock () TO universe_writer;
