#!/bin/sh
# Prints the path of uv, a fast installer of Python packages: the one on the PATH, else one of our own
# in .tools/uv, installed with pip as requirements-uv.lock pins it. Fails where neither can be had.
# Usage: scripts/uv.sh
set -eu
cd "$(dirname "$0")/.."

if command -v uv; then exit 0; fi

folder=$PWD/.tools/uv
uv=$folder/bin/uv
wanted=$(sed -n 's/^uv==\([0-9.]*\).*/uv \1/p' requirements-uv.lock)
case "$("$uv" --version 2>/dev/null)" in
    "$wanted" | "$wanted "*) echo "$uv"; exit 0 ;;
esac

# Any Python with pip will do here, too old or too new ones as well.
for python in ${PYTHON:+"$PYTHON"} python3 python; do
    "$python" -c 'import pip' 2>/dev/null || continue
    echo "installing $wanted, which installs the rest ..." >&2
    rm -rf "$folder"
    PIP_ROOT_USER_ACTION=ignore "$python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
        --only-binary :all: --target "$folder" -r requirements-uv.lock >&2 || continue
    echo "$uv"
    exit 0
done
exit 1
