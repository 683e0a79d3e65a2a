"""The table `pitches`: of each fingerprint, the items of the same sound at other pitches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dedup.store.items import Items, bytes_of, items_in
from dedup.store.table import Table

PITCHES_VERSION = 1
"""Counts the pitches at which sound is heard beside its own (`fingerprint.pitches`); items of another version are not
used. Raise it with any change to these, and VARISPEED_VERSION with it."""

N_PITCHES = 2

AS_IT_IS, HIGHER, LOWER = range(1 + N_PITCHES)
"""Images of a sound: its fingerprint, and those of this table in their order."""


class Lacking(NamedTuple):
    """A track whose fingerprint was heard at one pitch alone."""

    path: bytes
    audio: int
    fingerprint: int


class Pitches(Table):
    """One row per fingerprint that was made from sound. It goes with its fingerprint."""

    name = "pitches"

    def create(self) -> None:
        """Makes the table in a catalog that has none, as `schema.sql` does."""
        self.connection.execute(
            "CREATE TABLE pitches (fingerprint INTEGER PRIMARY KEY REFERENCES fingerprint (id) ON DELETE CASCADE, "
            "version INTEGER NOT NULL, items BLOB NOT NULL, row_digest BLOB NOT NULL DEFAULT x'') STRICT"
        )

    def get(self, fingerprint: int) -> Items | None:
        """Items at each pitch, `uint32[N_PITCHES, n_items]`; None if there are none."""
        return self.get_all([fingerprint]).get(fingerprint)

    def get_all(self, fingerprints: Iterable[int]) -> dict[int, Items]:
        """The same of those fingerprints that have any. Raises StoreDamagedError as `rows_of` does."""
        rows = self.rows_of("fingerprint", list(fingerprints))
        return {id_: _items(data) for id_, version, data in rows if version == PITCHES_VERSION}

    def put(self, fingerprint: int, items: Items) -> bool:
        """Records the items of a fingerprint; gives whether this changes anything. Sounds that differ can have the same
        fingerprint: those that come first in the order of their bytes stay, whichever was scanned first."""
        new = bytes_of(items)
        known = next(self.sound("WHERE fingerprint = ? AND version = ?", (fingerprint, PITCHES_VERSION)), None)
        if known is not None and known[2] <= new:
            return False
        self.put_rows([(fingerprint, PITCHES_VERSION, new)], "INSERT OR REPLACE")
        return True

    def lacking(self) -> int:
        """The number of present tracks whose fingerprint has none."""
        return int(self.connection.execute(f"SELECT COUNT(*) {_LACKING}", (PITCHES_VERSION,)).fetchone()[0])

    def tracks_lacking(self) -> list[Lacking]:
        """The present tracks whose fingerprint has none, by path."""
        query = f"SELECT track.path, audio.id, audio.fingerprint {_LACKING} ORDER BY track.path"
        return [Lacking(*row) for row in self.connection.execute(query, (PITCHES_VERSION,))]

    def per_block(self) -> dict[str, int]:
        """The number of fingerprints that have any, of each block."""
        query = (
            "SELECT block, COUNT(*) FROM pitches JOIN fingerprint ON fingerprint.id = pitches.fingerprint "
            "WHERE version = ? AND block IS NOT NULL GROUP BY block"
        )
        return dict(self.connection.execute(query, (PITCHES_VERSION,)))


_LACKING = (
    "FROM track JOIN audio ON audio.id = track.audio WHERE track.state = 'present' AND NOT EXISTS "
    "(SELECT 1 FROM pitches WHERE pitches.fingerprint = audio.fingerprint AND version = ?)"
)


def _items(data: bytes) -> Items:
    return items_in(data).reshape(N_PITCHES, -1)
