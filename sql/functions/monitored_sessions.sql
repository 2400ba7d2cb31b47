-- Sessions in this database by role and state. With its owner's rights, so that universe_reader needs no
-- membership of pg_monitor, which shows the text of all users' queries. An owner that is no superuser
-- sees the state of its own sessions only.
CREATE OR REPLACE FUNCTION monitored_sessions()
RETURNS TABLE (role text, state text, sessions bigint, longest_transaction_seconds float8)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(a.usename, 'none')::text, coalesce(a.state, 'not visible'), count(*),
           coalesce(max(extract(epoch FROM clock_timestamp() - a.xact_start)), 0)::float8
    FROM pg_stat_activity AS a
    WHERE a.datname = current_database()
    GROUP BY 1, 2
$$;
COMMENT ON FUNCTION monitored_sessions IS 'sessions in this database by role and state';
REVOKE ALL ON FUNCTION monitored_sessions () FROM PUBLIC;
GRANT EXECUTE ON FUNCTION monitored_sessions () TO universe_reader;
