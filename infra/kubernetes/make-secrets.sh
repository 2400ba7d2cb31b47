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

# What the connector signs batches with, and the keys that senders, readers and
# those who write give.
for name in batch-signing-key ingest-api-key analytics-api-key analytics-write-key; do
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

# certificate NAME HOST...: makes a certificate that signs itself, for a server of these hosts, where
# there is none. Clients trust it and no other, so there is no key of an authority to guard.
certificate() {
    name=$1 hosts=
    shift
    [ ! -s "$name.crt" ] || return 0
    for host; do
        case $host in
        *[!0-9.]*) hosts=$hosts,DNS:$host ;;
        *) hosts=$hosts,IP:$host ;;
        esac
    done
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
        -subj "/CN=$name.universe" -keyout "$name.key" -out "$name.crt" \
        -addext "subjectAltName=${hosts#,}" 2>/dev/null
}

# For the overlay single-node's PostgreSQL, and for the component nats-tls.
for name in postgres nats; do
    certificate "$name" "$name" "$name.universe" "$name.universe.svc" \
        "$name.universe.svc.cluster.local" "$([ "$name" = nats ] && echo "$nats" || echo "$postgres")"
done
cp postgres.crt functions/database-ca
