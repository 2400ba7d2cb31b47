#!/bin/sh
# Writes software bills of materials (CycloneDX, JSON) of Python packages into build/sbom: runtime.json for
# requirements.lock, and one for each image, with the versions and hashes that its Dockerfile installs.
# What base images bring along is not in them: a scanner of images lists that.
# Usage: scripts/sbom.sh [FOLDER]
set -eu
cd "$(dirname "$0")/.."

folder=${1:-build/sbom}
bin=${VENV:-.venv}/bin
uv=$(scripts/uv.sh)
mkdir -p "$folder"
list=$(mktemp)
trap 'rm -f "$list"' EXIT

# bill NAME LOCK: write NAME.json for a file of pinned requirements.
bill() {
    "$bin/python" -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml --output-reproducible \
        --of JSON -o "$folder/$1.json" "$2"
    echo "$folder/$1.json: $(grep -c '^[a-z].*==' "$2") packages"
}

# image NAME REQUIREMENTS...: write NAME.json for what an image installs.
image() {
    name=$1
    shift
    "$uv" pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url \
        --python-version 3.11 --python-platform linux -c requirements.lock "$@" -o "$list" >/dev/null
    bill "$name" "$list"
    : >"$list"
}

bill runtime requirements.lock
for function in ingest process_batch analytics_query; do
    image "$(echo "$function" | tr _ -)" "functions/$function/requirements.txt" \
        templates/python3-functions-framework/requirements.txt
done
image connector infra/connector/requirements.txt
image exporter infra/monitoring/exporter/requirements.txt
