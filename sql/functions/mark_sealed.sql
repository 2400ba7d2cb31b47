-- Fills the rollups of sealed days for a day whose indexes are there, and marks it sealed.
CREATE OR REPLACE FUNCTION mark_sealed(sealed date) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(rollups_lock());
    PERFORM count_sealed_rollups(sealed);
    UPDATE event_days SET sealed_at = now() WHERE day = sealed;
END
$$;
REVOKE ALL ON FUNCTION mark_sealed (date) FROM PUBLIC;
