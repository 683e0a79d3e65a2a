"""How work is distributed: the one interface between the domain and whatever runs its tasks.

`cluster` implements it on Dask; `InlineRunner` runs everything in the calling process (`--workers 0`)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

WATCHDOG_GRACE_S = 60.0
"""Seconds beyond a task's own time limit after which a worker that does not answer is killed."""


@dataclass(frozen=True)
class Task:
    """One call of a function: the unit of work, retry and log line."""

    name: str
    """Name that is unique within the run."""
    arguments: tuple[Any, ...]
    """Arguments of the function. What `Runner.share` returned is replaced by its value, and each
    `files.host_paths.HostPath`, also in lists and tuples, gets its path on the task's host."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a task: its result, or why there is none."""

    name: str
    result: Any = None
    failure: str | None = None
    """Reason for the lack of a result: an exception's text, the death of the worker, or the time limit."""


@dataclass
class Stop:
    """A request to finish what is in flight and start nothing new, made by a signal handler."""

    event: threading.Event = field(default_factory=threading.Event)
    reason: str = ""
    time_is_up: bool = False
    """Whether the time was up, and nobody asked before: then what costs no more time is still done."""

    def request(self, reason: str, time_is_up: bool = False) -> None:
        self.reason = self.reason or reason
        if self.reason == reason:
            self.time_is_up = time_is_up
        self.event.set()

    @property
    def requested(self) -> bool:
        return self.event.is_set()


class Runner(Protocol):
    """Runs tasks, in any order, with a bounded number in flight."""

    stop: Stop

    @property
    def is_local(self) -> bool:
        """Whether every task runs on this machine."""

    @property
    def n_workers(self) -> int:
        """Tasks that can run at the same time, at least 1."""

    @property
    def worker_memory_bytes(self) -> int | None:
        """Memory that a worker may take before it is killed; None if nothing limits it."""

    def share(self, name: str, value: Any) -> Any:
        """A handle to `value`, which travels to a worker once, however many tasks use it, and is dropped with the
        handle."""

    def limit(self, name: str, n: int) -> AbstractContextManager[Any]:
        """A context that at most `n` tasks are in at the same time; passed to the function like any other argument."""

    def prepare(self, n_tasks: int, modules: Sequence[str] = ()) -> None:
        """Says that about so many tasks follow, for which a worker has to import these modules: it may begin with that
        while the caller does other things."""

    def run(
        self, function: Callable[..., Any], tasks: Iterable[Task], time_limit_s: float | None = None
    ) -> Iterator[Outcome]:
        """Yields one outcome per task, in the order of completion; draws tasks lazily. After `stop` was requested no
        more tasks are drawn, and the outcomes of those in flight still come. A task that kills its worker or runs past
        `time_limit_s` twice gets a failure; other tasks are not affected."""


class InlineRunner:
    """Runs each task in the calling thread. It does not survive a crash of the decoder and enforces no time limit."""

    is_local = True
    n_workers = 1
    worker_memory_bytes = None

    def __init__(self, stop: Stop | None = None) -> None:
        self.stop = stop or Stop()

    def share(self, name: str, value: Any) -> Any:  # noqa: ARG002
        return value

    def limit(self, name: str, n: int) -> AbstractContextManager[Any]:  # noqa: ARG002
        return nullcontext()

    def prepare(self, n_tasks: int, modules: Sequence[str] = ()) -> None:
        pass

    def run(
        self,
        function: Callable[..., Any],
        tasks: Iterable[Task],
        time_limit_s: float | None = None,  # noqa: ARG002
    ) -> Iterator[Outcome]:
        supply = iter(tasks)
        while not self.stop.requested and (task := next(supply, None)) is not None:
            try:
                outcome = Outcome(task.name, result=function(*task.arguments))
            except Exception as error:
                outcome = Outcome(task.name, failure=f"{type(error).__name__}: {error}")
            yield outcome
