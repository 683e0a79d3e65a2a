"""What all runners with workers have in common: bounded work in flight, and a second try for what killed its worker.

A task that kills its worker becomes a *suspect*: it runs once more after all other tasks, with nothing else in flight,
so that it is not blamed for memory that others took."""

from __future__ import annotations

import pickle
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from cluster.worker import Slot
from dedup.runner import Outcome, Stop, Task


class Shared:
    """A handle to a value on its way to the workers. Dropping it lets them forget the value."""

    def __init__(self, name: str, value: Any) -> None:
        self.name, self.value = name, value
        self.future: Any = None
        """Dask's future of the value; None until a task uses it, because unused values never travel."""
        self.n_deaths = 0


class Sharing:
    """The handles that are alive, by name."""

    def __init__(self) -> None:
        self._handles: weakref.WeakValueDictionary[str, Shared] = weakref.WeakValueDictionary()

    def share(self, name: str, value: Any) -> Shared:
        """A handle to `value`; the existing one as long as a handle of that name is alive, whatever `value` is."""
        shared = self._handles.get(name)
        if shared is None:
            shared = self._handles[name] = Shared(name, value)
        return shared


class Try:
    """A task, and what has become of it so far."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.causes: list[str] = []
        """What earlier tries did to their workers."""
        self.n_lost = 0
        """Tries whose end is unknown."""
        self.future: Any = None

    def blame(self, cause: str) -> Outcome | None:
        """Notes what it did to its worker; the failure, if it was not the first time."""
        self.causes.append(cause)
        if len(self.causes) == 1:
            return None
        first, second = self.causes
        return Outcome(self.task.name, failure=f"{first} (twice)" if first == second else f"{first}, then {second}")

    def forget_shared(self, key: str, blamed: bool) -> None:
        """Makes the shared value with this key, which Dask considers failed, travel again. Every task that waits for it
        calls this; only the first call counts."""
        for argument in self.task.arguments:
            if isinstance(argument, Shared) and argument.future is not None and argument.future.key == key:
                argument.future = None
                argument.n_deaths += int(blamed)


class Flight(Protocol):
    """The tasks of one run that were submitted and whose outcome was not yet taken."""

    suspects: list[Try]

    def __len__(self) -> int: ...

    def submit(self, attempt: Try) -> None:
        """Hands a task to a worker, or queues it for one."""

    def wait(self) -> Iterator[Outcome]:
        """Waits for news of the tasks in flight; yields what outcomes there are, or nothing if a task is tried
        again."""

    def release(self) -> None:
        """Gives up what is in flight: waiting tasks do not run, and the results of running ones are dropped."""


def fly(
    begin: Callable[[int], Flight], tasks: Iterable[Task], most: Callable[[], int], stop: Stop
) -> Iterator[Outcome]:
    """One outcome per task, in the order of completion, with at most `most()` tasks in flight. `begin` gets the number
    of tasks that were drawn first. After a stop request the outcomes of tasks in flight still come, but suspects are
    not tried again and get none."""
    supply = iter(tasks)
    flight: Flight | None = None
    try:
        while True:
            drawn = _drawn(supply, len(flight or ()), most, stop)
            for task in drawn:
                if flight is None:
                    flight = begin(len(drawn))
                flight.submit(Try(task))
            if not flight:
                break
            yield from flight.wait()
        while flight is not None and flight.suspects and not stop.requested:
            flight.submit(flight.suspects.pop())
            while flight:
                yield from flight.wait()
    finally:
        if flight is not None:
            flight.release()


def _drawn(supply: Iterator[Task], n_in_flight: int, most: Callable[[], int], stop: Stop) -> list[Task]:
    """As many tasks as there is room for; none after a stop request. One fits in always: with nothing in flight nobody
    may know yet how many workers there are."""
    drawn: list[Task] = []
    while not stop.requested and (not (n := n_in_flight + len(drawn)) or n < most()):
        task = next(supply, None)
        if task is None:
            break
        drawn.append(task)
    return drawn


def separate(arguments: tuple[Any, ...], index_of: Callable[[Shared], int]) -> tuple[tuple[Any, ...], list[Shared]]:
    """The arguments with a slot in place of each shared value, and the shared values. `index_of` gives their
    indices."""
    shared = [argument for argument in arguments if isinstance(argument, Shared)]
    return tuple(Slot(index_of(a)) if isinstance(a, Shared) else a for a in arguments), shared


def read_answer(name: str, answer: bytes) -> Outcome:
    """The outcome in what `worker.answer_of` gave."""
    try:
        result, failure = pickle.loads(answer)
    except Exception as error:
        return Outcome(name, failure=f"its result cannot be read: {type(error).__name__}: {error}")
    return Outcome(name, result=result, failure=failure)
