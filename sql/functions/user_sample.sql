-- Questions about users that no sketch answers are estimated from the events of one user in this many
-- (a power of two). functions/analytics_query has the same number.
CREATE OR REPLACE FUNCTION sampling_modulus() RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 32;

-- Whether a user is in the sample, by the hash of the id. Sealed days have an index of their events,
-- which a query with this very condition uses: the planner inlines what it calls.
CREATE OR REPLACE FUNCTION in_user_sample(user_id text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (user_hash(user_id) & (sampling_modulus() - 1)) = 0;
