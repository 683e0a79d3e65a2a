"""A `Runner` on Dask: bounded work in flight, and a task that kills its worker does no harm to other tasks.

When a worker dies, Dask gives back all tasks that were on it. The worker's mark names the one that it was running:
that one becomes a *suspect*, the others are submitted again."""

from __future__ import annotations

import contextlib
import itertools
import queue
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from cluster import worker
from cluster.connection import Connection
from cluster.flight import Shared, Sharing, Try, fly, read_answer, separate
from cluster.logs import LOGGER
from dedup.errors import ClusterError
from dedup.runner import Outcome, Stop, Task

if TYPE_CHECKING:
    from cluster.process import Death

NO_WORKERS_TIMEOUT_S = 60.0
"""How long a run that has lost all workers waits for one to come back."""

_LOST_TRIES = 3
"""Connections that a task may lose before it counts as the cause."""

_SHARED_TRIES = 3
"""Deaths of workers at a shared value, with no other task to blame, after which its tasks fail."""


class DaskRunner:
    """Runs tasks on the workers of a `Connection`, which is made when the first task is drawn."""

    def __init__(
        self,
        connect: Callable[[int | None], Connection],
        stop: Stop,
        in_flight_per_worker: int = 2,
        n_workers: int | None = None,
        memory_limit: Callable[[], int] | None = None,
        is_local: bool = False,
    ) -> None:
        """`connect` gets the number of workers that there is work for, None if it is not known. `is_local` says whether
        all workers are on this machine; `n_workers` and `memory_limit` describe them before there is a connection, as
        far as known."""
        self.stop, self.is_local = stop, is_local
        self._connect, self._n_workers, self._memory_limit = connect, n_workers, memory_limit
        self._in_flight_per_worker = in_flight_per_worker
        self._connection: Connection | None = None
        self._token = secrets.token_hex(4)
        """Part of every key, because others may use the same scheduler."""
        self._serial = itertools.count()
        self._sharing = Sharing()

    @property
    def n_workers(self) -> int:
        """Tasks that can run at the same time; it may change with other hosts."""
        return self._n_workers or max(1, self.connection().count_workers())

    @property
    def worker_memory_bytes(self) -> int | None:
        """Memory that a worker may take before it is killed."""
        return self._memory_limit() if self._memory_limit else self.connection().worker_memory_bytes()

    def share(self, name: str, value: Any) -> Shared:
        """A handle to `value`; the existing one as long as a handle of that name is alive, whatever `value` is."""
        return self._sharing.share(name, value)

    def limit(self, name: str, n: int) -> AbstractContextManager[Any]:
        """A context that at most `n` tasks are in at the same time, on all hosts together."""
        return worker.Limit(name, n)

    def prepare(self, n_tasks: int, modules: Sequence[str] = ()) -> None:
        """Does nothing: a connection is made when the first task is drawn."""

    def run(
        self, function: Callable[..., Any], tasks: Iterable[Task], time_limit_s: float | None = None
    ) -> Iterator[Outcome]:
        """As `flight.fly`. Raises ClusterError when the scheduler is lost, or all workers for 60 s."""
        return fly(
            lambda n_first: _Flight(self, function, time_limit_s, n_first),
            tasks,
            lambda: self.n_workers * self._in_flight_per_worker,
            self.stop,
        )

    def close(self) -> None:
        """Ends the connection; what is in flight is lost."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def connection(self, n_needed: int | None = None) -> Connection:
        """The connection, opened now if there is none, with as many workers as that if it starts any itself; None
        means all."""
        if self._connection is None:
            self._connection = self._connect(n_needed)
        elif n_needed is not None:
            self._connection.need(n_needed)
        return self._connection

    def next_key(self, function_name: str, name: str) -> str:
        """A new key: Dask may still know an older task of that name. The number stands before the name so that the
        scheduler, which keeps groups for ever, sees one group per function."""
        # A name may come from a path that is not valid UTF-8, which Dask cannot send.
        name = name.encode(errors="backslashreplace").decode()
        return f"{function_name.strip('<>')}-{self._token}-{next(self._serial)}-{name}"

    def submit_shared(self, shared: Shared) -> Any:
        """The future of the value, submitted now if it was not before. Raises RuntimeError if it killed too many
        workers."""
        if shared.n_deaths >= _SHARED_TRIES:
            raise RuntimeError(f"the shared value {shared.name} killed its worker {shared.n_deaths} times")
        if shared.future is None:
            key = self.next_key("share", shared.name)
            client = self.connection().client
            shared.future = client.submit(worker.rebuild, key, _dumps(shared.value), key=key, priority=10)
        return shared.future


class _Flight:
    """The tasks of one run that were submitted and whose outcome was not yet taken."""

    def __init__(
        self, runner: DaskRunner, function: Callable[..., Any], time_limit_s: float | None, n_needed: int
    ) -> None:
        """`n_needed` is the number of workers that have something to do."""
        self._runner, self._time_limit_s = runner, time_limit_s
        self._connection = runner.connection(n_needed)
        self._client = self._connection.client
        self._function_name = getattr(function, "__name__", "task")
        self._function = _dumps(function)
        self._tries: dict[str, Try] = {}
        self._arrived: queue.SimpleQueue[tuple[str, bytes | None]] = queue.SimpleQueue()
        self.suspects: list[Try] = []

    def __len__(self) -> int:
        return len(self._tries)

    def submit(self, attempt: Try) -> None:
        """Submits a task to Dask. Its result is fetched in the background, so that it leaves its worker soon."""
        key = self._runner.next_key(self._function_name, attempt.task.name)
        self._tries[key] = attempt
        try:
            places = itertools.count()
            arguments, shared = separate(attempt.task.arguments, lambda _: next(places))
            call = worker.Call(key, self._function, _dumps(arguments), self._time_limit_s)
            futures = [self._runner.submit_shared(s) for s in shared]
        except Exception as error:  # arguments that cannot be pickled are this task's failure
            self._arrived.put((key, worker.dump_failure(error)))
            return
        attempt.future = self._client.submit(worker.execute, call, *futures, key=key)
        self._client.loop.add_callback(self._fetch, key, attempt.future)

    async def _fetch(self, key: str, future: Any) -> None:
        answer = None
        try:
            answer = (await self._client.gather({key: future}, errors="skip", asynchronous=True))[key]
        except (OSError, RuntimeError, TimeoutError) as error:  # the scheduler is gone, or this connection closes
            LOGGER.info("cannot fetch the result of task %s: %s", key, error)
        finally:
            self._arrived.put((key, answer))

    def wait(self) -> Iterator[Outcome]:
        """Waits for the next task in flight to end; yields its outcome, or nothing if the task is tried again."""
        key, answer = self._next_arrived()
        attempt = self._tries.pop(key)
        future, attempt.future = attempt.future, None
        outcome = self._outcome(attempt, key, answer, future)
        if outcome is not None:
            yield outcome

    def _next_arrived(self) -> tuple[str, bytes | None]:
        last_worker_seen = time.monotonic()
        while True:
            with contextlib.suppress(queue.Empty):
                return self._arrived.get(timeout=1.0)
            if self._connection.count_workers():
                last_worker_seen = time.monotonic()
            elif time.monotonic() - last_worker_seen > NO_WORKERS_TIMEOUT_S:
                raise ClusterError(
                    "cluster",
                    f"all workers were lost and none came back for {NO_WORKERS_TIMEOUT_S:g} s",
                    remedy="See the log, then run it again: the next run goes on where this one stopped",
                )

    def _outcome(self, attempt: Try, key: str, answer: bytes | None, future: Any) -> Outcome | None:
        name = attempt.task.name
        if answer is not None:
            return read_answer(name, answer)
        if future.status != "error":
            raise ClusterError("cluster", f"the scheduler gave up on task {name} ({future.status})")
        error = future.exception()
        if type(error).__name__ != "KilledWorker":  # not raised by the function: those come as answers
            return Outcome(name, failure=f"{type(error).__name__}: {error}")
        return self._after_death(attempt, key, error.task, error.last_worker.address)

    def _after_death(self, attempt: Try, key: str, killed: str, address: str) -> Outcome | None:
        """Finds out whether `attempt` is to blame for the end of the worker at `address`, which held `killed` (the
        task, or a shared value that it waits for); tries it again or returns its failure."""
        death = self._connection.death_of(address)
        culprit = death.task if death else None
        innocent = culprit not in (None, killed)
        if innocent or killed != key:
            LOGGER.info("task %s runs again: it waits for %s, whose worker died in %s", key, killed, culprit)
            attempt.forget_shared(killed, blamed=not innocent)
            self.submit(attempt)
            return None
        if death is None and attempt.n_lost < _LOST_TRIES:
            LOGGER.warning("task %s runs again: the connection to %s was lost", key, address)
            attempt.n_lost += 1
            self.submit(attempt)
            return None
        cause = self._cause(key, death)
        failure = attempt.blame(cause)
        LOGGER.warning("task %s %s (failure %d)", key, cause, len(attempt.causes))
        if failure is None:
            self.suspects.append(attempt)
        return failure

    def _cause(self, key: str, death: Death | None) -> str:
        if death is None:
            return "killed its worker: connection lost"
        if death.hang is not None:
            LOGGER.warning("task %s ran past its time limit in\n%s", key, death.hang)
            return f"took longer than {self._time_limit_s:g} s"
        return f"killed its worker: {death.how}"

    def release(self) -> None:
        """Gives up what is in flight: waiting tasks do not run, and the results of running ones are dropped."""
        for attempt in self._tries.values():
            if attempt.future is not None:
                attempt.future.release()
        self._tries.clear()


def _dumps(value: Any) -> bytes:
    from distributed.protocol.pickle import dumps  # by value if the worker cannot import it

    pickled: bytes = dumps(value)
    return pickled
