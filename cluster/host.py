"""The worker processes of one host, for a scheduler elsewhere. `reprise worker` runs them, and `--hosts` starts them
over SSH (through `distributed.cli.dask_spec`, which makes a `Host`, awaits it, and awaits its end).

Importing this module imports Dask."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import dask

from cluster import nanny
from cluster.folder import open_folder
from cluster.logs import LOGGER, open_logs, told
from cluster.nanny import REFUSED, ShieldedNanny, start_tracker
from cluster.place import count_cores, security
from cluster.process import ONE_THREAD, default_memory_limit

CONFIG: dict[str, Any] = nanny.CONFIG | {
    # A host that is silent for this long counts as gone; it joins again when it can.
    "distributed.comm.timeouts.tcp": "30s",
    "distributed.comm.timeouts.connect": "10s",
}

RETRY_S = 3.0
"""Pause between two attempts to reach the scheduler."""
RETRY_REFUSED_S = 60.0
"""Pause after an attempt that a run refused."""
ADMITTED_S = 1.0
"""Time after which a worker that is still connected counts as admitted."""
REJOIN_S = 600.0
"""How long a host that was started over SSH looks for a lost scheduler: its launcher may be dead."""
UP = "Reprise worker at"
"""Start of the line on stderr that reports that all processes are up: `distributed.deploy.ssh` waits for it."""


class Host:
    """Keeps `n_workers` processes joined to a scheduler. Made and used inside a running event loop."""

    def __init__(
        self,
        scheduler: str,
        n_workers: int | None = None,
        keys: str | None = None,
        memory_limit_bytes: int | None = None,
        log_folder: str | None = None,
        rejoin_s: float | None = REJOIN_S,
        say: Callable[[str], None] | None = None,
    ) -> None:
        """`n_workers`: None means one per core. `memory_limit_bytes`: the limit of each process; None means its share
        of this host. `rejoin_s`: how long to look for a scheduler that cannot be reached; a scheduler that closed is
        not looked for. None means for ever, in both cases. `say` receives each new state once."""
        self.scheduler, self.rejoin_s = scheduler, rejoin_s
        self.n_workers = n_workers or count_cores()
        self._limit = memory_limit_bytes or default_memory_limit(self.n_workers)
        self._security = security(keys, scheduler)
        self._say = say or (lambda _: None)
        self._last_told = ""
        self._is_closing = False
        self._nannies: set[ShieldedNanny] = set()
        self._stack = contextlib.ExitStack()
        self._log_folder = Path(log_folder) if log_folder else None
        self._slots: list[asyncio.Task[None]] = []

    def __await__(self) -> Generator[Any, None, Host]:
        return self._start().__await__()

    async def _start(self) -> Host:
        """Returns when every process is up or this host has given up."""
        start_tracker()
        os.environ.update(ONE_THREAD)
        self._worker_log = self._stack.enter_context(open_logs(self._log_folder))
        self._stack.enter_context(dask.config.set(CONFIG))
        self._folder = self._stack.enter_context(open_folder())
        ups = [asyncio.Event() for _ in range(self.n_workers)]
        self._slots = [asyncio.create_task(self._keep(up)) for up in ups]
        for up, slot in zip(ups, self._slots, strict=True):
            waiting = asyncio.create_task(up.wait())
            await asyncio.wait([waiting, slot], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        if self.rejoin_s is not None and any(up.is_set() for up in ups):
            sys.stderr.write(f"{UP}: {self.scheduler}, {self.n_workers} processes\n")
            sys.stderr.flush()
        return self

    async def _keep(self, up: asyncio.Event) -> None:
        """Keeps one process joined until this host closes or gives up."""
        lost_at = time.monotonic()
        while not self._is_closing:
            parent = self._make_nanny()
            try:
                await parent
                up.set()
                ended = asyncio.ensure_future(parent.finished())
                await asyncio.wait([ended], timeout=ADMITTED_S)
                if not ended.done():
                    self._tell("connected", f"connected to {self.scheduler} with {self.n_workers} processes")
                await ended
                lost_at = time.monotonic()
                if parent.is_refused:
                    self._tell(REFUSED, parent.dismissal or REFUSED)
                elif parent.dismissal and self.rejoin_s is not None:
                    return
                else:
                    self._tell("left", f"lost {self.scheduler}; joins again as soon as it is back")
            except Exception as error:
                self._tell("not there", f"cannot join {self.scheduler}: {told(_innermost(error))}; still trying")
            finally:
                self._nannies.discard(parent)
                with contextlib.suppress(Exception):
                    await parent.close()
            if self.rejoin_s is not None and time.monotonic() - lost_at > self.rejoin_s:
                return
            if not self._is_closing:
                await asyncio.sleep(RETRY_REFUSED_S if parent.is_refused else RETRY_S)

    def _make_nanny(self) -> ShieldedNanny:
        parent = ShieldedNanny(
            self.scheduler,
            nthreads=1,
            folder=self._folder,
            worker_log=self._worker_log,
            memory_limit=self._limit,
            local_directory=self._folder,
            security=self._security,
            death_timeout="60s",
        )
        self._nannies.add(parent)
        return parent

    def _tell(self, what: str, text: str) -> None:
        """Reports a state once: every process of a host reports the same, and a waiting one repeats itself."""
        LOGGER.info("%s", text)
        if what != self._last_told and not self._is_closing:
            self._last_told = what
            self._say(text)

    async def finished(self) -> None:
        """Returns when this host has closed or given up."""
        await asyncio.gather(*self._slots, return_exceptions=True)

    async def close(self) -> None:
        """Ends the processes; the tasks they were running run again elsewhere."""
        self._is_closing = True
        await asyncio.gather(*(parent.close() for parent in list(self._nannies)), return_exceptions=True)
        for slot in self._slots:
            slot.cancel()
        await self.finished()
        self._stack.close()


def _innermost(error: BaseException) -> BaseException:
    """The error that caused the others."""
    while isinstance(error.__cause__, Exception):  # stops at a cancellation, which is only a consequence
        error = error.__cause__
    return error
