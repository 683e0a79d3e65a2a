"""The parent of one worker process: starts it, reports how it ended, and starts it anew.

Importing this module imports Dask."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from distributed import Nanny

from cluster import worker
from cluster.process import SHIELDED, SILENT, TERMINATE_SHARE, Death, exit_text, too_much_text

DEATHS = "reprise-deaths"
"""Topic of the scheduler's events under which nannies on other hosts report how their workers ended."""

REFUSED = "cannot take part"
"""Start of the reason given to a worker that does not meet the terms of a run."""

CONFIG: dict[str, Any] = {
    # Results are fetched at once and shared values are few: spilling and pausing can only stall a run.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": TERMINATE_SHARE,
    "distributed.worker.multiprocessing-method": "spawn",
    # Without Dask's MALLOC_TRIM_THRESHOLD_: glibc gave memory back only to ask for it again, 2 % of decoding.
    # Its other variables are in ONE_THREAD.
    "distributed.nanny.pre-spawn-environ": {},
    "distributed.worker.use-file-locking": False,
    "distributed.worker.profile.enabled": False,
    "distributed.nanny.preload": [],
    "distributed.worker.preload": [],
    "distributed.worker.http.routes": [],
    "distributed.diagnostics.nvml": False,
    # By default scheduler, nannies and workers each look at the clock 50 times a second, and at the machine twice a
    # second, for a dashboard that we do not run.
    "distributed.admin.tick.interval": "10s",
    "distributed.admin.tick.limit": "1h",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.log-length": 100,
    "distributed.admin.low-level-log-length": 100,
}
"""Dask's settings for nannies and their workers, on any host."""


class ShieldedNanny(Nanny):  # type: ignore[misc]
    """Starts its worker deaf to a terminal's signals, reports how it ended, and kills it to stop it."""

    def __init__(
        self,
        *args: Any,
        folder: str,
        worker_log: str,
        tell: Callable[[str, Death], None] | None = None,
        **kwargs: Any,
    ) -> None:
        """`folder` takes the worker's marks, `worker_log` its output. Its address and end go to `tell` if given,
        otherwise to the scheduler's events."""
        make_worker = functools.partial(worker.make_worker, folder, worker_log)
        super().__init__(*args, worker_class=make_worker, **kwargs)
        self._folder, self._tell = folder, tell
        self._known_how: str | None = None
        self.dismissal: str | None = None
        """Reason for which this worker was asked to leave; None if it only lost the connection."""

    @property
    def is_refused(self) -> bool:
        """Whether it was asked to leave because it does not meet the terms of a run."""
        return self.dismissal is not None and self.dismissal.startswith(REFUSED)

    def close_gracefully(self, reason: str = "nanny-close-gracefully") -> None:
        if "broken" not in reason and "heartbeat" not in reason:
            self.dismissal = reason
        super().close_gracefully(reason)

    async def instantiate(self) -> Any:
        # A signal mask passes from thread to thread and through exec, so Ctrl-C can never reach the worker.
        # The tracker comes first, because starting it unblocks these signals again.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, SHIELDED)
        self._known_how = None
        status = await super().instantiate()
        if self.worker_address is not None:
            Path(worker.mark_path(self._folder, "ready", self.worker_address)).touch()
        return status

    def log_event(self, topic: Any, msg: Any) -> None:
        if topic == "worker-restart-memory":
            self._known_how = too_much_text(self.memory_manager.memory_limit)
        super().log_event(topic, msg)

    def _on_worker_exit_sync(self, exitcode: int) -> None:
        address = self.worker_address
        if address is not None:
            how = self._known_how or exit_text(exitcode)
            death = Death(how, self._read_mark("running", address), self._read_mark("hung", address))
            if self._tell is not None:
                self._tell(address, death)
            else:
                self.log_event(DEATHS, {"address": address, **asdict(death)})
        super()._on_worker_exit_sync(exitcode)

    def _read_mark(self, kind: str, address: str) -> str | None:
        try:
            with open(worker.mark_path(self._folder, kind, address), errors="replace") as mark:
                return mark.read() or None
        except OSError:
            return None

    async def kill(self, timeout: float = 5, reason: str = "nanny-kill") -> None:
        # A worker holds nothing that we need, and may hang: waiting for it to end by itself gains nothing.
        if "ttl" in reason:
            self._known_how = SILENT
        if self.process is not None and self.process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
        await super().kill(timeout=timeout, reason=reason)


def start_tracker() -> None:
    """Starts the process with which multiprocessing removes semaphores, with warnings off: otherwise it complains on
    the terminal when its parent is killed and it has to clean up."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore"
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before
