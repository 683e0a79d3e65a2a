"""The table `comparison`: pairs of fingerprints that a person called the same, compared though no tile had to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dedup.errors import StoreDamagedError
from dedup.store.database import Table
from dedup.versions import KERNEL_VERSION


class Comparison(NamedTuple):
    """Two fingerprints, by the digests of their items, and what comparing them gave."""

    digest_a: bytes
    """16 bytes, like `digest_b`, and less than it."""
    digest_b: bytes
    pair: bytes
    """A record of `pairs.PAIR` with rows 0; empty if they cannot overlap enough."""


class Comparisons(Table):
    """One row per pair of fingerprints and comparison settings."""

    def create(self) -> None:
        """Makes the table in a catalog that has none, as `schema.sql` does."""
        self.connection.execute(
            "CREATE TABLE comparison (digest_a BLOB, digest_b BLOB, settings TEXT, kernel INTEGER NOT NULL, "
            "pair BLOB NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (digest_a, digest_b, settings), "
            "CHECK (digest_a < digest_b)) STRICT, WITHOUT ROWID"
        )

    def all(self, settings: str) -> Iterator[Comparison]:
        """The comparisons by this kernel under the settings with this digest. Raises StoreDamagedError for one that
        does not match its digest."""
        query = "SELECT digest_a, digest_b, pair, digest FROM comparison WHERE settings = ? AND kernel = ?"
        for a, b, pair, digest in self.connection.execute(query, (settings, KERNEL_VERSION)):
            if digest != _digest(a, b, settings, KERNEL_VERSION, pair):
                raise StoreDamagedError(
                    f"catalog {self.database.path}",
                    "a comparison does not match its digest",
                    remedy="Run `reprise check --repair`; the next report compares the pair again",
                )
            yield Comparison(a, b, pair)

    def put(self, settings: str, comparisons: Iterable[Comparison]) -> None:
        """Records comparisons by this kernel, each in place of an earlier one."""
        rows = (
            (a, b, settings, KERNEL_VERSION, pair, _digest(a, b, settings, KERNEL_VERSION, pair))
            for a, b, pair in comparisons
        )
        self.connection.executemany("INSERT OR REPLACE INTO comparison VALUES (?, ?, ?, ?, ?, ?)", rows)

    def unsound(self) -> Iterator[tuple[bytes, bytes, str]]:
        """Key of each row that does not match its digest."""
        query = "SELECT digest_a, digest_b, settings, kernel, pair, digest FROM comparison"
        return (
            (a, b, s)
            for a, b, s, kernel, pair, told in self.connection.execute(query)
            if told != _digest(a, b, s, kernel, pair)
        )

    def drop(self, digest_a: bytes, digest_b: bytes, settings: str) -> None:
        query = "DELETE FROM comparison WHERE digest_a = ? AND digest_b = ? AND settings = ?"
        self.connection.execute(query, (digest_a, digest_b, settings))


def _digest(digest_a: bytes, digest_b: bytes, settings: str, kernel: int, pair: bytes) -> bytes:
    told = b"".join((digest_a, digest_b, settings.encode(), b"%d" % kernel, pair))
    return hashlib.blake2b(told, digest_size=16).digest()
