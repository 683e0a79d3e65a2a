"""What a worker must have to take part, looked at before work starts and when one joins later.

Importing this module imports Dask."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distributed import Client, WorkerPlugin
from distributed.core import Status

from cluster.nanny import REFUSED
from cluster.tenancy import ADMISSION
from dedup.errors import PreflightError
from dedup.files.host_paths import Mount, of_host, path_here
from dedup.files.paths import printable
from dedup.versions import versions

MIN_MEMORY_BYTES = 512 << 20
"""With Numba and PyAV loaded a worker takes 0.3 GiB, and more with blocks (`correlation.memory_needed`)."""


@dataclass(frozen=True)
class Terms:
    """What is the same on every host of a run."""

    versions: Mapping[str, str]
    """As of `dedup.versions`, of the launcher."""
    roots: tuple[bytes, ...] = ()
    """Folders that every worker must be able to read and find something in, as the launcher knows them."""
    mounts: tuple[Mount, ...] = ()
    memory_bytes: int = MIN_MEMORY_BYTES
    """What a worker may take, at least. Of those that join later: what the least of those had that were there."""


@dataclass(frozen=True)
class Report:
    """What a worker says of itself."""

    host: str
    problems: tuple[str, ...]


class Admission(WorkerPlugin):  # type: ignore[misc]
    """Lets no worker join later that does not meet the terms, and tells each where its folders are."""

    name = ADMISSION

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.mounts: tuple[Mount, ...] = ()
        """Those of this worker's host: `worker.execute` goes by them."""

    def setup(self, worker: Any) -> None:
        report = look(self.terms, worker)
        if report.problems:  # an exception here would only be logged
            worker.status = Status.paused
            reason = f"{REFUSED}: {'; '.join(report.problems)}"
            worker.loop.add_callback(worker.close, reason=reason)
            return
        self.mounts = of_host(self.terms.mounts, host_names(worker))


def require(client: Client, terms: Terms) -> None:
    """Raises PreflightError with all that is wrong with the workers there are."""
    answers = client.run(look, terms, on_error="return")
    reasons: dict[str, list[str]] = {}
    for address, answer in sorted(answers.items()):
        if isinstance(answer, Report):
            found, host = answer.problems, answer.host
        else:
            host = address.rpartition("://")[2].rpartition(":")[0]
            found = (f"its workers cannot run Reprise: {type(answer).__name__}: {answer}",)
        listed = reasons.setdefault(host, [])
        listed += [reason for reason in found if reason not in listed]  # the workers of a host are alike
    problems = [(host, reason) for host, found in reasons.items() for reason in found]
    if problems:
        n_unfit = sum(map(bool, reasons.values()))
        told = f"{n_unfit} of {len(reasons)} hosts cannot take part, for {len(problems)} reasons"
        error = PreflightError("cluster", told, "hosts like this one", "Nothing was begun")
        error.problems = problems
        raise error


def look(terms: Terms, dask_worker: Any) -> Report:
    """What keeps this worker from taking part."""
    here, own = terms.versions, versions()
    problems = [
        f"{name} {own.get(name) or 'missing'}, here {here.get(name) or 'missing'}"
        for name in sorted(here.keys() | own.keys())
        if own.get(name) != here.get(name)
    ]
    if dask_worker.state.nthreads != 1:
        found = f"{dask_worker.state.nthreads} threads in a worker"
        problems.append(f"{found}; expected 1: start it with `reprise worker`, or with --nthreads 1")
    memory = dask_worker.memory_manager.memory_limit
    if memory is not None and 0 < memory < terms.memory_bytes:
        least = f"{terms.memory_bytes / 2**20:,.0f} or more"
        problems.append(f"{memory / 2**20:,.0f} MiB of memory for a worker; expected {least}")
    own_mounts = of_host(terms.mounts, host_names(dask_worker))
    problems += filter(None, (_root_problem(root, own_mounts) for root in terms.roots))
    return Report(socket.gethostname(), tuple(problems))


def host_names(dask_worker: Any) -> set[str]:
    """What the host of this worker may be called."""
    name = socket.gethostname()
    address = str(dask_worker.address).rpartition("://")[2].rpartition(":")[0]
    return {name, name.partition(".")[0], socket.getfqdn(), address.strip("[]")}


def _root_problem(root: bytes, own_mounts: tuple[Mount, ...]) -> str | None:
    path = path_here(root, own_mounts)
    told = printable(path) if path == root else f"{printable(path)}, there for {printable(root)},"
    try:
        if os.listdir(path):
            return None
    except OSError as error:
        return f"{told} cannot be read: {error.strerror}; --map tells where a host has it"
    return f"{told} is empty: is its disk mounted there?"
