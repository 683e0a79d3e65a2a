# For scripts/reprise and scripts/test.sh, which set $repo first.

# ensure_environment LOCK: makes $repo/.venv hold what LOCK names. If it already does, this costs only one cmp, because
# every start of the program comes through here.
ensure_environment() {
    if [ -z "${REPRISE_PYTHON:-}" ] && [ -x "$repo/.venv/bin/python" ] &&
        cmp -s "$repo/$1" "$repo/.venv/installed/$1"; then
        return
    fi
    choose_python
    "$chosen" -I -B "$repo/scripts/setup_environment.py" "$1" || exit
}

# choose_python: sets $chosen to $REPRISE_PYTHON, otherwise to the newest Python here that the locks support.
choose_python() {
    if [ -n "${REPRISE_PYTHON:-}" ]; then
        set -- "$REPRISE_PYTHON"
    else
        set -- python3.14 python3.13 python3.12 python3.11 python3
    fi
    for chosen in "$@"; do
        if "$chosen" -c 'import sys; sys.exit(sys.version_info < (3, 11))' </dev/null >/dev/null 2>&1; then
            return
        fi
    done
    echo "reprise: no Python 3.11 or newer found; looked for: $*." \
        "Install one with the system's package manager, or name it in REPRISE_PYTHON" >&2
    exit 20
}
