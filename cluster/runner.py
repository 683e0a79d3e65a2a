"""A `Runner` on Dask: bounded work in flight, and a task that kills its worker does no harm to other tasks.

When a worker dies, Dask gives back all tasks that were on it. The worker's mark names the one that it was running:
that one becomes a *suspect*, the others are submitted again. Suspects run once more after all other tasks, one at a
time with nothing else in flight, so that none is blamed for memory that others took."""

from __future__ import annotations

import contextlib
import itertools
import pickle
import queue
import secrets
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from cluster import worker
from cluster.connection import Connection
from cluster.logs import LOGGER
from dedup.errors import ClusterError
from dedup.runner import Outcome, Stop, Task

if TYPE_CHECKING:
    from cluster.nanny import Death

NO_WORKERS_TIMEOUT_S = 60.0
"""How long a run that has lost all workers waits for one to come back."""

_LOST_TRIES = 3
"""Connections that a task may lose before it counts as the cause."""

_SHARED_TRIES = 3
"""Deaths of workers at a shared value, with no other task to blame, after which its tasks fail."""


class Shared:
    """A handle to a value on its way to the workers. Dropping it lets them forget the value."""

    def __init__(self, name: str, value: Any) -> None:
        self.name, self.value = name, value
        self.future: Any = None
        """Dask's future of the value; None until a task uses it, because unused values never travel."""
        self.n_deaths = 0


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
        self._shared: weakref.WeakValueDictionary[str, Shared] = weakref.WeakValueDictionary()

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
        shared = self._shared.get(name)
        if shared is None:
            shared = self._shared[name] = Shared(name, value)
        return shared

    def limit(self, name: str, n: int) -> AbstractContextManager[Any]:
        """A context that at most `n` tasks are in at the same time, on all hosts together."""
        return worker.Limit(name, n)

    def run(
        self, function: Callable[..., Any], tasks: Iterable[Task], time_limit_s: float | None = None
    ) -> Iterator[Outcome]:
        """Yields one outcome per task, in the order of completion. After a stop request the outcomes of tasks in flight
        still come, but suspects are not tried again and get none. Raises ClusterError when the scheduler is
        lost, or all workers for 60 s."""
        supply = iter(tasks)
        flight: _Flight | None = None
        try:
            while True:
                drawn = self._drawn(supply, len(flight or ()))
                for task in drawn:
                    if flight is None:
                        flight = _Flight(self, function, time_limit_s, len(drawn))
                    flight.submit(_Try(task))
                if not flight:
                    break
                yield from flight.wait()
            while flight is not None and flight.suspects and not self.stop.requested:
                flight.submit(flight.suspects.pop())
                while flight:
                    yield from flight.wait()
        finally:
            if flight is not None:
                flight.release()

    def _drawn(self, supply: Iterator[Task], n_in_flight: int) -> list[Task]:
        """As many tasks as there is room for; none after a stop request."""
        drawn: list[Task] = []
        while self._has_room(n_in_flight + len(drawn)) and not self.stop.requested:
            task = next(supply, None)
            if task is None:
                break
            drawn.append(task)
        return drawn

    def _has_room(self, n_in_flight: int) -> bool:
        return not n_in_flight or n_in_flight < self.n_workers * self._in_flight_per_worker

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


class _Try:
    """A task, and what has become of it so far."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.causes: list[str] = []
        """What earlier tries did to their workers."""
        self.n_lost = 0
        """Tries whose end is unknown."""
        self.future: Any = None

    def forget_shared(self, key: str, blamed: bool) -> None:
        """Makes the shared value with this key, which Dask considers failed, travel again. Every task that waits for it
        calls this; only the first call counts."""
        for argument in self.task.arguments:
            if isinstance(argument, Shared) and argument.future is not None and argument.future.key == key:
                argument.future = None
                argument.n_deaths += int(blamed)


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
        self._tries: dict[str, _Try] = {}
        self._arrived: queue.SimpleQueue[tuple[str, bytes | None]] = queue.SimpleQueue()
        self.suspects: list[_Try] = []

    def __len__(self) -> int:
        return len(self._tries)

    def submit(self, attempt: _Try) -> None:
        """Submits a task to Dask. Its result is fetched in the background, so that it leaves its worker soon."""
        key = self._runner.next_key(self._function_name, attempt.task.name)
        self._tries[key] = attempt
        try:
            arguments, shared = _separate(attempt.task.arguments)
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

    def _outcome(self, attempt: _Try, key: str, answer: bytes | None, future: Any) -> Outcome | None:
        name = attempt.task.name
        if answer is not None:
            return _read_answer(name, answer)
        if future.status != "error":
            raise ClusterError("cluster", f"the scheduler gave up on task {name} ({future.status})")
        error = future.exception()
        if type(error).__name__ != "KilledWorker":  # not raised by the function: those come as answers
            return Outcome(name, failure=f"{type(error).__name__}: {error}")
        return self._after_death(attempt, key, error.task, error.last_worker.address)

    def _after_death(self, attempt: _Try, key: str, killed: str, address: str) -> Outcome | None:
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
        attempt.causes.append(cause)
        LOGGER.warning("task %s %s (failure %d)", key, cause, len(attempt.causes))
        if len(attempt.causes) == 1:
            self.suspects.append(attempt)
            return None
        first, second = attempt.causes
        failure = f"{first} (twice)" if first == second else f"{first}, then {second}"
        return Outcome(attempt.task.name, failure=failure)

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


def _separate(arguments: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[Shared]]:
    """The arguments with a slot in place of each shared value, and the shared values."""
    shared: list[Shared] = []
    separated = list(arguments)
    for i, argument in enumerate(arguments):
        if isinstance(argument, Shared):
            separated[i] = worker.Slot(len(shared))
            shared.append(argument)
    return tuple(separated), shared


def _dumps(value: Any) -> bytes:
    from distributed.protocol.pickle import dumps  # by value if the worker cannot import it

    pickled: bytes = dumps(value)
    return pickled


def _read_answer(name: str, answer: bytes) -> Outcome:
    try:
        result, failure = pickle.loads(answer)
    except Exception as error:
        return Outcome(name, failure=f"its result cannot be read: {type(error).__name__}: {error}")
    return Outcome(name, result=result, failure=failure)
