"""The table `meta`: the store's stamp, and whatever else concerns the store as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dedup.store.database import damaged
from dedup.store.table import Table

NEW_ID = """
    (SELECT 1 + MAX(
        IFNULL((SELECT MAX(id) FROM {0}), 0),
        IFNULL((SELECT CAST(json_extract(value, '$.{0}') AS INTEGER) FROM meta WHERE key = 'told'), 0)))
"""
"""Next id of a table: never one that a row had at the last report of news (`groups.news`), even if it is gone."""

STAMP = ("format_version", "fingerprint", "block_size")
"""Keys of what is fixed when a store is made."""

VERSIONS_WITHOUT_DIGESTS = (1, 2)


class Meta(Table):
    """JSON values by key."""

    name = "meta"

    def read(self) -> dict[str, Any]:
        """All values. Raises StoreDamagedError."""
        return {key: self._value(text) for key, text in self.read_rows()}

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key; `default` if it has none. Raises StoreDamagedError if any row is damaged, since that may
        be the one: a flipped bit in its key gives it another name."""
        found = [text for name, text in self.read_rows() if name == key]
        return self._value(found[0]) if found else default

    def stamp(self) -> dict[str, Any]:
        """The values under the keys of STAMP; none if the database has no tables yet. In a catalog of a version before
        digests they are as they are. Raises StoreDamagedError if one of them is damaged."""
        columns = {row[1] for row in self.connection.execute("PRAGMA table_info(meta)")}
        if not columns:
            return {}
        if "row_digest" in columns:
            which = f"WHERE key IN ({', '.join('?' * len(STAMP))})"
            return {key: self._value(text) for key, text in self.read_rows(which, STAMP)}
        rows = self.connection.execute("SELECT key, value FROM meta").fetchall()
        values = {key: self._value(text) for key, text in rows if key in STAMP}
        if values.get("format_version", 0) not in VERSIONS_WITHOUT_DIGESTS:
            raise damaged(self.database.path, "its table meta lacks the digests of its rows")
        return values

    def _value(self, text: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise damaged(self.database.path, f"table meta holds a value that is not JSON ({error})") from error

    def set(self, key: str, value: Any) -> None:
        self.update({key: value})

    def update(self, values: Mapping[str, Any]) -> None:
        self.put_rows([(key, json.dumps(value)) for key, value in values.items()], "INSERT OR REPLACE")

    def set_version(self, version: int) -> None:
        """Raises the format version in a catalog that is being upgraded."""
        if version in VERSIONS_WITHOUT_DIGESTS:
            query = "UPDATE meta SET value = ? WHERE key = 'format_version'"
            self.connection.execute(query, (json.dumps(version),))
        else:
            self.set("format_version", version)

    def drop(self, key: str) -> None:
        self.connection.execute("DELETE FROM meta WHERE key = ?", (key,))

    def drop_comparisons(self) -> None:
        """Forgets the settings under which tiles were compared, and that a comparison was complete."""
        self.connection.execute("DELETE FROM meta WHERE key IN ('complete', 'compare') OR key GLOB 'compare *'")
