#!/bin/sh
# Builds docs/ below build/docs: the site (html/index.html) and the manual page (man/reprise.1). Warnings are errors.
#   ./scripts/docs.sh
# The first run makes build/docs/venv from the extra `docs` of pyproject.toml, which takes the network; building never
# does. REPRISE_DOCS_PYTHON names a Python that has the extra already.
set -eu
cd "$(dirname "$0")/.."

docs=build/docs
python=${REPRISE_DOCS_PYTHON:-}
if [ -z "$python" ]; then
    repo=$(pwd -P)
    . scripts/environment.sh
    python=$docs/venv/bin/python
    wanted=$docs/venv/wanted
    choose_python
    needs=$("$chosen" -c 'import tomllib
with open("pyproject.toml", "rb") as file:
    print("\n".join(tomllib.load(file)["project"]["optional-dependencies"]["docs"]))')
    if [ "$(cat "$wanted" 2>/dev/null)" != "$needs" ]; then
        rm -rf "$docs/venv"
        "$chosen" -m venv "$docs/venv"
        printf '%s\n' "$needs" >"$docs/requirements.txt"
        "$python" -m pip install --quiet --disable-pip-version-check -r "$docs/requirements.txt"
        printf '%s\n' "$needs" >"$wanted"
    fi
fi

build() {
    name=$1
    shift
    "$python" -m sphinx -q -E -W --keep-going -d "$docs/doctrees-$name" "$@" docs "$docs/$name"
}
build html -b html
build man -b man -t man
echo "docs.sh: built $docs/html/index.html and $docs/man/reprise.1"
