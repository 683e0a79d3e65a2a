"""The table `comparison`: pairs of fingerprints that a person called the same, compared though no tile had to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dedup.store.table import Table
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

    name, keys = "comparison", 3

    def create(self) -> None:
        """Makes the table in a catalog that has none, as `schema.sql` does."""
        self.connection.execute(
            "CREATE TABLE comparison (digest_a BLOB, digest_b BLOB, settings TEXT, kernel INTEGER NOT NULL, "
            "pair BLOB NOT NULL, row_digest BLOB NOT NULL DEFAULT x'', PRIMARY KEY (digest_a, digest_b, settings), "
            "CHECK (digest_a < digest_b)) STRICT, WITHOUT ROWID"
        )

    def all(self, settings: str) -> Iterator[Comparison]:
        """The comparisons by this kernel under the settings with this digest. Raises StoreDamagedError as
        `Table.read_rows` does."""
        rows = self.read_rows("WHERE settings = ? AND kernel = ?", (settings, KERNEL_VERSION))
        return (Comparison(a, b, pair) for a, b, _, _, pair in rows)

    def put(self, settings: str, comparisons: Iterable[Comparison]) -> None:
        """Records comparisons by this kernel, each in place of an earlier one."""
        rows = ((a, b, settings, KERNEL_VERSION, pair) for a, b, pair in comparisons)
        self.put_rows(rows, "INSERT OR REPLACE")
