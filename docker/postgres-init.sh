#!/bin/sh
# Run once by PostgreSQL's image, as its superuser: the user that launches and the dashboard connect as owns its
# database, and may enter no other. The password reaches psql through a file, never through its command line.
set -eu
psql --quiet --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" --dbname=postgres <<'SQL'
\set password `cat /run/secrets/postgres_password`
CREATE ROLE clustersweep LOGIN PASSWORD :'password';
CREATE DATABASE clustersweep OWNER clustersweep;
REVOKE ALL ON DATABASE clustersweep, postgres, template1 FROM PUBLIC;
SQL
