"""The table `block`: the sealed blocks that the catalog knows. `blocks` reads their content."""

from __future__ import annotations

from collections.abc import Iterable

from dedup.store.table import Table


class SealedBlocks(Table):
    """One row per block."""

    name = "block"

    def rows(self) -> dict[str, int]:
        """Rows of each block, by name."""
        return {name: n_rows for name, n_rows, _ in self.read_rows("ORDER BY name")}

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Rows and items of each block, by name."""
        return {name: (n_rows, n_items) for name, n_rows, n_items in self.read_rows()}

    def names(self) -> set[str]:
        """Names of the blocks, whatever their rows say."""
        return {row[0] for row in self.connection.execute("SELECT name FROM block")}

    def most_rows(self) -> int | None:
        """Rows of the largest block; None if there is none."""
        (most,) = self.connection.execute("SELECT MAX(n_rows) FROM block").fetchone()
        return None if most is None else int(most)

    def add(self, name: str, n_rows: int, n_items: int) -> None:
        """Records a block that is on disk."""
        self.put_rows([(name, n_rows, n_items)])

    def drop(self, names: Iterable[str]) -> None:
        """Drops blocks without fingerprints and without tiles."""
        self.connection.executemany("DELETE FROM block WHERE name = ?", ((name,) for name in names))
