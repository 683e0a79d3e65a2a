# Read by scripts/reprise and scripts/test.sh, which set $repo first.

if [ -d /opt/homebrew/lib ]; then # where the loader of macOS does not look by itself
    export DYLD_FALLBACK_LIBRARY_PATH=/opt/homebrew/lib:/usr/local/lib:/usr/lib
fi

# ensure_environment LOCK: $repo/.venv holds what LOCK names. Where it already does, this costs one cmp: every start
# of the program comes through here.
ensure_environment() {
    if [ -z "${REPRISE_PYTHON:-}" ] && [ -x "$repo/.venv/bin/python" ] &&
        cmp -s "$repo/$1" "$repo/.venv/installed/$1"; then
        return
    fi
    choose_python
    "$chosen" -I -B "$repo/scripts/setup_environment.py" "$1" || exit
}

# choose_python: sets $chosen to $REPRISE_PYTHON or else the newest Python here, of those that the locks were made for.
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
