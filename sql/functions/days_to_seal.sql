-- Days that are not sealed, were over `idle` ago, and got no event since: writing to a sealed day
-- costs more, so a day that is being filled with old events is left alone.
CREATE OR REPLACE FUNCTION days_to_seal(idle interval DEFAULT '1 hour')
RETURNS SETOF date
LANGUAGE plpgsql STABLE AS $$
DECLARE
    finished date;
BEGIN
    FOR finished IN
        SELECT d.day FROM event_days AS d
        WHERE d.sealed_at IS NULL AND (d.day + 1)::timestamp AT TIME ZONE 'UTC' < now() - idle
        ORDER BY d.day
    LOOP
        IF NOT EXISTS (SELECT FROM events AS e
                       WHERE e.day = finished AND e.received_at >= now() - idle) THEN
            RETURN NEXT finished;
        END IF;
    END LOOP;
END
$$;
