"""Runners on workers of this machine or of other hosts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.connection import Connection
from cluster.logs import LOGGER
from cluster.place import WORKER_TIMEOUT_S, count_cores
from cluster.runner import DaskRunner
from dedup.errors import UsageError
from dedup.runner import InlineRunner, Runner, Stop

if TYPE_CHECKING:
    from cluster.place import Place
    from cluster.preflight import Terms

MAX_WORKERS = 1024


@contextlib.contextmanager
def open_runner(
    n_workers: int | None,
    stop: Stop,
    *,
    log_folder: Path | None = None,
    memory_limit_bytes: int | None = None,
    worker_timeout_s: float = WORKER_TIMEOUT_S,
    in_flight_per_worker: int = 2,
) -> Iterator[Runner]:
    """A runner on this machine for the time of the block: with 0 workers all runs in this process, None is one a core.

    Starts nothing before the first task is drawn. `log_folder` gets `cluster.log` and `workers.log`; without
    it these lines are dropped. A worker that takes more than `memory_limit_bytes` is killed (default: its share
    of the machine, at least 1 GiB). Raises UsageError when `n_workers` is not in 0 to 1024."""
    if n_workers is None:
        n_workers = count_cores()
    if not 0 <= n_workers <= MAX_WORKERS:
        raise UsageError("--workers", f"found {n_workers}", f"0 to {MAX_WORKERS} workers")
    if n_workers == 0:
        yield InlineRunner(stop)
        return

    def memory_limit() -> int:
        from cluster.nanny import default_memory_limit

        return memory_limit_bytes or default_memory_limit(n_workers)

    def connect() -> Connection:
        from cluster.local import LocalConnection

        return LocalConnection(n_workers, log_folder, memory_limit(), worker_timeout_s)

    with contextlib.closing(DaskRunner(connect, stop, in_flight_per_worker, n_workers, memory_limit)) as runner:
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
    """A runner on other hosts for the time of the block. Connects before the first task is drawn, and then raises
    ClusterError where no scheduler or worker is found, PreflightError where a worker does not meet `terms`. `say` is
    told of a host that is not there."""

    def connect() -> Connection:
        from cluster.remote import RemoteConnection

        return RemoteConnection(place, terms, log_folder, say)

    with contextlib.closing(DaskRunner(connect, stop, in_flight_per_worker)) as runner:
        yield runner
