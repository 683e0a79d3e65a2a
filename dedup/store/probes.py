"""The table `probe`: what an unfinished scan has learned about files that are not tracks yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from dedup.store.table import Table


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

    name = "probe"

    def all(self) -> Iterator[KeptProbe]:
        return (KeptProbe(*row) for row in self.read_rows())

    def put(self, probes: Iterable[tuple[bytes, int, int, bytes, str, str]]) -> None:
        """Records the path, size, modification time, partial hash, key and properties of each; the two other hashes are
        not known yet."""
        self.put_rows(((*probe, None, None) for probe in probes), "INSERT OR REPLACE")

    def set_hashes(self, column: Literal["full", "stream"], hashes: Mapping[bytes, bytes]) -> None:
        """Records one of the two hashes for each path that has a probe."""
        self.change("path", [column], hashes.items())

    def clear(self) -> None:
        self.connection.execute("DELETE FROM probe")
