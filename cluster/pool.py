"""Runs tasks in processes of this machine that the launcher talks to itself: they are there in a quarter of the time
that a cluster takes, and take half of its memory.

A worker has one task at a time, so it is known which one killed it. `cluster.growing` says when a cluster follows."""

from __future__ import annotations

import contextlib
import itertools
import pickle
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from cluster import worker
from cluster.flight import Shared, Try, fly, read_answer, separate
from cluster.logs import LOGGER, open_logs
from cluster.pool_process import WorkerProcess
from cluster.process import Death
from dedup.errors import ClusterError
from dedup.runner import Outcome, Stop, Task

LOOK_EVERY_S = 0.2
"""Seconds from one look at the memory of the workers to the next."""

AWAY_S = 5.0
"""Seconds between two looks after which the launcher itself was stopped, or busy, and cannot know who was silent."""

MOST_FAILED_STARTS = 3
"""Processes in a row that end before they take a task, beyond those that were there, after which the run ends."""


class PoolRunner:
    """Runs tasks on up to `n_workers` processes, which are started when there is work for them."""

    def __init__(
        self,
        n_workers: int,
        stop: Stop,
        folder: Callable[[], str],
        log_folder: Path | None,
        memory_limit: Callable[[], int],
        worker_timeout_s: float,
        in_flight_per_worker: int = 2,
    ) -> None:
        """`folder` gives the folder for what workers note; it is not asked before there is a worker."""
        self.n_workers, self.stop, self._folder = n_workers, stop, folder
        self._log_folder, self._memory_limit, self._worker_timeout_s = log_folder, memory_limit, worker_timeout_s
        self._in_flight_per_worker = in_flight_per_worker
        self._pool: _Pool | None = None

    def prepare(self, n_tasks: int, modules: Sequence[str]) -> None:
        if n_tasks and not self.stop.requested:
            self._opened().prepare(min(n_tasks, self.n_workers), modules)

    def run(
        self, function: Callable[..., Any], tasks: Iterable[Task], time_limit_s: float | None = None
    ) -> Iterator[Outcome]:
        """As `flight.fly`. Raises ClusterError if no process can be started."""
        return fly(
            lambda _: _Flight(self._opened(), function, time_limit_s),
            tasks,
            lambda: self.n_workers * self._in_flight_per_worker,
            self.stop,
        )

    def close(self) -> None:
        """Ends all workers; what is in flight is lost."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            pool.close()

    def _opened(self) -> _Pool:
        if self._pool is None:
            self._pool = _Pool(
                self.n_workers, self._folder(), self._log_folder, self._memory_limit, self._worker_timeout_s
            )
        return self._pool


class _Pool:
    """The processes, and what each of them has got."""

    def __init__(
        self,
        n_workers: int,
        folder: str,
        log_folder: Path | None,
        memory_limit: Callable[[], int],
        worker_timeout_s: float,
    ) -> None:
        self._folder, self.n_workers = folder, n_workers
        self.memory_limit, self.timeout_s = memory_limit, worker_timeout_s
        self.processes: list[WorkerProcess] = []
        self.modules: Sequence[str] = ()
        self.n_failed_starts = 0
        self._looked_at = time.monotonic()
        self._serials, self._numbers = itertools.count(), itertools.count(1)
        self._number_of: weakref.WeakKeyDictionary[Shared, int] = weakref.WeakKeyDictionary()
        self._dropped: deque[int] = deque()
        """Numbers of shared values whose handle was dropped since the last task was given."""
        self._stack = contextlib.ExitStack()
        try:
            self._log = self._stack.enter_context(open_logs(log_folder))
            # One thread that lives as long as the pool starts all processes: the kernel ends a worker together with the
            # thread that started it, and no KeyboardInterrupt can leave a process that nobody knows of.
            self._starter = self._stack.enter_context(ThreadPoolExecutor(1, "pool"))
        except BaseException:
            self._stack.close()
            raise

    def close(self) -> None:
        self._starter.shutdown()  # a process that was being started is among them then
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.end()
        self.processes.clear()
        self._stack.close()

    def prepare(self, n_workers: int, modules: Sequence[str]) -> None:
        """Starts workers up to that number, and has all of them import these modules."""
        self.modules = modules
        for process in self.processes:
            process.prepare(modules)
        for _ in range(min(n_workers, self.n_workers) - len(self.processes)):
            self._start()

    def idle(self) -> WorkerProcess | None:
        """A process without a task, started now if there are not as many as there may be."""
        for process in [process for process in self.processes if process.serial is None]:
            if not process.has_ended():
                return process
            self._note_end(process)
        return self._start() if len(self.processes) < self.n_workers else None

    def _start(self) -> WorkerProcess:
        def start() -> WorkerProcess:
            process = WorkerProcess(self._folder, self._log, self.timeout_s)
            self.processes.append(process)
            return process

        try:
            process = self._starter.submit(start).result()
        except OSError as error:
            remedy = "See what the system is short of, or run with --workers 0"
            raise ClusterError("workers", f"no process can be started: {error}", remedy=remedy) from error
        LOGGER.info("started worker %d", process.pid)
        if self.modules:
            process.prepare(self.modules)
        return process

    def give(self, process: WorkerProcess, call: worker.Call, shared: Sequence[Shared]) -> int:
        """Sends a task; returns its number. Raises what pickling a shared value raises."""
        values = {number: value for number, value in map(self._numbered, shared) if number not in process.held}
        pickled = {number: dumps(value) for number, value in values.items()}
        while self._dropped:
            number = self._dropped.popleft()
            for each in self.processes:
                each.forget(number)
        serial = next(self._serials)
        process.give(serial, call, pickled)
        return serial

    def number(self, shared: Shared) -> int:
        """The number by which workers know this value."""
        number = self._number_of.get(shared)
        if number is None:
            number = self._number_of[shared] = next(self._numbers)
            weakref.finalize(shared, self._dropped.append, number).atexit = False
        return number

    def _numbered(self, shared: Shared) -> tuple[int, Any]:
        return self.number(shared), shared.value

    def news(self) -> Iterator[tuple[int, bytes | Death | None]]:
        """Waits a moment for answers and ends of workers; yields the number of each task that one is about. None: the
        worker ended before it took it, which is not the task's doing."""
        by_connection = {process.connection: process for process in self.processes}
        for ready in wait(list(by_connection), LOOK_EVERY_S):
            process = by_connection[ready]  # type: ignore[index]
            try:
                message = process.receive()
            except (EOFError, OSError):
                death = self._note_end(process)
                if process.serial is not None:
                    yield process.serial, death if process.was_ended_by_task() else None
                continue
            if process.has_taken:
                self.n_failed_starts = 0
            if message is not None:
                yield message
        if time.monotonic() - self._looked_at > LOOK_EVERY_S:
            self._look()
            for process in [process for process in self.processes if process.is_stuck()]:
                death = self._note_end(process)
                if process.serial is not None:
                    yield process.serial, death if process.was_ended_by_task() else None

    def _look(self) -> None:
        """Kills workers that take too much memory or give no sign of life; their ends are news."""
        now = time.monotonic()
        was_away, self._looked_at = now - self._looked_at > AWAY_S, now
        for process in self.processes:
            if was_away:
                process.heard_at = now
            if process.connection.poll():
                continue  # it said something that nobody has read yet
            if now - process.heard_at > self.timeout_s:
                process.kill_as_silent()
            elif process.memory_bytes() > self.memory_limit():
                process.kill_as_greedy(self.memory_limit())

    def _note_end(self, process: WorkerProcess) -> Death:
        """Forgets a process that has ended. Raises ClusterError if none takes a task any more."""
        self.processes.remove(process)
        death = process.end()
        LOGGER.info("worker %d ended: %s", process.pid, death.how)
        self.n_failed_starts += not process.has_taken
        if self.n_failed_starts >= self.n_workers + MOST_FAILED_STARTS:
            remedy = "See workers.log in the store, or run with --workers 0"
            raise ClusterError("workers", f"they end before they take a task ({death.how})", remedy=remedy)
        return death


