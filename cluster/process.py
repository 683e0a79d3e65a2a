"""What all worker processes have in common, whoever starts them: environment, signals, memory, and how they ended.

This module imports only the standard library at its top, because the launcher pays for its imports at every start."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from dataclasses import dataclass

MIN_MEMORY_LIMIT_BYTES = 1 << 30
"""Smallest limit of a worker: it takes 0.3 GiB with Numba and PyAV loaded, and a tighter limit kills it for nothing."""

TERMINATE_SHARE = 0.95
"""Share of its limit from which on a worker is ended."""

SILENT = "gave no sign of life"
"""How a worker ended that was killed because it was silent."""

SHIELDED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
"""Signals that a terminal or systemd sends to all processes at once. Only the launcher acts on them."""

ONE_THREAD = {
    f"{library}_NUM_THREADS": "1"
    for library in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMBA", "NUMEXPR", "VECLIB_MAXIMUM")
} | {"VECLIB_MAXIMUM_THREADS": "1"}
"""Environment that keeps each worker to one thread, because the runner alone decides what runs in parallel."""

_CGROUP_FILES = (
    "memory/memory.limit_in_bytes",
    "memory/memory.soft_limit_in_bytes",
    "memory.max",
    "memory.high",
    "memory.low",
)
"""Files of cgroups (v1, v2) that may limit the memory of this process, as Dask reads them."""


@dataclass(frozen=True)
class Death:
    """How a worker ended."""

    how: str
    """Signal, exit status or cause, such as "SIGKILL" or "status 3"."""
    task: str | None
    """Key of the task that it was running; None between tasks."""
    hang: str | None
    """Traceback of a task that ran past its time limit; None if none did."""


def exit_text(code: int) -> str:
    """An exit code in words: "SIGKILL" of -9, "status 3" of 3."""
    if code >= 0:
        return f"status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def too_much_text(limit_bytes: int) -> str:
    """How a worker ended that took more memory than its limit."""
    return f"it took more than {limit_bytes / 2**30:.1f} GiB of memory"


def default_memory_limit(n_workers: int) -> int:
    """Bytes that each of `n_workers` workers may take: its share of what this process may, at least 1 GiB."""
    return max(MIN_MEMORY_LIMIT_BYTES, memory_limit() // n_workers)


def memory_limit() -> int:
    """Bytes that this process may take: those of the machine, or less if a cgroup or `ulimit -m` says so."""
    import resource

    machine_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [machine_bytes, resource.getrlimit(resource.RLIMIT_RSS)[1]]
    for name in _CGROUP_FILES if sys.platform == "linux" else ():
        with contextlib.suppress(OSError, ValueError), open(f"/sys/fs/cgroup/{name}", encoding="ascii") as file:
            limits.append(int(file.read()))
    return min(limit for limit in limits if limit > 0)
