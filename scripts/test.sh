#!/bin/sh
# Runs all checks: ./scripts/test.sh [--all] [--record] [pytest arguments]. Every check runs even if an earlier one
# fails; the exit code is that of the first failure.
#   --all     also runs the tests that take long by nature (marked `long`), as CI does; without it each has a short form
#   --record  writes to tests/durations.json how long each module took, so that the longest start first
set -u
cd "$(dirname "$0")/.." || exit
repo=$(pwd -P)

. scripts/environment.sh
ensure_environment requirements-dev.lock
"$repo/.venv/bin/python" -I -B scripts/setup_environment.py browser || exit

# In memory if there is plenty: half of the time would be waiting for a disk, which the tests give thousands of commits.
has_kb() { [ "${1:-0}" -ge "$2" ]; }
if [ -w /dev/shm ] && has_kb "$(df -Pk /dev/shm | awk 'NR == 2 { print $4 }')" 6000000 &&
    has_kb "$(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo)" 10000000; then
    TMPDIR=/dev/shm
fi
TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/rt.XXXXXX") || exit # so that no file of a test outlives this command
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 130' INT TERM

exit_code=0
ended() {
    if [ "$2" -ne 0 ]; then
        echo "test.sh: $1 failed with exit code $2" >&2
        [ "$exit_code" -ne 0 ] || exit_code=$2
    fi
}
check() {
    "$repo/.venv/bin/python" -m "$@"
    ended "$1" $?
}
# Compile the kernels while the other cores have little to do; the tests find them where conftest.py keeps them.
REPRISE_KERNEL_CACHE=$repo/.pytest_cache/numba "$repo/.venv/bin/python" -c \
    'from dedup.correlation.warm_up import compile_all; compile_all()' &
warming=$!
check ruff check
check ruff format --check
check mypy
wait "$warming"
ended "compiling the kernels" $?
# A module's tests stay in one process, because its fixtures may be costly; conftest.py starts the longest ones first.
check pytest -n logical --maxprocesses 8 --dist loadscope --no-loadscope-reorder "$@"
exit "$exit_code"
