"""What a worker must have to take part: checked before work starts, and again for each worker that joins later.

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
from dedup.files.host_paths import MappedFolder, of_host, path_here
from dedup.files.paths import printable
from dedup.versions import versions

MIN_MEMORY_BYTES = 512 << 20
"""Least memory of a worker: it takes 0.3 GiB with Numba and PyAV loaded, and more with blocks."""


@dataclass(frozen=True)
class Terms:
    """What every host of a run must have."""

    versions: Mapping[str, str]
    """Versions on the launcher, as `dedup.versions` gives them."""
    roots: tuple[bytes, ...] = ()
    """Folders that every worker must be able to read and find not empty, by the launcher's paths."""
    maps: tuple[MappedFolder, ...] = ()
    memory_bytes: int = MIN_MEMORY_BYTES
    """Least memory limit of a worker; for one that joins later, the smallest limit of the workers before it."""


@dataclass(frozen=True)
class Report:
    """A worker's answer to the terms."""

    host: str
    problems: tuple[str, ...]


class Admission(WorkerPlugin):  # type: ignore[misc]
    """Refuses workers that join later and do not meet the terms, and gives each the paths of its host."""

    name = ADMISSION

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.maps: tuple[MappedFolder, ...] = ()
        """Folders that this worker's host has at other paths; `worker.execute` applies them."""

    def setup(self, worker: Any) -> None:
        report = look(self.terms, worker)
        if report.problems:  # Dask only logs an exception raised here
            worker.status = Status.paused
            reason = f"{REFUSED}: {'; '.join(report.problems)}"
            worker.loop.add_callback(worker.close, reason=reason)
            return
        self.maps = of_host(self.terms.maps, host_names(worker))


def require(client: Client, terms: Terms) -> None:
    """Raises PreflightError with all that is wrong with the present workers."""
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
        error = PreflightError("cluster", told, remedy="Nothing was started. Make these hosts like this one")
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
        problems.append(f"{found}: start it with `reprise worker`, or with --nthreads 1")
    memory = dask_worker.memory_manager.memory_limit
    if memory is not None and 0 < memory < terms.memory_bytes:
        least = f"{terms.memory_bytes / 2**20:,.0f}"
        problems.append(f"{memory / 2**20:,.0f} MiB of memory for a worker; it needs {least} or more")
    own_maps = of_host(terms.maps, host_names(dask_worker))
    problems += filter(None, (_root_problem(root, own_maps) for root in terms.roots))
    return Report(socket.gethostname(), tuple(problems))


def host_names(dask_worker: Any) -> set[str]:
    """Names by which this worker's host may be known."""
    name = socket.gethostname()
    address = str(dask_worker.address).rpartition("://")[2].rpartition(":")[0]
    return {name, name.partition(".")[0], socket.getfqdn(), address.strip("[]")}


def _root_problem(root: bytes, own_maps: tuple[MappedFolder, ...]) -> str | None:
    path = path_here(root, own_maps)
    told = printable(path) if path == root else f"{printable(path)} (here {printable(root)})"
    try:
        if os.listdir(path):
            return None
    except OSError as error:
        return f"{told} cannot be read: {error.strerror}; give its path on that host with --map"
    return f"{told} is empty: is its disk mounted there?"
