"""The table `comparison`: pairs of fingerprints that a person called the same, compared though no tile had to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dedup.store.table import Row, Table
from dedup.versions import KERNEL_VERSION


class Comparison(NamedTuple):
    """Two fingerprints, by the digests of their items, and what comparing them gave."""

    digest_a: bytes
    """16 bytes, like `digest_b`, and less than it."""
    digest_b: bytes
    pair: bytes
    """A record of `pairs.PAIR` with rows 0; empty if they cannot overlap enough."""


CONFIRM_VERSION = 2
"""Counts the ways in which copies at another speed or pitch are confirmed; what another gave is found out again.
Raise it with any change to what `confirm.task` gives of a file and a fingerprint, such as in `stretch`."""

_CONFIRMED = f"confirmed {CONFIRM_VERSION}"


class Confirmation(NamedTuple):
    """Two fingerprints, one of which was made again at another pitch, and what comparing them gave."""

    digest_a: bytes
    digest_b: bytes
    """As of Comparison."""
    kind: str
    """What was changed: "speed", "tempo", "pitch", "both", or "none" if nothing of this makes them agree better."""
    pitch: float
    """How many times as high as the second the first sounds."""
    pair: bytes
    """As of Comparison."""

    @classmethod
    def of(cls, one: bytes, other: bytes, kind: str, pitch: float, pair: bytes) -> Confirmation:
        """The same whichever is the first; the first of `pair` is `one`."""
        found = cls(one, other, kind, pitch, pair)
        return found if one < other else found.turned()

    def turned(self) -> Confirmation:
        """The same with the two the other way round."""
        import numpy as np

        from dedup.store.pairs import PAIR, swapped

        pair = swapped(np.frombuffer(self.pair, PAIR)).tobytes() if self.pair else b""
        return Confirmation(self.digest_b, self.digest_a, self.kind, 1 / self.pitch, pair)


def _confirmation(row: Row) -> Confirmation:
    digest_a, digest_b, text, _, pair = row
    *_, kind, pitch = text.split(" ")
    return Confirmation(digest_a, digest_b, kind, float(pitch), pair)


_IS_CONFIRMED, _BY_THIS = "settings GLOB ? AND kernel = ?", (f"{_CONFIRMED} *", KERNEL_VERSION)


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

    def lacks_any(self, settings: str) -> bool:
        """Whether two fingerprints of tracks that a row of `judgement` calls the same may not be among `all`. Nothing
        is verified: a damaged row makes them be compared, or is found by whoever reads it."""
        query = (
            "WITH called (a, b) AS (SELECT content_a, content_b FROM judgement WHERE same), "
            "said (content) AS (SELECT a FROM called UNION SELECT b FROM called), "
            "held (content, digest) AS ("
            "SELECT content, fingerprint.digest FROM said JOIN audio ON audio.stream = content "
            "JOIN fingerprint ON fingerprint.id = audio.fingerprint "
            "WHERE EXISTS (SELECT 1 FROM track WHERE track.audio = audio.id) UNION "
            "SELECT content, content FROM said JOIN fingerprint ON fingerprint.digest = content "
            "JOIN audio ON audio.fingerprint = fingerprint.id WHERE audio.stream IS NULL "
            "AND EXISTS (SELECT 1 FROM track WHERE track.audio = audio.id)) "
            "SELECT 1 FROM called JOIN held AS one ON one.content = a JOIN held AS other ON other.content = b "
            "WHERE one.digest != other.digest AND NOT EXISTS (SELECT 1 FROM comparison "
            "WHERE digest_a = MIN(one.digest, other.digest) AND digest_b = MAX(one.digest, other.digest) "
            "AND settings = ? AND kernel = ?) LIMIT 1"
        )
        return self.connection.execute(query, (settings, KERNEL_VERSION)).fetchone() is not None

    def confirmed(self) -> Iterator[Confirmation]:
        """What this version and this kernel confirmed. Raises StoreDamagedError as `Table.read_rows` does."""
        return map(_confirmation, self.read_rows(f"WHERE {_IS_CONFIRMED}", _BY_THIS))

    def confirmed_of(self, one: bytes, other: bytes) -> Confirmation | None:
        """The same of two fingerprints; None if nothing."""
        which = f"WHERE digest_a = ? AND digest_b = ? AND {_IS_CONFIRMED}"
        row = next(self.read_rows(which, (min(one, other), max(one, other), *_BY_THIS)), None)
        if row is None:
            return None
        found = _confirmation(row)
        return found if found.digest_a == one else found.turned()

    def put_confirmed(self, confirmations: Iterable[Confirmation]) -> None:
        """Records what was confirmed."""
        rows = (
            (a, b, f"{_CONFIRMED} {kind} {pitch:.6f}", KERNEL_VERSION, pair)
            for a, b, kind, pitch, pair in confirmations
        )
        self.put_rows(rows, "INSERT OR REPLACE")

    def put(self, settings: str, comparisons: Iterable[Comparison]) -> None:
        """Records comparisons by this kernel, each in place of an earlier one."""
        rows = ((a, b, settings, KERNEL_VERSION, pair) for a, b, pair in comparisons)
        self.put_rows(rows, "INSERT OR REPLACE")
