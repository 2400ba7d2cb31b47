#!/bin/sh
# Makes the roles of the functions when the server is set up. The migrations leave roles alone that
# are there already, and give them their rights.
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 \
    --username="${POSTGRES_USER:-postgres}" --dbname=postgres <<'SQL'
\set writer `cat "$ROLE_PASSWORDS/writer"`
\set reader `cat "$ROLE_PASSWORDS/reader"`
CREATE ROLE universe_writer LOGIN PASSWORD :'writer';
CREATE ROLE universe_reader LOGIN PASSWORD :'reader';
-- no role but a superuser has anything to do in these two databases
REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC;
SQL
