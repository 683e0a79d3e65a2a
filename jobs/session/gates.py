"""Opens a gate by the settings of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from jobs.session.run import Run

if TYPE_CHECKING:
    from dedup.files.standby import Standby
    from dedup.gate.decide import Policy
    from dedup.gate.gate import Gate
    from dedup.store.store import Store


def policy_of(run: Run) -> Policy:
    """By what the gate decides."""
    from dedup.gate.decide import Policy

    settings = run.settings
    return Policy(settings.keep(), settings.cleanup().let_go, settings.compare().varispeed, settings.gate())


def prepared(run: Run, store: Store, n: int) -> int:
    """Compiles what a gate needs; gives the number of processes that read files: `n`, or as many as there is memory
    for."""
    from cluster.process import memory_limit
    from dedup.gate.gate import compile_gate
    from dedup.gate.memory import processes_that_fit

    n_fit = processes_that_fit(store, n, limit := memory_limit())
    if n_fit < n:
        run.observer.message(f"{n_fit} of {n} files are read at a time: there are {limit >> 20:,} MiB of memory")
    compile_gate(store, run.observer)
    return n_fit


@contextlib.contextmanager
def opened(run: Run, store: Store, n: int) -> Iterator[tuple[Gate, Standby]]:
    """A gate of an open store, with `n` processes that read files."""
    from cluster.place import count_cores
    from dedup.gate.gate import open_gate

    match, scan = run.settings.match(), run.settings.scan()
    n = prepared(run, store, n)
    with open_gate(store, match, policy_of(run), scan, n, count_cores()) as (gate, standby):
        yield gate, standby
