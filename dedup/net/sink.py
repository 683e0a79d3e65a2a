"""Where what is fetched goes."""

from __future__ import annotations

from typing import Protocol


class Sink(Protocol):
    """A file that is being written."""

    @property
    def n_bytes(self) -> int:
        """What it holds so far."""

    def write(self, data: bytes) -> None:
        """Adds to it. Raises WriteError."""

    def restart(self) -> None:
        """Empties it. Raises WriteError."""
