"""What runs inside a worker process: the guard around every task, its watchdog, and the marks it leaves.

A dying worker cannot report why. So each worker keeps two files in the cluster's folder, named after its port:
`running` holds the key of the current task (and is empty between tasks), `hung` gets the traceback of a task that
ran past its time limit. Both are plain writes, so they are there even after SIGKILL.

This module imports only the standard library, because every start of a worker pays for its imports."""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import gc
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

READY_TIMEOUT_S = 5.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Call:
    """One call of a function. Opaque to Dask, which takes a string equal to a key for that task's result."""

    key: str
    function: bytes
    """Pickled function; the same bytes for every task of a run."""
    arguments: bytes
    """Pickled tuple of arguments, with a `Slot` for each shared value."""
    time_limit_s: float | None


@dataclass(frozen=True)
class Slot:
    """Placeholder in a call's arguments for a shared value, which Dask passes beside the call."""

    index: int


@dataclass(frozen=True)
class Limit:
    """A context that at most `n` tasks of the cluster are in at the same time. The place of a worker that dies in it is
    free again after half a minute."""

    name: str
    n: int

    def __enter__(self) -> None:
        with waiting():
            _semaphore(self).acquire()

    def __exit__(self, *exception: object) -> None:
        _semaphore(self).release()


@functools.cache
def _semaphore(limit: Limit) -> Any:
    from distributed import Semaphore

    return Semaphore(max_leases=limit.n, name=limit.name)


class _Marks:
    """File descriptors of the two files of this worker, opened with its first task; None if `make_worker` did not
    run."""

    place: Callable[[str], str] | None = None
    running: int | None = None
    hung: int | None = None

    def open(self) -> None:
        """Opens both files. The first call waits until the nanny knows this worker: Dask loses track of a worker whose
        first task ends the process before that."""
        if self.running is None and self.place is not None:
            deadline = time.monotonic() + READY_TIMEOUT_S
            while not os.path.exists(self.place("ready")) and time.monotonic() < deadline:
                time.sleep(0.005)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            self.running, self.hung = os.open(self.place("running"), flags), os.open(self.place("hung"), flags)


_marks = _Marks()


def mark_path(folder: str, kind: str, address: str) -> str:
    """Path at which the worker at `address` (such as "tcp://127.0.0.1:40001") keeps its mark `kind`."""
    return os.path.join(folder, f"{kind}-{address.rpartition(':')[2]}")


def execute(call: Call, *shared: Any) -> bytes:
    """The pickled pair (result, failure), one of them None. Raises nothing: an exception may not survive the
    way to the launcher, and a result that cannot be pickled must count as its task's failure, not the transfer's."""
    with _running(call.key):
        return answer_of(call, lambda slot: shared[slot.index], _placed)


def answer_of(
    call: Call,
    value_of: Callable[[Slot], Any],
    placed: Callable[[tuple[Any, ...]], tuple[Any, ...]] = lambda arguments: arguments,
) -> bytes:
    """As `execute`; `value_of` gives the shared value of a slot, `placed` the arguments as they are on this host."""
    with _time_limit(call.time_limit_s):
        try:
            function = _load_function(call.function)
            arguments = placed(pickle.loads(call.arguments))
            result = function(*(value_of(a) if isinstance(a, Slot) else a for a in arguments))
            return pickle.dumps((result, None), protocol=5)
        except BaseException as error:  # SystemExit too: it must not end the worker
            return dump_failure(error)


def _placed(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments with this host's paths, if the terms of the run (`preflight.Admission`) map any."""
    from distributed import get_worker

    from cluster.tenancy import ADMISSION

    admission = get_worker().plugins.get(ADMISSION)
    if admission is None or not admission.maps:
        return arguments
    from dedup.files.host_paths import placed

    own: tuple[Any, ...] = placed(arguments, admission.maps)
    return own


def dump_failure(error: BaseException) -> bytes:
    """What `execute` returns when the function raised `error`."""
    return pickle.dumps((None, f"{type(error).__name__}: {error}"))


def rebuild(key: str, value: bytes) -> Any:
    """The shared value; a task, so that the scheduler can run it again when the worker that held it dies."""
    with _running(key):
        return pickle.loads(value)


@functools.lru_cache(maxsize=8)
def _load_function(function: bytes) -> Callable[..., Any]:
    # Kept, because a function pickled by value would lose its caches (Numba's compiled code) with every call.
    loaded: Callable[..., Any] = pickle.loads(function)
    return loaded


@contextlib.contextmanager
def _running(key: str) -> Iterator[None]:
    """Keeps `key` in the mark for the duration of the block."""
    _write_mark(key.encode())
    try:
        yield
    finally:
        _write_mark(b"")


def _write_mark(content: bytes) -> None:
    _marks.open()
    if _marks.running is not None:
        os.ftruncate(_marks.running, 0)
        os.pwrite(_marks.running, content, 0)


class _Watchdog:
    """Ends this process when its current task exceeds the time limit."""

    limit_s: float | None = None

    def arm(self) -> None:
        """Starts the clock."""
        if self.limit_s is not None:
            _marks.open()
            file = 2 if _marks.hung is None else _marks.hung
            faulthandler.dump_traceback_later(self.limit_s, exit=True, file=file)

    def disarm(self) -> None:
        """Stops the clock."""
        faulthandler.cancel_dump_traceback_later()


_watchdog = _Watchdog()


@contextlib.contextmanager
def _time_limit(limit_s: float | None) -> Iterator[None]:
    """Ends this process, after a traceback in the mark, when the block takes longer. The watchdog is a C thread that
    does not need the GIL, so it also ends code that hangs while holding it."""
    _watchdog.limit_s = limit_s
    _watchdog.arm()
    try:
        yield
    finally:
        _watchdog.disarm()
        _watchdog.limit_s = None


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """Stops the clock for the duration of the block: to wait for a place is not to hang, and that of a dead worker may
    become free late."""
    _watchdog.disarm()
    try:
        yield
    finally:
        _watchdog.arm()


def collect_seldom() -> None:
    """Has Python look less often for garbage that refers to itself: a decoder makes thousands of objects that are gone
    a moment later, and looking at them takes 2 % of its time."""
    gc.set_threshold(200_000, 20, 20)


def note_hangs(file: int) -> None:
    """Has the traceback of a task that ran past its time limit written to this file descriptor."""
    _marks.hung = file


def make_worker(folder: str, log: str, *args: Any, **kwargs: Any) -> Any:
    """The Dask worker of this new process. `folder` takes its marks, `log` what it writes to stdout and stderr."""
    _redirect_output(log)
    collect_seldom()
    import multiprocessing

    launcher = multiprocessing.parent_process()
    die_with_launcher(None if launcher is None else launcher.pid)
    from cluster.logs import limit_strangers
    from cluster.no_http import NoHttpWorker

    limit_strangers()
    dask_worker = NoHttpWorker(*args, **kwargs)
    # A function, because the worker has no address before it starts.
    _marks.place = lambda kind: mark_path(folder, kind, dask_worker.address)
    return dask_worker


def _redirect_output(path: str) -> None:
    """Sends what this process, including its C code, writes to stdout and stderr to a file: the terminal belongs to the
    launcher. A crash leaves its traceback there."""
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    faulthandler.enable(file=2)


def die_with_launcher(pid: int | None) -> None:
    """Asks the kernel for SIGKILL when the launcher, the process `pid`, dies. A watch in a Python thread, such
    as Dask's, never runs while hanging code holds the GIL."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if pid is not None and pid != os.getppid():
        os._exit(1)
