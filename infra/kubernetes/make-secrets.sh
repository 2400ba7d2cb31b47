#!/bin/sh
# Makes the passwords, logins and addresses that the overlays and the functions need, as files.
# Usage: infra/kubernetes/make-secrets.sh FOLDER
#
#   FOLDER/*            for kustomize: overlays/NAME/secrets
#   FOLDER/functions/*  the secrets of the functions, each file named as its secret
#
# What is there stays: to change a password, delete its file and run this again, which writes the
# files that hold it anew. Other hosts than those of the overlays: NATS_HOST, POSTGRES_HOST;
# DATABASE_OPTIONS is what follows the name of the database in its addresses.
set -eu
umask 077

folder=${1:?usage: make-secrets.sh FOLDER}
nats=${NATS_HOST:-nats.universe}
postgres=${POSTGRES_HOST:-postgres.universe}
options=${DATABASE_OPTIONS-'?sslmode=verify-full&sslrootcert=/var/openfaas/secrets/database-ca'}
mkdir -p "$folder/functions"
cd "$folder"

# password NAME: prints the password in a file, which it makes first if there is none.
password() {
    [ -s "$1" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$1"
    cat "$1"
}

nats_url() {
    printf 'nats://%s:%s@%s:4222' "$1" "$(password "nats-password-$1")" "$nats"
}

database_url() {
    printf 'postgresql://universe_%s:%s@%s:5432/universe%s' \
        "$1" "$(password "$1-password")" "$postgres" "$options"
}

password owner-password >/dev/null
database_url writer >functions/database-url
database_url reader >functions/database-reader-url

# What the connector signs batches with, and the keys that senders and readers give.
for name in batch-signing-key ingest-api-key analytics-api-key; do
    password "$name" >"functions/$name"
done

for user in admin connector exporter; do
    nats_url "$user" >"nats-url-$user"
done
nats_url ingest >functions/nats-url
for user in admin connector exporter ingest; do
    printf '%s_PASSWORD: "%s"\n' "$(echo "$user" | tr '[:lower:]' '[:upper:]')" "$(password "nats-password-$user")"
done >nats-passwords.conf
cluster=$(password nats-password-cluster)
{
    printf 'authorization { user: cluster, password: "%s" }\nroutes: [\n' "$cluster"
    for number in 0 1 2; do
        printf '  "nats://cluster:%s@nats-%s.nats-servers:6222"\n' "$cluster" "$number"
    done
    echo ']'
} >nats-routes.conf

# The certificate of the overlay single-node's PostgreSQL, which signs itself: clients trust it and
# no other, so there is no key of an authority to guard.
if [ ! -s postgres.crt ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
        -subj /CN=postgres.universe -keyout postgres.key -out postgres.crt \
        -addext "subjectAltName=DNS:postgres,DNS:postgres.universe,DNS:postgres.universe.svc,DNS:postgres.universe.svc.cluster.local" \
        2>/dev/null
fi
cp postgres.crt functions/database-ca
