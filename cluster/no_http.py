"""Dask's scheduler and worker without the HTTP port that each opens even when it has no dashboard.

Importing this module imports Dask."""

from __future__ import annotations

from typing import Any

from distributed import Scheduler, Worker


class NoHttpScheduler(Scheduler):  # type: ignore[misc]
    """A scheduler that listens for its clients and workers only."""

    def start_http_server(self, *args: Any, **kwargs: Any) -> None:
        """Opens nothing."""


class NoHttpWorker(Worker):  # type: ignore[misc]
    """A worker that listens for its cluster only."""

    def start_http_server(self, *args: Any, **kwargs: Any) -> None:
        """Opens nothing."""
