"""The table `backed_up`: what a back-up has taken from a source, and where it lies."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, NamedTuple

from dedup.store.table import Table

BackupState = Literal["coming", "kept", "here"]
"""coming: it is about to get its name; kept: it has it; here: the library had the recording already."""


class BackedUp(NamedTuple):
    """One file of a source."""

    source: str
    """Whose it is: "subsonic https://music.example.org"."""
    id: str
    """By which the source knows it."""
    path: bytes
    """Where it lies, or the library's file with the same recording."""
    content: bytes
    """16 bytes that say what the file at `path` holds (`judgements.content`); of a file that cannot be compared, a
    digest of the bytes that the source gave."""
    full: bytes
    """`identity.full_hash` of the file as it was written; empty if nothing was."""
    state: BackupState
    at: str
    """Time, UTC: `YYYY-MM-DDTHH:MM:SSZ`."""


class Backups(Table):
    """One row per source and file of it."""

    name, keys = "backed_up", 2

    def create(self) -> None:
        """Makes the table in a catalog that has none, as `schema.sql` does."""
        self.connection.execute(
            "CREATE TABLE backed_up (source TEXT, id TEXT, path BLOB NOT NULL, content BLOB NOT NULL, "
            "full BLOB NOT NULL, state TEXT NOT NULL CHECK (state IN ('coming', 'kept', 'here')), at TEXT NOT NULL, "
            "row_digest BLOB NOT NULL DEFAULT x'', PRIMARY KEY (source, id)) STRICT, WITHOUT ROWID"
        )

    def of_source(self, source: str) -> dict[str, BackedUp]:
        """The rows of a source, by id."""
        return {row[1]: BackedUp(*row) for row in self.read_rows("WHERE source = ?", (source,))}

    def coming(self) -> list[BackedUp]:
        """What was about to get its name, of all sources."""
        return [BackedUp(*row) for row in self.read_rows("WHERE state = 'coming' ORDER BY source, id")]

    def with_content(self, contents: Collection[bytes]) -> list[BackedUp]:
        """The rows of all sources with one of these contents."""
        return [BackedUp(*row) for row in self.rows_of("content", contents)]

    def put(self, row: BackedUp) -> None:
        """Records a file, in place of what was recorded of it."""
        self.put_rows([row], "INSERT OR REPLACE")
