-- Drops every day before `keep_from`; a cron trigger in the database calls for example
--   CALL drop_days_before((now() AT TIME ZONE 'UTC')::date - 90);
CREATE OR REPLACE PROCEDURE drop_days_before(keep_from date)
LANGUAGE plpgsql AS $$
DECLARE
    dropped date;
BEGIN
    FOR dropped IN SELECT day FROM event_days WHERE day < keep_from ORDER BY day LOOP
        PERFORM drop_day(dropped);
        COMMIT;
    END LOOP;
END
$$;
REVOKE ALL ON PROCEDURE drop_days_before (date) FROM PUBLIC;
