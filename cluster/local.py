"""A cluster of this machine's cores: scheduler in this process, one worker process a core, loopback only.

Importing this module imports Dask; `cluster.runner` does so when the first task is drawn."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster, Nanny
from distributed.system import MEMORY_LIMIT

from cluster import worker
from cluster.folder import open_folder
from cluster.logs import open_logs
from dedup.errors import ClusterError

START_TIMEOUT_S = 60.0
CLOSE_TIMEOUT_S = 15.0
MIN_MEMORY_LIMIT_BYTES = 1 << 30
"""A worker with Numba and PyAV loaded takes 0.3 GiB; a smaller limit would kill it for nothing."""


def default_memory_limit(n_workers: int) -> int:
    """Bytes that each of so many workers may take: its share of what the launcher may, at least 1 GiB."""
    return max(MIN_MEMORY_LIMIT_BYTES, int(MEMORY_LIMIT) // n_workers)


SHIELDED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
"""What a terminal or systemd sends to all processes at once. Only the launcher acts on them."""

CONFIG: dict[str, Any] = {
    # A task that was on a dying worker comes back to us, who know which one was to blame, at once.
    "distributed.scheduler.allowed-failures": 0,
    # Code that holds the GIL sends no heartbeats. A dead process is noticed by its connection.
    "distributed.scheduler.worker-ttl": None,
    "distributed.comm.timeouts.tcp": "1h",
    "distributed.deploy.lost-worker-timeout": "120s",
    # It would drop copies of shared values, which would then travel again.
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.scheduler.work-stealing-interval": "100ms",
    # Results are fetched at once and shared values are few: spilling and pausing could only stall a run.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.worker.multiprocessing-method": "spawn",
    # Without Dask's MALLOC_TRIM_THRESHOLD_: glibc gave memory back only to ask for it again, 2 % of decoding.
    # Its other variables are in ONE_THREAD.
    "distributed.nanny.pre-spawn-environ": {},
    "distributed.worker.use-file-locking": False,
    "distributed.worker.profile.enabled": False,
    "distributed.scheduler.preload": [],
    "distributed.nanny.preload": [],
    "distributed.worker.preload": [],
    "distributed.worker.http.routes": [],
    "distributed.scheduler.http.routes": [],
    "distributed.diagnostics.nvml": False,
    "distributed.admin.tick.limit": "1h",
    # Scheduler, nannies and workers each look at the clock, 50 times a second, and at the machine, twice a second, for
    # a dashboard that there is not.
    "distributed.admin.tick.interval": "10s",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.log-length": 100,
    "distributed.admin.low-level-log-length": 100,
    "distributed.admin.large-graph-warning-threshold": "1 TiB",
}

ONE_THREAD = {
    f"{library}_NUM_THREADS": "1"
    for library in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMBA", "NUMEXPR", "VECLIB_MAXIMUM")
} | {"VECLIB_MAXIMUM_THREADS": "1"}
"""Parallelism belongs to Dask: one thread in each worker."""


class ShieldedNanny(Nanny):  # type: ignore[misc]
    """Starts its worker deaf to a terminal's signals, notes how it ended, and stops it without ceremony."""

    def __init__(self, *args: Any, exits: dict[str, str], folder: str, worker_log: str, **kwargs: Any) -> None:
        make_worker = functools.partial(worker.make_worker, folder, worker_log)
        super().__init__(*args, worker_class=make_worker, **kwargs)
        self._exits, self._folder = exits, folder

    async def instantiate(self) -> Any:
        # A signal mask passes from thread to thread and through exec, so there is no moment in which Ctrl-C
        # reaches the worker. The tracker comes first, because starting it unblocks these signals again.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, SHIELDED)
        status = await super().instantiate()
        if self.worker_address is not None:
            Path(worker.mark_path(self._folder, "ready", self.worker_address)).touch()
        return status

    def log_event(self, topic: Any, msg: Any) -> None:
        if topic == "worker-restart-memory":
            limit_gib = self.memory_manager.memory_limit / 2**30
            self._exits[msg["worker"]] = f"it took more than {limit_gib:.1f} GiB of memory"
        super().log_event(topic, msg)

    def _on_worker_exit_sync(self, exitcode: int) -> None:
        if self.worker_address is not None:
            self._exits.setdefault(self.worker_address, _read_exit_code(exitcode))
        super()._on_worker_exit_sync(exitcode)

    async def kill(self, timeout: float = 5, reason: str = "nanny-kill") -> None:
        # A worker holds nothing that is needed, and may hang: waiting for it to end by itself gains nothing.
        if self.process is not None and self.process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
        await super().kill(timeout=timeout, reason=reason)


