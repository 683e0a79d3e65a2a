"""The table `tile`: the results of the tiles that are done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dedup.store.table import Table


@dataclass(frozen=True)
class TileResult:
    """What a tile found: one row, and its presence says that the tile is done."""

    name: str
    settings: str
    block_a: str
    block_b: str
    n_pairs: int
    pairs: bytes
    """`n_pairs` records of `pairs.PAIR`."""


class Results(Table):
    """One row per tile. `settings` is always the digest of the comparison settings under which it was computed."""

    name = "tile"

    def settings(self) -> list[str]:
        """Digests of all settings under which tiles are done."""
        return [row[0] for row in self.connection.execute("SELECT DISTINCT settings FROM tile ORDER BY settings")]

    def names(self, settings: str) -> set[str]:
        """Names of the tiles that are done."""
        return {row[0] for row in self.connection.execute("SELECT name FROM tile WHERE settings = ?", (settings,))}

    def count(self, settings: str) -> int:
        """The number of tiles that are done."""
        return int(self.connection.execute("SELECT COUNT(*) FROM tile WHERE settings = ?", (settings,)).fetchone()[0])

    def count_pairs(self, settings: str) -> int:
        """The number of pairs that these tiles found."""
        query = "SELECT IFNULL(SUM(n_pairs), 0) FROM tile WHERE settings = ?"
        return int(self.connection.execute(query, (settings,)).fetchone()[0])

    def has(self, name: str) -> bool:
        """Whether the tile is done."""
        return self.connection.execute("SELECT 1 FROM tile WHERE name = ?", (name,)).fetchone() is not None

    def get(self, name: str) -> TileResult | None:
        """The result of one tile; None if it is not done. Raises StoreDamagedError as `with_pairs` does."""
        row = next(self.read_rows("WHERE name = ?", (name,)), None)
        return None if row is None else TileResult(*row)

    def with_pairs(self, settings: str) -> Iterator[TileResult]:
        """Results that have pairs, by name. Raises StoreDamagedError for one that does not match its digest: every pair
        shown was computed."""
        recorded = "SELECT substr(key, 9) FROM meta WHERE key GLOB 'compare *'"
        query = f"SELECT MIN(name) FROM tile WHERE settings NOT IN ({recorded})"
        (stray,) = self.connection.execute(query).fetchone()
        if stray is not None:
            raise self.damage(f"the comparison settings of tile {stray} are not recorded")
        query = "SELECT IFNULL(SUM(n_pairs >= 0), 0) FROM tile WHERE +settings = ?"  # the plus: by no index
        if self.connection.execute(query, (settings,)).fetchone()[0] != self.count(settings):
            raise self.damage("table tile and its index disagree about its rows")
        which = "WHERE +settings = ? AND (n_pairs != 0 OR length(pairs) > 0) ORDER BY name"
        rows = self.read_rows(which, (settings,))
        return (TileResult(*row) for row in rows)

    def commit(self, results: Iterable[TileResult]) -> None:
        """Stores results in one transaction: from then on these tiles are done."""
        with self.database.transaction():
            for result in results:
                self.put(result)

    def put(self, result: TileResult) -> None:
        self.put_rows([(result.name, result.settings, result.block_a, result.block_b, result.n_pairs, result.pairs)])

    def drop(self, names: Iterable[str]) -> None:
        self.connection.executemany("DELETE FROM tile WHERE name = ?", ((name,) for name in names))

    def drop_of(self, blocks: Iterable[str]) -> None:
        """Drops the results of all tiles of these blocks."""
        for block in blocks:
            self.connection.execute("DELETE FROM tile WHERE block_a = ?", (block,))
            self.connection.execute("DELETE FROM tile WHERE block_b = ?", (block,))

    def drop_under(self, settings: str, blocks: Iterable[str]) -> int:
        """Drops the results of the tiles of these blocks under these settings; gives their number."""
        n_dropped = 0
        for block in blocks:
            for side in ("block_a", "block_b"):
                query = f"DELETE FROM tile WHERE settings = ? AND {side} = ?"
                n_dropped += self.connection.execute(query, (settings, block)).rowcount
        return n_dropped

    def clear(self) -> None:
        self.connection.execute("DELETE FROM tile")
