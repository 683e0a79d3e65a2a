#!/bin/sh
# Remakes both lock files from pyproject.toml and keeps the pins, except as told:
#   ./scripts/lock.sh                  after a change of pyproject.toml
#   ./scripts/lock.sh --upgrade        upgrade everything
#   ./scripts/lock.sh -P numba         upgrade one package
# One version of each package for every supported Python and platform (--fork-strategy fewest), wheels only.
set -eu
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if command -v uv >/dev/null; then
    uv=uv
else
    "${REPRISE_PYTHON:-python3}" -m venv "$scratch"
    "$scratch/bin/python" -m pip install --quiet uv
    uv=$scratch/bin/uv
fi

compile() {
    "$uv" pip compile --quiet pyproject.toml --extra plot --extra hosts --extra serve --extra yandex --python-version 3.11 --universal --fork-strategy fewest \
        --generate-hashes --no-build --no-annotate --no-emit-index-url --no-emit-find-links \
        --custom-compile-command ./scripts/lock.sh "$@"
}
compile "$@" --output-file requirements.lock
compile "$@" --output-file requirements-dev.lock --group dev --constraint requirements.lock
