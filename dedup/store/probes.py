"""The table `probe`: what an unfinished scan has learned about files that are not tracks yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from dedup.store.database import Table


class KeptProbe(NamedTuple):
    """What a scan learned about a file, valid while its size and modification time stay the same."""

    path: bytes
    size: int
    mtime_ns: int
    partial: bytes
    key: str
    properties: str
    full: bytes | None
    stream: bytes | None


class Probes(Table):
    """One row per file."""

    def all(self) -> Iterator[KeptProbe]:
        query = "SELECT path, size, mtime_ns, partial, key, properties, full, stream FROM probe"
        return (KeptProbe(*row) for row in self.connection.execute(query))

    def put(self, probes: Iterable[tuple[bytes, int, int, bytes, str, str]]) -> None:
        """Records the path, size, modification time, partial hash, key and properties of each; the two other hashes are
        not known yet."""
        self.connection.executemany("INSERT OR REPLACE INTO probe VALUES (?, ?, ?, ?, ?, ?, NULL, NULL)", probes)

    def set_hashes(self, column: Literal["full", "stream"], hashes: Mapping[bytes, bytes]) -> None:
        """Records one of the two hashes for each path that has a probe."""
        rows = ((digest, path) for path, digest in hashes.items())
        self.connection.executemany(f"UPDATE probe SET {column} = ? WHERE path = ?", rows)

    def clear(self) -> None:
        self.connection.execute("DELETE FROM probe")