class LocalConnection:
    """A running local cluster and the client to it."""

    def __init__(self, n_workers: int, log_folder: Path | None, memory_limit_bytes: int) -> None:
        """Returns when all workers are there. Raises ClusterError when not one came."""
        self._exits: dict[str, str] = {}
        self._is_started = False
        self._stack = contextlib.ExitStack()
        try:
            # In a thread, where no KeyboardInterrupt can leave one of Dask's objects half made: its destructor
            # would wait for ever.
            with ThreadPoolExecutor(1) as executor:
                executor.submit(self._open, n_workers, log_folder, memory_limit_bytes).result()
            self._wait_for_workers(n_workers)
        except BaseException:
            self.close()
            raise

    def _open(self, n_workers: int, log_folder: Path | None, memory_limit_bytes: int) -> None:
        _start_tracker()
        self._stack.callback(_restore_environment, dict(os.environ))
        os.environ.update(ONE_THREAD)  # in ours, as NumPy reads them before Dask could set a worker's
        worker_log = self._stack.enter_context(open_logs(log_folder))
        self._stack.enter_context(dask.config.set(CONFIG))
        self._folder = self._stack.enter_context(open_folder())
        self._cluster = LocalCluster(
            n_workers=0,  # they follow by scale(), so that an interrupt finds a cluster that can be closed
            threads_per_worker=1,
            worker_class=ShieldedNanny,
            exits=self._exits,
            folder=self._folder,
            worker_log=worker_log,
            host="127.0.0.1",
            # Dask listens for HTTP even without a dashboard: on loopback, and at a port that is surely free.
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            memory_limit=memory_limit_bytes,
            local_directory=self._folder,
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

    def task_of(self, address: str) -> str | None:
        """Key of the task that the dead worker at `address` was in; None if it was between tasks."""
        try:
            with open(worker.mark_path(self._folder, "running", address), "rb") as mark:
                return mark.read().decode() or None
        except OSError:
            return None

    def hang_of(self, address: str) -> str | None:
        """Traceback of the task that ran past its time limit in the dead worker at `address`, if one did."""
        try:
            with open(worker.mark_path(self._folder, "hung", address), errors="replace") as mark:
                return mark.read() or None
        except OSError:
            return None

    def exit_of(self, address: str) -> str:
        """How the worker at `address` ended, such as "SIGKILL", "status 3" or "connection lost"."""
        deadline = time.monotonic() + 5.0
        while address not in self._exits and time.monotonic() < deadline:
            time.sleep(0.01)  # the scheduler may see the closed connection before the nanny sees the end
        return self._exits.get(address, "connection lost")

    def close(self) -> None:
        """Ends all workers, the scheduler and the client. What is in flight is lost."""
        self._stack.close()

    def _close_cluster(self) -> None:
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        while not (self._is_started or self._is_settled()) and time.monotonic() < deadline:
            time.sleep(0.01)  # Dask does not survive the end of a worker that never was up
        pids = {nanny.pid for nanny in self._cluster.workers.values()}
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


def _read_exit_code(code: int) -> str:
    if code >= 0:
        return f"status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _start_tracker() -> None:
    """Starts the process that multiprocessing removes semaphores with. After kill -9 of the launcher it would
    complain on the terminal that it had to."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore"
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def _restore_environment(environment: dict[str, str]) -> None:
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)