class _Flight:
    """The tasks of one run on the pool."""

    def __init__(self, pool: _Pool, function: Callable[..., Any], time_limit_s: float | None) -> None:
        self._pool, self._time_limit_s = pool, time_limit_s
        self._function_name = getattr(function, "__name__", "task")
        self._function = dumps(function)
        self._queue: deque[Try] = deque()
        self._running: dict[int, Try] = {}
        self._failed: list[Outcome] = []
        """Of tasks that could not be sent."""
        self.suspects: list[Try] = []

    def __len__(self) -> int:
        return len(self._queue) + len(self._running) + len(self._failed)

    def submit(self, attempt: Try) -> None:
        self._queue.append(attempt)
        self._send()

    def wait(self) -> Iterator[Outcome]:
        outcomes, self._failed = self._failed, []
        while not outcomes and (self._running or self._queue):
            for serial, found in self._pool.news():
                attempt = self._running.pop(serial, None)
                if attempt is None:
                    continue  # of a run that was given up
                if found is None:
                    self._queue.appendleft(attempt)
                    continue
                if isinstance(found, Death):
                    outcome = self._after_death(attempt, found)
                else:
                    outcome = read_answer(attempt.task.name, found)
                if outcome is not None:
                    outcomes.append(outcome)
            self._send()  # before anybody looks at the outcomes
        yield from outcomes

    def _send(self) -> None:
        """Gives tasks to idle workers."""
        while self._queue and (process := self._pool.idle()) is not None:
            attempt = self._queue.popleft()
            try:
                arguments, shared = separate(attempt.task.arguments, self._pool.number)
                call = worker.Call(self._function_name, self._function, dumps(arguments), self._time_limit_s)
                serial = self._pool.give(process, call, shared)
            except Exception as error:  # what cannot be pickled is this task's failure
                self._failed.append(read_answer(attempt.task.name, worker.dump_failure(error)))
                continue
            self._running[serial] = attempt

    def _after_death(self, attempt: Try, death: Death) -> Outcome | None:
        """Tries a task again that ended its worker, or returns its failure."""
        if death.hang is not None:
            LOGGER.warning("task %s ran past its time limit in\n%s", attempt.task.name, death.hang)
            cause = f"took longer than {self._time_limit_s:g} s"
        else:
            cause = f"killed its worker: {death.how}"
        failure = attempt.blame(cause)
        LOGGER.warning("task %s %s (failure %d)", attempt.task.name, cause, len(attempt.causes))
        if failure is None:
            self.suspects.append(attempt)
        return failure

    def release(self) -> None:
        self._queue.clear()
        self._running.clear()
        self._failed.clear()


def dumps(value: Any) -> bytes:
    """The value pickled; by value where a worker cannot import it, as of the program that runs."""
    try:
        pickled = pickle.dumps(value, protocol=5)
    except Exception:
        pickled = b"__main__"
    if b"__main__" in pickled:
        import cloudpickle

        pickled = cloudpickle.dumps(value, protocol=5)
    return pickled
