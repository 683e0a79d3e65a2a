"""A `Runner` for work on this machine of which nobody knows yet how much there is: processes of its own for the first
tasks, a Dask cluster for what follows.

Both run the same functions in the same kind of process, and results depend on neither."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from cluster.flight import Shared
from cluster.folder import open_folder
from cluster.limit import limit_in
from cluster.pool import PoolRunner
from dedup.runner import Outcome, Stop, Task

if TYPE_CHECKING:
    from cluster.runner import DaskRunner


class GrowingRunner:
    """Runs tasks on the pool until `few` were drawn, and on the cluster from then on."""

    is_local = True

    def __init__(self, pool: Callable[[Callable[[], str]], PoolRunner], cluster: DaskRunner, few: int) -> None:
        """`pool` gets what gives the folder for what workers note."""
        self._pool, self._cluster, self._n_left = pool(self._in_folder), cluster, few
        self._stack = contextlib.ExitStack()
        self._folder: str | None = None

    def _in_folder(self) -> str:
        if self._folder is None:
            self._folder = self._stack.enter_context(open_folder())
        return self._folder

    @property
    def stop(self) -> Stop:
        return self._cluster.stop

    @stop.setter
    def stop(self, stop: Stop) -> None:
        self._cluster.stop = self._pool.stop = stop

    @property
    def is_few(self) -> bool:
        """Whether the next task is run without a cluster."""
        return self._n_left > 0

    @property
    def n_workers(self) -> int:
        return self._cluster.n_workers

    @property
    def worker_memory_bytes(self) -> int | None:
        return self._cluster.worker_memory_bytes

    def share(self, name: str, value: Any) -> Shared:
        return self._cluster.share(name, value)

    def limit(self, name: str, n: int) -> AbstractContextManager[Any]:
        return limit_in(self._in_folder(), name, n)

    def prepare(self, n_tasks: int, modules: Sequence[str] = ()) -> None:
        if n_tasks > self._n_left:
            self._n_left = 0
            self._pool.close()
        else:
            self._pool.prepare(n_tasks, modules)

    def run(
        self, function: Callable[..., Any], tasks: Iterable[Task], time_limit_s: float | None = None
    ) -> Iterator[Outcome]:
        supply = iter(tasks)
        if self.is_few:
            yield from self._pool.run(function, self._first(supply), time_limit_s)
        if self.is_few or self.stop.requested:
            return
        following = next(supply, None)
        if following is not None:
            self._pool.close()
            yield from self._cluster.run(function, itertools.chain([following], supply), time_limit_s)

    def _first(self, supply: Iterator[Task]) -> Iterator[Task]:
        """As many tasks as the pool may still have."""
        while self.is_few and (task := next(supply, None)) is not None:
            self._n_left -= 1
            yield task

    def close(self) -> None:
        """Ends all workers; what is in flight is lost."""
        with self._stack, contextlib.closing(self._cluster):
            self._pool.close()
