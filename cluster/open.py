"""Runners that use workers on this machine or on other hosts."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.connection import Connection
from cluster.few import FEW
from cluster.growing import GrowingRunner
from cluster.logs import LOGGER
from cluster.place import WORKER_TIMEOUT_S, count_cores
from cluster.pool import PoolRunner
from cluster.runner import DaskRunner
from dedup.errors import UsageError
from dedup.runner import InlineRunner, Runner, Stop

if TYPE_CHECKING:
    from cluster.place import Place
    from cluster.preflight import Terms

MAX_WORKERS = 1024
EXPOSED = "no TLS: anyone who can reach the cluster's ports can read its traffic and run programs as you"
"""What a person should know who works with --insecure."""


@contextlib.contextmanager
def open_runner(
    n_workers: int | None,
    stop: Stop,
    *,
    log_folder: Path | None = None,
    memory_limit_bytes: int | None = None,
    worker_timeout_s: float = WORKER_TIMEOUT_S,
    in_flight_per_worker: int = 2,
    few: int = FEW,
) -> Iterator[Runner]:
    """A runner on this machine for the duration of the block. 0 workers: everything runs in this process. None: one
    per core. The first `few` tasks are run without a cluster.

    Starts nothing before the first task is drawn, and no more workers than there are tasks. `log_folder` gets
    `cluster.log` and `workers.log`; without it these lines are dropped. A worker that takes more than
    `memory_limit_bytes` is killed (default: its share of the machine, at least 1 GiB). Raises UsageError if `n_workers`
    is not in 0 to 1024."""
    if n_workers is None:
        n_workers = count_cores()
    if not 0 <= n_workers <= MAX_WORKERS:
        raise UsageError("--workers", f"{n_workers} is out of range", remedy=f"Use 0 to {MAX_WORKERS} workers")
    if n_workers == 0:
        yield InlineRunner(stop)
        return

    @functools.cache
    def memory_limit() -> int:
        from cluster.process import default_memory_limit

        return memory_limit_bytes or default_memory_limit(n_workers)

    def connect(n_needed: int | None) -> Connection:
        from cluster.local import LocalConnection

        return LocalConnection(n_workers, log_folder, memory_limit(), worker_timeout_s, n_needed)

    many = DaskRunner(connect, stop, in_flight_per_worker, n_workers, memory_limit, is_local=True)

    def pool(folder: Callable[[], str]) -> PoolRunner:
        return PoolRunner(n_workers, stop, folder, log_folder, memory_limit, worker_timeout_s, in_flight_per_worker)

    with contextlib.closing(GrowingRunner(pool, many, few)) as runner:
        yield runner


@contextlib.contextmanager
def open_remote_runner(
    place: Place,
    terms: Terms,
    stop: Stop,
    *,
    log_folder: Path | None = None,
    say: Callable[[str], None] = LOGGER.info,
    in_flight_per_worker: int = 2,
) -> Iterator[Runner]:
    """A runner on other hosts for the duration of the block. Raises ClusterError if they have no TLS and the place does
    not accept that. Connects when the first task is drawn, and then raises ClusterError if no scheduler or no worker is
    found, PreflightError if a worker does not meet `terms`. `say` receives a line about each host that cannot be
    started, and one if there is no TLS."""
    if place.is_exposed():
        say(EXPOSED)

    def connect(_n_needed: int | None) -> Connection:
        from cluster.remote import RemoteConnection

        return RemoteConnection(place, terms, log_folder, say)

    with contextlib.closing(DaskRunner(connect, stop, in_flight_per_worker)) as runner:
        yield runner
