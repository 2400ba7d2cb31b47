-- A user as a number: which users are in the sample, and who is who in the lists of leading users. Stored
-- values rest on it, as those of a hash-partitioned table do on PostgreSQL's hash functions.
CREATE OR REPLACE FUNCTION user_hash(user_id text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended(user_id, 7305);
