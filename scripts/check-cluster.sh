#!/bin/sh
# Sends events to an ingest on a cluster, and checks that each of them is stored exactly once.
# usage: check-cluster.sh URL KEY_FILE EVENTS SEED   (PostgreSQL is postgres-0 of the single-node overlay)
set -eu
url=$1 key_file=$2 events=$3 seed=$4

stored() {
  kubectl -n universe exec postgres-0 -- psql -U postgres -d universe -tAc 'SELECT count(*) FROM events'
}

wanted=$(($(stored) + events))
INGEST_API_KEY=$(cat "$key_file") .venv/bin/universe publish --url "$url" --events "$events" --seed "$seed"
for _ in $(seq 60); do
  found=$(stored)
  [ "$found" -lt "$wanted" ] || break
  sleep 2
done
[ "$found" -eq "$wanted" ] || { echo "$found events are stored instead of $wanted" >&2; exit 1; }
echo "$found events are stored, each once"
