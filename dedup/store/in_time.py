"""Rows that come one by one and are committed about once a second: that is what a kill costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from dedup.store.catalog import Catalog

COMMIT_EVERY_S = 1.0
"""Seconds of results that are committed together."""

Row = TypeVar("Row")


class InTime(Generic[Row]):
    """Rows on their way into a table."""

    def __init__(
        self,
        catalog: Catalog,
        put: Callable[[list[Row]], object],
        kept: Callable[[list[Row]], object] = lambda _: None,
    ) -> None:
        """`put` writes rows, in a transaction; `kept` is told of those that are committed."""
        self._catalog, self._put, self._kept = catalog, put, kept
        self._waiting: list[Row] = []
        self._committed_at = time.monotonic()

    def add(self, row: Row) -> None:
        self._waiting.append(row)

    def commit_in_time(self) -> None:
        """Commits what was added if the last commit was a second ago."""
        if time.monotonic() - self._committed_at > COMMIT_EVERY_S:
            self.commit()

    def commit(self) -> None:
        ready, self._waiting = self._waiting, []  # first: a signal in between must not commit them twice
        with self._catalog.transaction():
            self._put(ready)
        self._kept(ready)
        self._committed_at = time.monotonic()
