"""A connection to workers, wherever they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from cluster.process import Death


class Connection(Protocol):
    """A running cluster, and what is known about its dead workers. Made by `local` and `remote`."""

    client: Any

    def need(self, n_workers: int) -> None:
        """Starts workers up to that number, or to the most that it was made for, if it starts any; waits for none."""

    def count_workers(self) -> int:
        """Workers that are connected now. Raises ClusterError when the scheduler is gone."""

    def worker_memory_bytes(self) -> int:
        """Smallest memory limit among the workers; a worker that exceeds its limit is killed."""

    def death_of(self, address: str) -> Death | None:
        """How a worker ended; None if nobody reports it, because its host or the network is gone."""

    def close(self) -> None:
        """Ends the connection, and also the cluster if it was started for this connection."""
