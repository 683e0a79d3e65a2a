"""The table `meta`: the store's stamp, and whatever else concerns the store as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dedup.store.database import Table, damaged

NEW_ID = """
    (SELECT 1 + MAX(
        IFNULL((SELECT MAX(id) FROM {0}), 0),
        IFNULL((SELECT CAST(json_extract(value, '$.{0}') AS INTEGER) FROM meta WHERE key = 'told'), 0)))
"""
"""Next id of a table: never one that a row had at the last report of news (`groups.news`), even if it is gone."""


class Meta(Table):
    """JSON values by key."""

    def read(self) -> dict[str, Any]:
        """All values; none if the database has no tables yet. Raises CatalogDamagedError."""
        known = self.connection.execute("SELECT name FROM sqlite_schema WHERE name = 'meta'").fetchone()
        rows = self.connection.execute("SELECT key, value FROM meta").fetchall() if known else []
        return {key: self._value(text) for key, text in rows}

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key; `default` if it has none. Raises CatalogDamagedError."""
        row = self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else self._value(row[0])

    def _value(self, text: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise damaged(self.database.path, f"table meta holds a value that is not JSON ({error})") from error

    def set(self, key: str, value: Any) -> None:
        self.update({key: value})

    def update(self, values: Mapping[str, Any]) -> None:
        rows = [(key, json.dumps(value)) for key, value in values.items()]
        self.connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    def drop(self, key: str) -> None:
        self.connection.execute("DELETE FROM meta WHERE key = ?", (key,))

    def drop_comparisons(self) -> None:
        """Forgets the settings under which tiles were compared, and that a comparison was complete."""
        self.connection.execute("DELETE FROM meta WHERE key IN ('complete', 'compare') OR key GLOB 'compare *'")

    def drop_unreadable(self) -> None:
        """Drops the values that are not JSON."""
        for key, text in self.connection.execute("SELECT key, value FROM meta").fetchall():
            try:
                json.loads(text)
            except (ValueError, RecursionError):
                self.drop(key)
