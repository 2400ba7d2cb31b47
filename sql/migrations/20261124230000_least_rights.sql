-- migrate:up

-- Rights that PostgreSQL gives to every role and that none of ours needs: to make temporary tables, to
-- store large objects, and to take advisory locks, with which a reader could stop compaction.

-- functions/try_rollups_lock.sql
-- Whether this transaction now holds the lock `rollups_lock()`, until it ends. Writers take it through
-- this function, which runs as its owner: they may take no other advisory lock, and readers none.
CREATE OR REPLACE FUNCTION try_rollups_lock() RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
RETURN pg_try_advisory_xact_lock(public.rollups_lock());
REVOKE ALL ON FUNCTION try_rollups_lock () FROM PUBLIC;
GRANT EXECUTE ON FUNCTION try_rollups_lock () TO universe_writer;
-- end

-- Temporary tables: process-batch copies into one.
DO $$
BEGIN
    IF (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()) THEN
        EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
        EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO universe_writer', current_database());
    ELSE
        RAISE WARNING 'every role may make temporary tables: % does not own the database %', current_user,
            current_database();
    END IF;
END
$$;

-- Functions of PostgreSQL itself belong to its first superuser. Where the migrations run as another
-- role, that superuser does the same beforehand: overlays/production/postgres.yaml shows how.
DO $$
DECLARE
    function record;
    left_open text[];
BEGIN
    FOR function IN
        SELECT p.oid::regprocedure AS signature, pg_has_role(p.proowner, 'USAGE') AS owned
        FROM pg_proc AS p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace
          AND p.proname ~ '^(lo_|lo(read|write)$|pg_(try_)?advisory_)'
          AND has_function_privilege('public', p.oid, 'EXECUTE')
    LOOP
        IF function.owned THEN
            EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', function.signature);
        ELSE
            left_open := left_open || function.signature::text;
        END IF;
    END LOOP;
    IF left_open IS NOT NULL THEN
        RAISE WARNING 'every role may call %, among others: % does not own these functions',
            left_open[1], current_user
            USING HINT = 'as a superuser: REVOKE EXECUTE ON FUNCTION ... FROM PUBLIC, then GRANT it to '
                || current_user;
    END IF;
END
$$;

-- migrate:down
DO $$
DECLARE
    function record;
BEGIN
    FOR function IN
        SELECT p.oid::regprocedure AS signature
        FROM pg_proc AS p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace
          AND p.proname ~ '^(lo_|lo(read|write)$|pg_(try_)?advisory_)'
          AND p.proname NOT IN ('lo_import', 'lo_export')
          AND pg_has_role(p.proowner, 'USAGE')
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', function.signature);
    END LOOP;
    IF (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()) THEN
        EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database());
        EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM universe_writer', current_database());
    END IF;
END
$$;
DROP FUNCTION try_rollups_lock ();
