"""The tables `fingerprint` and `tail`: all fingerprints, the block and row of each, and the items of those that are not
in a block yet."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dedup.store.items import Items, bytes_of, items_digest, items_in, n_distinct
from dedup.store.table import Table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class SealedRow(NamedTuple):
    """The fingerprint in a row of a block, as the catalog knows it."""

    row: int
    id: int
    digest: bytes
    n_items: int
    n_distinct: int


class Unsealed(NamedTuple):
    """A fingerprint that is in the tail or not in any block."""

    id: int
    block: str | None
    """Name of its block, which is damage for a fingerprint in the tail; otherwise None."""
    items: bytes | None
    """Little-endian `uint32`; None if it is not in the tail either, which is damage."""
    digest: bytes
    n_items: int
    n_distinct: int


class HeldFingerprint(NamedTuple):
    """A fingerprint that may be sampled, and where it is."""

    digest: bytes
    id: int
    block: str | None
    row: int


class Fingerprints(Table):
    """One row per fingerprint: the same items share one row."""

    name = "fingerprint"

    def find(self, items: Items) -> int | None:
        """The fingerprint with exactly these items; None if there is none."""
        digest = items_digest(items)
        return self.find_all([digest]).get(digest)

    def find_all(self, digests: Collection[bytes]) -> dict[bytes, int]:
        """The fingerprints whose items have these digests, by digest; those that there are."""
        return {row[1]: row[0] for row in self.rows_of("digest", digests)}

    def add(self, items: Items) -> int:
        """The fingerprint with these items; a new one goes to the tail."""
        digest = items_digest(items)
        return self.add_all({digest: items})[digest]

    def add_all(self, items: Mapping[bytes, Items]) -> dict[bytes, int]:
        """The fingerprints with these items, which are given and returned by digest; new ones go to the tail, in this
        order."""
        known = self.find_all(items)
        (first,) = self.connection.execute("SELECT IFNULL(MAX(id), 0) + 1 FROM fingerprint").fetchone()
        new = dict(zip((digest for digest in items if digest not in known), itertools.count(first), strict=False))
        self.put_rows(
            (id_, digest, len(it := items[digest]), n_distinct(it), None, None) for digest, id_ in new.items()
        )
        data = ((id_, bytes_of(items[digest])) for digest, id_ in new.items())
        self.connection.executemany("INSERT INTO tail VALUES (?, ?)", data)
        return known | new

    def drop(self, fingerprints: Iterable[int]) -> None:
        """Drops fingerprints that no audio has."""
        self.connection.executemany("DELETE FROM fingerprint WHERE id = ?", ((f,) for f in fingerprints))

    # ---- how many, how long ----

    def n_items(self, fingerprint: int) -> int:
        """Items of one fingerprint."""
        return int(
            self.connection.execute("SELECT n_items FROM fingerprint WHERE id = ?", (fingerprint,)).fetchone()[0]
        )

    def totals(self) -> tuple[int, int]:
        """The number of fingerprints, and of all their items."""
        n, n_items = self.connection.execute("SELECT COUNT(*), IFNULL(SUM(n_items), 0) FROM fingerprint").fetchone()
        return n, n_items

    def longest(self) -> int:
        """Items of the longest fingerprint; 0 if there is none."""
        (longest,) = self.connection.execute("SELECT MAX(n_items) FROM fingerprint").fetchone()
        return longest or 0

    def row_lengths(self) -> dict[str, npt.NDArray[np.int64]]:
        """Items of each row, `int64[n_rows]`, of each block all of whose fingerprints match their digest."""
        import numpy as np

        lengths: dict[str, list[int]] = {}
        for _, _, n_items, _, block, _ in self.sound("WHERE block IS NOT NULL ORDER BY block, row"):
            lengths.setdefault(block, []).append(n_items)
        damaged = {row[4] for row in self.unsound()}
        return {block: np.array(of_rows) for block, of_rows in lengths.items() if block not in damaged}

    # ---- in blocks ----

    def place(self, fingerprint: int) -> tuple[str, int] | None:
        """Block and row of a sealed fingerprint; None while it is in the tail."""
        row = next(self.read_rows("WHERE id = ? AND block IS NOT NULL", (fingerprint,)), None)
        return None if row is None else (row[4], row[5])

    def places(self, fingerprints: Iterable[int]) -> Iterator[tuple[int, str | None, int | None]]:
        """Id, block and row of these fingerprints, by block; no block for those in the tail."""
        query = (
            "SELECT id, block, row FROM fingerprint WHERE id IN (SELECT value FROM json_each(?)) ORDER BY block, row"
        )
        yield from self.connection.execute(query, (json.dumps(sorted(fingerprints)),))

    def of_block(self, block: str) -> list[SealedRow]:
        """The fingerprints of a block, by row."""
        return [_sealed_row(*row) for row in self.read_rows("WHERE block = ? ORDER BY row", (block,))]

    def sound_of_block(self, block: str) -> list[SealedRow]:
        """Those fingerprints of a block, by row, that match their digest."""
        return [_sealed_row(*row) for row in self.sound("WHERE block = ? ORDER BY row", (block,))]

    def ids_at(self, block: str, rows: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Ids of the fingerprints in these rows of a block, which rise, `int64[len(rows)]`. Raises StoreDamagedError if
        a row is not known: pairs name their fingerprints by row."""
        import numpy as np

        which = "WHERE block = ? AND row IN (SELECT value FROM json_each(?)) ORDER BY row"
        ids = [row[0] for row in self.read_rows(which, (block, json.dumps(rows.tolist())))]
        if len(ids) != len(rows):
            raise self.damage(f"not each row of block {block} that has pairs has a fingerprint")
        return np.array(ids, np.int64)

    def all_ids_of_block(self, block: str) -> list[int]:
        """Ids of all fingerprints that are said to be in a block, sound or not."""
        return [row[0] for row in self.connection.execute("SELECT id FROM fingerprint WHERE block = ?", (block,))]

    def move(self, block: str, fingerprints: Sequence[int]) -> None:
        """Moves these fingerprints, sealed or not, to the rows of a block."""
        self.change("id", ["block", "row"], ((fingerprint, block, row) for row, fingerprint in enumerate(fingerprints)))

    # ---- in the tail ----

    def tail_length(self) -> int:
        return int(self.connection.execute("SELECT COUNT(*) FROM tail").fetchone()[0])

    def tail_items(self, fingerprint: int) -> Items | None:
        """The items of a fingerprint that is not sealed yet."""
        row = self.connection.execute("SELECT items FROM tail WHERE fingerprint = ?", (fingerprint,)).fetchone()
        return None if row is None else items_in(row[0])

    def next_to_seal(self, n_rows: int) -> tuple[list[int], list[Items]]:
        """Ids and items of the next `n_rows` fingerprints of the tail, by length and content, so that the order in
        which workers answer does not matter."""
        rows = self.connection.execute(
            "SELECT fingerprint.id, tail.items FROM fingerprint JOIN tail ON tail.fingerprint = fingerprint.id "
            "WHERE block IS NULL ORDER BY n_items, digest LIMIT ?",
            (n_rows,),
        ).fetchall()
        return [row[0] for row in rows], [items_in(row[1]) for row in rows]

    def drop_from_tail(self, fingerprints: Iterable[int]) -> None:
        """Drops the items of fingerprints that are now in a block."""
        self.connection.executemany("DELETE FROM tail WHERE fingerprint = ?", ((f,) for f in fingerprints))

    def unsealed(self) -> Iterator[Unsealed]:
        """All fingerprints that are in the tail or not in any block, by id."""
        query = (
            "SELECT fingerprint.id, block, items, digest, n_items, n_distinct FROM fingerprint "
            "LEFT JOIN tail ON fingerprint.id = tail.fingerprint "
            "WHERE block IS NULL OR tail.fingerprint IS NOT NULL ORDER BY fingerprint.id"
        )
        return (Unsealed(*row) for row in self.connection.execute(query))

    # ---- their tracks ----

    def count_held(self) -> int:
        """The number of fingerprints that tracks hold."""
        query = "SELECT COUNT(DISTINCT audio.fingerprint) FROM track JOIN audio ON audio.id = track.audio"
        return int(self.connection.execute(query).fetchone()[0])

    def shared(self) -> set[int]:
        """The fingerprints that more than one track holds."""
        query = (
            "SELECT audio.fingerprint FROM track JOIN audio ON audio.id = track.audio "
            "GROUP BY audio.fingerprint HAVING COUNT(*) > 1"
        )
        return {row[0] for row in self.connection.execute(query)}

    def retired(self) -> dict[int, str]:
        """The block of each sealed fingerprint that no track holds, by its id."""
        query = (
            "SELECT id, block FROM fingerprint WHERE block IS NOT NULL AND NOT EXISTS "
            "(SELECT 1 FROM audio JOIN track ON track.audio = audio.id WHERE audio.fingerprint = fingerprint.id)"
        )
        return dict(self.connection.execute(query))

    def lowest_held(self, least_distinct: int, limit: int) -> list[HeldFingerprint]:
        """Those with the lowest digests, `limit` at most, of all that tracks hold and that have so many different
        items."""
        which = (
            "WHERE n_distinct >= ? "
            "AND id IN (SELECT fingerprint FROM audio JOIN track ON track.audio = audio.id) ORDER BY digest LIMIT ?"
        )
        rows = self.read_rows(which, (least_distinct, limit))
        return [HeldFingerprint(digest, id_, block, row) for id_, digest, _, _, block, row in rows]


def _sealed_row(id_: int, digest: bytes, n_items: int, n_distinct: int, _: str, row: int) -> SealedRow:
    return SealedRow(row, id_, digest, n_items, n_distinct)
