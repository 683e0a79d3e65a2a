"""The table `tile`: the results of the tiles that are done."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dedup.errors import StoreDamagedError
from dedup.store.database import Table


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
    digest: bytes

    @staticmethod
    def of(name: str, settings: str, block_a: str, block_b: str, n_pairs: int, pairs: bytes) -> TileResult:
        return TileResult(name, settings, block_a, block_b, n_pairs, pairs, result_digest(name, pairs))


def result_digest(name: str, pairs: bytes) -> bytes:
    """16 bytes that tie a result to its tile: with them `check` finds a flipped bit in either."""
    return hashlib.blake2b(name.encode() + pairs, digest_size=16).digest()


COLUMNS = "name, settings, block_a, block_b, n_pairs, pairs, digest"


class Results(Table):
    """One row per tile. `settings` is always the digest of the comparison settings under which it was computed."""

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
        row = self.connection.execute(f"SELECT {COLUMNS} FROM tile WHERE name = ?", (name,)).fetchone()
        return None if row is None else self._sound(TileResult(*row))

    def with_pairs(self, settings: str) -> Iterator[TileResult]:
        """Results that have pairs, by name. Raises StoreDamagedError for one that does not match its digest: every pair
        shown was computed."""
        query = f"SELECT {COLUMNS} FROM tile WHERE settings = ? AND length(pairs) > 0 ORDER BY name"
        return (self._sound(TileResult(*row)) for row in self.connection.execute(query, (settings,)))

    def unverified(self, settings: str) -> Iterator[TileResult]:
        """Results with or without pairs, by name, unverified."""
        query = f"SELECT {COLUMNS} FROM tile WHERE settings = ? ORDER BY name"
        return (TileResult(*row) for row in self.connection.execute(query, (settings,)))

    def _sound(self, tile: TileResult) -> TileResult:
        if tile.digest != result_digest(tile.name, tile.pairs):
            raise StoreDamagedError(
                f"catalog {self.database.path}",
                f"the pairs of tile {tile.name} do not match their digest",
                remedy="Run `reprise check --repair`, then `reprise correlate`, which redoes only what is lost",
            )
        return tile

    def commit(self, results: Iterable[TileResult]) -> None:
        """Stores results in one transaction: from then on these tiles are done."""
        with self.database.transaction():
            for result in results:
                self.put(result)

    def put(self, result: TileResult) -> None:
        r = result
        row = (r.name, r.settings, r.block_a, r.block_b, r.n_pairs, r.pairs, r.digest)
        self.connection.execute("INSERT INTO tile VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def drop(self, names: Iterable[str]) -> None:
        self.connection.executemany("DELETE FROM tile WHERE name = ?", ((name,) for name in names))

    def drop_of(self, blocks: Iterable[str]) -> None:
        """Drops the results of all tiles of these blocks."""
        for block in blocks:
            self.connection.execute("DELETE FROM tile WHERE block_a = ?", (block,))
            self.connection.execute("DELETE FROM tile WHERE block_b = ?", (block,))

    def clear(self) -> None:
        self.connection.execute("DELETE FROM tile")
