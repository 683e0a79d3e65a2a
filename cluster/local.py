"""A cluster of this machine's cores: scheduler in this process, one worker process a core, loopback only.

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
from distributed import Client, LocalCluster

from cluster import nanny
from cluster.folder import open_folder
from cluster.logs import open_logs
from cluster.nanny import Death, ShieldedNanny, start_tracker
from dedup.errors import ClusterError

START_TIMEOUT_S = 60.0
CLOSE_TIMEOUT_S = 15.0
DEATH_TIMEOUT_S = 5.0
"""How long the scheduler may know of a worker's end before its nanny does."""

CONFIG: dict[str, Any] = nanny.CONFIG | {
    # A task that was on a dying worker comes back to us, who know which one was to blame, at once.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.comm.timeouts.tcp": "1h",
    "distributed.deploy.lost-worker-timeout": "120s",
    # It would drop copies of shared values, which would then travel again.
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
        self, n_workers: int, log_folder: Path | None, memory_limit_bytes: int, worker_timeout_s: float
    ) -> None:
        """Returns when all workers are there. A worker from which nothing is heard for `worker_timeout_s` is ended
        and started anew. Raises ClusterError when not one came."""
        self._deaths: dict[str, Death] = {}
        self._memory_limit_bytes = memory_limit_bytes
        self._is_started = False
        self._stack = contextlib.ExitStack()
        try:
            # In a thread, where no KeyboardInterrupt can leave one of Dask's objects half made: its destructor
            # would wait for ever.
            with ThreadPoolExecutor(1) as executor:
                executor.submit(self._open, n_workers, log_folder, worker_timeout_s).result()
            self._wait_for_workers(n_workers)
        except BaseException:
            self.close()
            raise

    def _open(self, n_workers: int, log_folder: Path | None, worker_timeout_s: float) -> None:
        start_tracker()
        self._stack.callback(_restore_environment, dict(os.environ))
        os.environ.update(nanny.ONE_THREAD)  # in ours, as NumPy reads them before Dask could set a worker's
        worker_log = self._stack.enter_context(open_logs(log_folder))
        # The default is some minutes, for code that holds the GIL sends no sign of life.
        ttl = {"distributed.scheduler.worker-ttl": worker_timeout_s}
        self._stack.enter_context(dask.config.set(CONFIG | ttl))
        folder = self._stack.enter_context(open_folder())
        self._cluster = LocalCluster(
            n_workers=0,  # they follow by scale(), so that an interrupt finds a cluster that can be closed
            threads_per_worker=1,
            worker_class=ShieldedNanny,
            tell=self._deaths.setdefault,
            folder=folder,
            worker_log=worker_log,
            host="127.0.0.1",
            # Dask listens for HTTP even without a dashboard: on loopback, and at a port that is surely free.
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            memory_limit=self._memory_limit_bytes,
            local_directory=folder,
            silence_logs=False,
        )
        self._stack.callback(self._close_cluster)
        self._cluster.scale(n_workers)
        self.client = Client(self._cluster.scheduler_address, set_as_default=False, direct_to_workers=True)
        self._stack.callback(self.client.close)

    def _wait_for_workers(self, n_workers: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_settled() and time.monotonic() < deadline:
            time.sleep(0.01)
        self._is_started = True
        if self.count_workers() == 0:  # fewer than asked for would do the same work
            remedy = "See the log, or run with --workers 0"
            raise ClusterError("local cluster", "no worker could be started", f"{n_workers} workers", remedy)

    def count_workers(self) -> int:
        """Workers that are connected now. Raises ClusterError when the scheduler is gone."""
        if self.client.status not in ("running", "connecting"):
            raise ClusterError("local cluster", f"the connection to the scheduler is {self.client.status}")
        return len(self._cluster.scheduler.workers)

    def worker_memory_bytes(self) -> int:
        """What a worker may take before it is killed."""
        return self._memory_limit_bytes

    def death_of(self, address: str) -> Death | None:
        """How the worker at `address` ended; None where only its connection was lost."""
        deadline = time.monotonic() + DEATH_TIMEOUT_S
        while address not in self._deaths and time.monotonic() < deadline:
            time.sleep(0.01)  # the scheduler may see the closed connection before the nanny sees the end
        return self._deaths.get(address)

    def close(self) -> None:
        """Ends all workers, the scheduler and the client. What is in flight is lost."""
        self._stack.close()

    def _close_cluster(self) -> None:
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        while not (self._is_started or self._is_settled()) and time.monotonic() < deadline:
            time.sleep(0.01)  # Dask does not survive the end of a worker that never was up
        pids = {parent.pid for parent in self._cluster.workers.values()}
        try:
            with contextlib.suppress(TimeoutError):
                self._cluster.close(timeout=CLOSE_TIMEOUT_S)
        finally:
            # Python waits at exit for children that it asked by SIGTERM to end, to which ours are deaf.
            for child in multiprocessing.active_children():
                if child.pid in pids:
                    child.kill()

    def _is_settled(self) -> bool:
        """Whether each worker came up or failed for the first time."""
        return len(self._cluster.workers) == len(self._cluster.worker_spec)


def _restore_environment(environment: dict[str, str]) -> None:
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)
