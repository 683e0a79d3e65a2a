"""How work is handed out: the one interface between the domain and whatever runs its tasks.

`cluster` implements it on Dask; `InlineRunner` runs everything in the calling process (`--workers 0`)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Task:
    """One call of a function: the unit of work, retry and log line."""

    name: str
    """Unique within the run."""
    arguments: tuple[Any, ...]
    """Passed to the function; what `Runner.share` returned is replaced by its value, and a `files.host_paths.HostPath`,
    in lists and tuples too, is told where the host of the task has it."""


@dataclass(frozen=True)
class Outcome:
    """What became of a task: its result, or why there is none."""

    name: str
    result: Any = None
    failure: str | None = None
    """Why no result came: an exception's text, or that the worker died or ran past the time limit."""


@dataclass
class Stop:
    """A request to finish what is in flight and start nothing new. Set from a signal handler."""

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
    def n_workers(self) -> int:
        """Tasks that can run at the same time, at least 1."""

    @property
    def worker_memory_bytes(self) -> int | None:
        """What a worker may take before it is killed; None where nothing limits it."""

    def share(self, name: str, value: Any) -> Any:
        """A handle to `value` that travels to a worker once however many tasks use it; dropped with the handle."""

    def limit(self, name: str, n: int) -> AbstractContextManager[Any]:
        """What at most `n` tasks enter at the same time; passed to the function like any other argument."""

    def run(
        self, function: Callable[..., Any], tasks: Iterable[Task], time_limit_s: float | None = None
    ) -> Iterator[Outcome]:
        """Yields one outcome a task, as they come; draws tasks lazily. After `stop` was requested no task is drawn
        any more, and the outcomes of those in flight still come. A task that kills its worker or runs past
        `time_limit_s` twice gets a failure; it costs no other task anything."""


class InlineRunner:
    """Runs each task in the calling thread. Cannot survive a crash of the decoder and enforces no time limit."""

    n_workers = 1
    worker_memory_bytes = None

    def __init__(self, stop: Stop | None = None) -> None:
        self.stop = stop or Stop()

    def share(self, name: str, value: Any) -> Any:  # noqa: ARG002
        return value

    def limit(self, name: str, n: int) -> AbstractContextManager[Any]:  # noqa: ARG002
        return nullcontext()

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
