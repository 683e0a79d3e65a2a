"""Fingerprints that are in no block: those of a scan that goes on, and of files on their way in. They are packed in
parts, of which two of about one size become one, so that to add one takes little however many there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from dedup.correlation.sweep import Packed
from dedup.correlation.tile import Prepared
from dedup.gate.shelves import packed_block
from dedup.store.items import Items, frozen, items_digest


class Part(NamedTuple):
    """Some of them."""

    ids: tuple[int, ...]
    prepared: Prepared
    packed: Packed
    """One row for each, as on a shelf."""

    def place(self, row: int) -> tuple[int, bytes]:
        """Id and digest of the fingerprint in a row."""
        items, offsets = self.prepared.fingerprints
        return self.ids[row], items_digest(items[offsets[row] : offsets[row + 1]])


class Loose:
    """Fingerprints by id."""

    def __init__(self) -> None:
        self._items: dict[int, Items] = {}
        self._parts: list[Part] = []
        """Largest first."""

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, id_: int) -> bool:
        return id_ in self._items

    def __getitem__(self, id_: int) -> Items:
        return self._items[id_]

    def add(self, items: Mapping[int, Items]) -> None:
        """Adds fingerprints with new ids."""
        if not items:
            return
        self._items.update(items)
        ids = tuple(items)
        while self._parts and len(self._parts[-1].ids) <= len(ids):
            ids = (*self._parts.pop().ids, *ids)
        self._parts.append(self._packed(ids))

    def drop(self, ids: Iterable[int]) -> None:
        """Drops fingerprints; nothing happens to ids that are not there."""
        gone = self._items.keys() & set(ids)
        for id_ in gone:
            del self._items[id_]
        for at, part in enumerate(self._parts):
            if not gone.isdisjoint(part.ids):
                self._parts[at] = self._packed(tuple(id_ for id_ in part.ids if id_ not in gone))
        self._parts = sorted(filter(lambda part: part.ids, self._parts), key=lambda part: -len(part.ids))

    def parts(self) -> Iterator[Part]:
        return iter(self._parts)

    def _packed(self, ids: tuple[int, ...]) -> Part:
        items = [self._items[id_] for id_ in ids]
        whole = frozen(np.concatenate([np.empty(0, np.uint32), *items]), np.uint32)
        offsets = frozen(np.cumsum([0, *map(len, items)]), np.int64)
        return Part(ids, Prepared(whole, offsets, "join"), packed_block(whole, offsets))
