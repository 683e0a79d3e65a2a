"""The table `probe`: what a scan has learnt of files that are no tracks yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from dedup.store.database import Table


class KeptProbe(NamedTuple):
    """What was learnt of a file, true while its size and time of change are these."""

    path: bytes
    size: int
    mtime_ns: int
    partial: bytes
    key: str
    properties: str
    full: bytes | None
    stream: bytes | None


class Probes(Table):
    """One row a file."""

    def all(self) -> Iterator[KeptProbe]:
        query = "SELECT path, size, mtime_ns, partial, key, properties, full, stream FROM probe"
        return (KeptProbe(*row) for row in self.connection.execute(query))

    def put(self, probes: Iterable[tuple[bytes, int, int, bytes, str, str]]) -> None:
        """Path, size, time of change, partial hash, key and properties of each; the two other hashes are not known."""
        self.connection.executemany("INSERT OR REPLACE INTO probe VALUES (?, ?, ?, ?, ?, ?, NULL, NULL)", probes)

    def set_hashes(self, column: Literal["full", "stream"], hashes: Mapping[bytes, bytes]) -> None:
        """One of the two hashes of each path, where it has a probe."""
        rows = ((digest, path) for path, digest in hashes.items())
        self.connection.executemany(f"UPDATE probe SET {column} = ? WHERE path = ?", rows)

    def clear(self) -> None:
        self.connection.execute("DELETE FROM probe")
