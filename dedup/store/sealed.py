"""The table `block`: the sealed blocks that the catalog knows. What is in them is in `blocks`."""

from __future__ import annotations

from collections.abc import Iterable

from dedup.store.database import Table


class SealedBlocks(Table):
    """One row a block."""

    def rows(self) -> dict[str, int]:
        """Rows of each block, by name."""
        return dict(self.connection.execute("SELECT name, n_rows FROM block ORDER BY name"))

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Rows and items of each block, by name."""
        return {name: (rows, items) for name, rows, items in self.connection.execute("SELECT * FROM block")}

    def most_rows(self) -> int | None:
        """Rows of the largest block, None where there is none."""
        (most,) = self.connection.execute("SELECT MAX(n_rows) FROM block").fetchone()
        return None if most is None else int(most)

    def add(self, name: str, n_rows: int, n_items: int) -> None:
        """Names a block that is on disk."""
        self.connection.execute("INSERT INTO block VALUES (?, ?, ?)", (name, n_rows, n_items))

    def drop(self, names: Iterable[str]) -> None:
        """Drops blocks in which no fingerprint is any more, and of which no tile is."""
        self.connection.executemany("DELETE FROM block WHERE name = ?", ((name,) for name in names))
