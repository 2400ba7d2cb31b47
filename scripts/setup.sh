#!/bin/sh
# Makes a virtual environment and installs what a lock file pins, hashes checked, and this project.
# Uses uv where it can be had (scripts/uv.sh), else pip.
# Usage: [PYTHON=python3.12] [VENV=.venv] scripts/setup.sh [requirements.lock | requirements-dev.lock]
set -eu
cd "$(dirname "$0")/.."

lock=${1:-requirements.lock}
venv=${VENV:-.venv}
python=${PYTHON:-}
versions=$(sed -n 's/^requires-python = "\(.*\)"/\1/p' pyproject.toml)  # >=3.11,<3.14
lowest=$(echo "$versions" | sed 's/^>=\([0-9.]*\),.*/\1/')
below=$(echo "$versions" | sed 's/.*,<//')

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

log=$(mktemp)
ticker=
stop() {
    if [ -n "$ticker" ]; then kill "$ticker" 2>/dev/null || true; fi
    rm -f "$log"
}
trap stop EXIT
trap 'exit 130' INT TERM

# step TEXT COMMAND...: run a command; show its output only where it fails, and the seconds it takes.
step() {
    text=$1
    shift
    started=$(date +%s)
    if [ -t 1 ]; then
        (
            while :; do
                printf '\r%s ... %s s ' "$text" $(($(date +%s) - started))
                sleep 1
            done
        ) &
        ticker=$!
    else
        echo "$text ..."
    fi
    status=0
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if [ -n "$ticker" ]; then
        kill "$ticker" 2>/dev/null || true
        wait "$ticker" 2>/dev/null || true
        ticker=
        printf '\r%s ... %s s \n' "$text" $(($(date +%s) - started))
    fi
    if [ "$status" != 0 ]; then cat "$log" >&2; fi
    return "$status"
}

refuse() {
    echo "setup: $*" >&2
    exit 1
}

# suits PYTHON: whether it is one of the versions that this project runs on.
suits() {
    "$1" - "$lowest" "$below" 2>/dev/null <<'PY'
import sys
lowest, below = (tuple(int(part) for part in text.split(".")) for text in sys.argv[1:])
sys.exit(not lowest <= sys.version_info[:2] < below)
PY
}

has_venv() {
    [ -x "$venv/bin/python" ] && suits "$venv/bin/python"
}

with_uv() {
    has_venv || step "making $venv" "$uv" venv --quiet --clear --python "${python:-$versions}" "$venv" || return
    VIRTUAL_ENV=$PWD/$venv
    export VIRTUAL_ENV
    # bytecode is made when a module is first imported, unless that is forbidden
    step "installing $packages packages into $venv with uv" \
        "$uv" pip install --quiet --no-deps --require-hashes ${PYTHONDONTWRITEBYTECODE:+--compile-bytecode} \
        -r "$lock" || return
    step "installing universe" "$uv" pip install --quiet --no-deps --no-build-isolation -e .
}

with_pip() {
    if ! has_venv || ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
        for candidate in ${python:+"$python"} python3 python python3.13 python3.12 python3.11; do
            if suits "$candidate"; then found=$candidate; break; fi
        done
        if [ -n "$uv" ]; then
            hint="Install one: uv could not download it"
        else
            hint="Install one, or uv, which brings one along: https://docs.astral.sh/uv/getting-started/installation/"
        fi
        [ -n "${found:-}" ] || refuse "Python $lowest or newer, but older than $below, is needed, and python3 is" \
            "$(python3 -V 2>/dev/null || echo missing). $hint"
        step "making $venv with $("$found" -V)" "$found" -m venv --clear "$venv"
    fi
    step "installing $packages packages into $venv with pip" \
        "$venv/bin/python" -m pip install --quiet --no-deps --require-hashes -r "$lock"
    step "installing universe" \
        "$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation -e .
}

if [ -n "$python" ] && ! suits "$python"; then
    refuse "PYTHON=$python is $("$python" -V 2>/dev/null || echo missing): $versions is needed"
fi
packages=$(grep -c '^[a-z].*==' "$lock")
if uv=$(scripts/uv.sh); then
    with_uv && exit
    echo "setup: uv did not succeed: trying pip" >&2
fi
with_pip
