-- The advisory locks. The upper half of each is Universe's number, the lower half says what it
-- protects: take one as pg_advisory_xact_lock(rollups_lock()).
CREATE OR REPLACE FUNCTION advisory_lock_class() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 7305::bigint << 32;

-- Partitions of events are made or dropped.
CREATE OR REPLACE FUNCTION partitions_lock() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN advisory_lock_class() + 1;

-- Deltas are compacted, or days are sealed or dropped, or the catalogue of rollups changes.
CREATE OR REPLACE FUNCTION rollups_lock() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN advisory_lock_class() + 2;

-- Indexes of a day are built.
CREATE OR REPLACE FUNCTION sealing_lock() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN advisory_lock_class() + 3;
