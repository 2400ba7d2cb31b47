-- Roles of the functions. Roles belong to the whole cluster, so several databases may be migrated
-- into one cluster, at the same time too: a role that is there, or just being made, is left alone.
-- They cannot log in until whoever runs the cluster says so:
--   ALTER ROLE universe_writer LOGIN PASSWORD '...';
-- Rolling back leaves the roles: other databases of the cluster may use them.

-- migrate:up
DO $$
DECLARE
    wanted text;
    setting text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['universe_writer', 'universe_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- another database's migration was faster
            END;
        END IF;
    END LOOP;
    -- a setting that the cluster's administrator made stays
    FOREACH setting IN ARRAY ARRAY['statement_timeout=15s', 'default_transaction_read_only=on'] LOOP
        IF NOT EXISTS (
            SELECT FROM pg_roles, unnest(rolconfig) AS c (made)
            WHERE rolname = 'universe_reader'
              AND split_part(c.made, '=', 1) = split_part(setting, '=', 1)
        ) THEN
            BEGIN
                EXECUTE format('ALTER ROLE universe_reader SET %I = %L',
                               split_part(setting, '=', 1), split_part(setting, '=', 2));
            EXCEPTION WHEN internal_error THEN
                NULL; -- "tuple concurrently updated": another database's migration was faster
            END;
        END IF;
    END LOOP;
END
$$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO universe_writer, universe_reader;

-- migrate:down
REVOKE USAGE ON SCHEMA public FROM universe_writer, universe_reader;
