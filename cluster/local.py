"""A cluster on this machine's cores: the scheduler in this process, one worker process per core, loopback only, with
keys that no other process has.

Importing this module imports Dask; `cluster.runner` does so when the first task is drawn."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
from distributed import Client
from distributed.deploy.spec import SpecCluster

from cluster import nanny
from cluster.folder import open_folder
from cluster.logs import open_logs
from cluster.nanny import ShieldedNanny, start_tracker
from cluster.no_http import NoHttpScheduler
from cluster.process import ONE_THREAD, Death
from cluster.run_keys import make_run_keys
from dedup.errors import ClusterError

START_TIMEOUT_S = 60.0
CLOSE_TIMEOUT_S = 15.0
DEATH_TIMEOUT_S = 5.0
"""How long the nanny may lag behind the scheduler in learning of a worker's end."""

CONFIG: dict[str, Any] = nanny.CONFIG | {
    # A task on a dying worker comes back at once: we know which task is to blame, Dask does not.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.comm.timeouts.tcp": "1h",
    "distributed.deploy.lost-worker-timeout": "120s",
    # It drops copies of shared values, which then have to travel again.
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.scheduler.work-stealing-interval": "100ms",
    "distributed.scheduler.preload": [],
    "distributed.scheduler.http.routes": [],
    "distributed.admin.large-graph-warning-threshold": "1 TiB",
}
"""Dask's settings for a scheduler in this process."""


class LocalConnection:
    """A running local cluster and the client to it."""

    def __init__(
        self,
        n_workers: int,
        log_folder: Path | None,
        memory_limit_bytes: int,
        worker_timeout_s: float,
        n_needed: int | None = None,
    ) -> None:
        """Starts `n_needed` of at most `n_workers` workers, None: all, and returns when they are there. One that is
        silent for `worker_timeout_s` is ended and started anew. Raises ClusterError if none could be started."""
        self._n_workers = n_workers
        n_first = n_workers if n_needed is None else min(n_needed, n_workers)
        self._deaths: dict[str, Death] = {}
        self._memory_limit_bytes = memory_limit_bytes
        self._is_started = False
        self._stack = contextlib.ExitStack()
        try:
            # In a thread, where no KeyboardInterrupt can leave one of Dask's objects half made: its destructor
            # waits for ever.
            with ThreadPoolExecutor(1) as executor:
                executor.submit(self._open, n_first, log_folder, worker_timeout_s).result()
            self._wait_for_workers(n_first)
        except BaseException:
            self.close()
            raise

    def _open(self, n_workers: int, log_folder: Path | None, worker_timeout_s: float) -> None:
        start_tracker()
        self._stack.callback(_restore_environment, dict(os.environ))
        os.environ.update(ONE_THREAD)  # in our own: NumPy reads them before Dask can set a worker's
        worker_log = self._stack.enter_context(open_logs(log_folder))
        # The default is some minutes, because code that holds the GIL sends no sign of life.
        ttl = {"distributed.scheduler.worker-ttl": worker_timeout_s}
        self._stack.enter_context(dask.config.set(CONFIG | ttl))
        folder = self._stack.enter_context(open_folder())
        security = make_run_keys()
        both = {"host": "127.0.0.1", "protocol": "tls://", "security": security, "dashboard": False}
        nanny_options = {
            "tell": self._deaths.setdefault,
            "folder": folder,
            "worker_log": worker_log,
            "nthreads": 1,
            "memory_limit": self._memory_limit_bytes,
            "local_directory": folder,
            "silence_logs": False,
        }
        self._cluster = SpecCluster(
            {},  # scale() adds workers, so that an interrupt finds a cluster that can be closed
            scheduler={"cls": NoHttpScheduler, "options": both | {"port": 0, "local_directory": folder}},
            worker={"cls": ShieldedNanny, "options": both | nanny_options},
            security=security,
            name="reprise",
            silence_logs=False,
        )
        self._stack.callback(self._close_cluster)
        self._cluster.scale(n_workers)
        address = self._cluster.scheduler_address
        self.client = Client(address, security=security, set_as_default=False, direct_to_workers=True)
        self._stack.callback(self.client.close)

    def _wait_for_workers(self, n_workers: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_settled() and time.monotonic() < deadline:
            time.sleep(0.01)
        self._is_started = True
        if self.count_workers() == 0:  # fewer than requested still do the work
            remedy = "See the log, or run with --workers 0"
            raise ClusterError("local cluster", f"none of {n_workers} workers could be started", remedy=remedy)

    def need(self, n_workers: int) -> None:
        """Starts workers up to that number, or to the most that this was made for; waits for none."""
        n_workers = min(n_workers, self._n_workers)
        if n_workers > len(self._cluster.worker_spec):
            self._is_started = False
            self._cluster.scale(n_workers)

    def count_workers(self) -> int:
        """Workers that are connected now. Raises ClusterError when the scheduler is gone."""
        if self.client.status not in ("running", "connecting"):
            raise ClusterError("local cluster", f"the connection to the scheduler is {self.client.status}")
        return len(self._cluster.scheduler.workers)

    def worker_memory_bytes(self) -> int:
        """Memory that a worker may take before it is killed."""
        return self._memory_limit_bytes

    def death_of(self, address: str) -> Death | None:
        """How the worker at `address` ended; None if it only lost its connection."""
        deadline = time.monotonic() + DEATH_TIMEOUT_S
        while address not in self._deaths and time.monotonic() < deadline:
            time.sleep(0.01)  # the scheduler can see the closed connection before the nanny sees the end
        return self._deaths.get(address)

    def close(self) -> None:
        """Ends all workers, the scheduler and the client. What is in flight is lost."""
        self._stack.close()

    def _close_cluster(self) -> None:
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        while not (self._is_started or self._is_settled()) and time.monotonic() < deadline:
            time.sleep(0.01)  # Dask does not survive the end of a worker that was never up
        pids = {parent.pid for parent in self._cluster.workers.values()}
        try:
            with contextlib.suppress(TimeoutError):
                self._cluster.close(timeout=CLOSE_TIMEOUT_S)
        finally:
            # At exit Python sends its children SIGTERM, which ours ignore, and waits for them.
            for child in multiprocessing.active_children():
                if child.pid in pids:
                    child.kill()

    def _is_settled(self) -> bool:
        """Whether each worker has come up, or failed at its first start."""
        return len(self._cluster.workers) == len(self._cluster.worker_spec)


def _restore_environment(environment: dict[str, str]) -> None:
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)
