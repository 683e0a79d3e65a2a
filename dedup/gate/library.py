"""The library as the gate asks it: the numbers of one fingerprint with all others, by the same code as `correlate`, and
by the method by which the library was compared: all that share passages (`join`), or the cascade, also if that was
`exact`. What methods find has the same numbers, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.correlation.correlate import last_compare_settings
from dedup.correlation.match import Match, match_at
from dedup.correlation.other_speeds import heard_block
from dedup.correlation.tile import Part as TilePart
from dedup.correlation.tile import Prepared, correlate_prepared
from dedup.errors import StoreDamagedError
from dedup.gate.loose import Loose, Part
from dedup.gate.newcomer import NEW
from dedup.gate.shelves import Shelf, shelves_of
from dedup.gate.swept import at_one_speed, at_other_speeds, candidates
from dedup.groups.judgements import Judgements
from dedup.groups.matches import ListedTrack
from dedup.groups.null_tests import NullTests
from dedup.groups.thresholds import thresholds
from dedup.library.metadata import PropertiesReader
from dedup.settings import MatchSettings
from dedup.store.change import store_version
from dedup.store.items import Items, frozen, items_digest
from dedup.store.pairs import PAIR

if TYPE_CHECKING:
    from dedup.correlation.sweep import Packed
    from dedup.gate.newcomer import Newcomer
    from dedup.store.store import Store


TILE = TilePart(0, 1)
"""All of two blocks."""


class Relation(NamedTuple):
    """A fingerprint of the library that agrees with the one in question by more than chance."""

    fingerprint: int
    match: Match
    """The one in question comes first: a positive lag means that it has more in front."""
    is_at_other_pitch: bool
    """Whether they agree at one speed and another pitch, and nobody has confirmed it."""


class Library:
    """A store, ready to be asked. `refresh` takes in what has changed; until then all answers are as of the last
    one."""

    def __init__(self, store: Store, match: MatchSettings, varispeed: bool = True, n_threads: int = 1) -> None:
        """Without `varispeed`, no other speeds are tried even if the store's settings ask for them; `n_threads` compare
        at a time. Raises UsageError, StoreDamagedError, WriteError."""
        self.store, self._settings, self._varispeed = store, match, varispeed
        self._pool = ThreadPoolExecutor(n_threads, "gate-compare")
        self._version = ""
        self._shelves: list[Shelf] = []
        self._tail = Loose()
        """Fingerprints of the store that are in no block yet."""
        self._coming = Loose()
        self._newcomers: dict[int, ListedTrack] = {}
        """Files on their way in that count as if they were in the library, by the ids of their fingerprints."""
        self._at_pitches: dict[int, Items] = {}
        """What is known of them at other pitches."""
        self._next_id = NEW - 1
        self.refresh()

    def refresh(self) -> None:
        """Takes in what has changed in the store, if anything has."""
        version = store_version(self.store.layout.folder)
        if version == self._version:
            return
        compare = last_compare_settings(self.store)
        self.compare = replace(compare, varispeed=compare.varispeed and self._varispeed)
        self.thresholds = thresholds(self.store, self._settings)
        self.usual_thresholds = thresholds(self.store, MatchSettings())
        self.judgements, self.tests = Judgements(self.store), NullTests(self.store)
        self._read_tail()
        blocks = self.store.catalog.blocks.names()
        if not self._version or blocks != {block for shelf in self._shelves for block in shelf.blocks}:
            self._shelves = shelves_of(self.store)
        self._version = version

    def relations(self, items: Items, pitches: Items | None = None) -> list[Relation]:
        """The fingerprints that agree with these items (`uint32[n]`), and those of the same sound at other pitches, by
        more than chance, at any speed that the store's settings ask for, in the order of their ids. The fingerprint
        itself is not among them if the library has it. Raises StoreDamagedError."""
        try:
            return self._relations(items, pitches)
        except StoreDamagedError:  # a block that was compacted away since
            version = self._version
            self.refresh()
            if version == self._version:
                raise
            return self._relations(items, pitches)

    def _relations(self, items: Items, pitches: Items | None) -> list[Relation]:
        best: dict[int, _Found] = {}
        own, one = items_digest(items), heard_block("", [items], [pitches])
        question = Prepared(frozen(items, np.uint32), frozen(np.array([0, len(items)]), np.int64), "join")
        parts = list(self._parts())
        compared = self._compared(question, [part for part, _ in parts])
        for (part, place), (plain, rows) in zip(parts, compared, strict=True):
            stretched = b""
            if len(rows):
                ids = [place(row)[0] for row in rows.tolist()]
                others = heard_block("others", [_row(part.packed, row) for row in rows.tolist()], self._pitches(ids))
                stretched = at_other_speeds(one, others, rows, plain, self.compare.passes[-1])
            for row, found in self._more_than_chance(plain, stretched):
                id_, digest = place(row)
                if digest != own:
                    _take(best, id_, found)
        return [Relation(id_, *best[id_]) for id_ in sorted(best)]

    def _pitches(self, ids: Sequence[int]) -> list[Items | None]:
        known = self.store.catalog.pitches.get_all([id_ for id_ in ids if id_ not in self._newcomers])
        known |= {id_: self._at_pitches[id_] for id_ in ids if id_ in self._at_pitches}
        return [known.get(id_) for id_ in ids]

    def _parts(self) -> Iterator[tuple[Shelf | Part, Callable[[int], tuple[int, bytes]]]]:
        """All fingerprints in parts, each with what gives id and digest of one of its rows."""
        yield from ((shelf, partial(self._on_shelf, shelf)) for shelf in self._shelves)
        yield from ((part, part.place) for part in (*self._tail.parts(), *self._coming.parts()))

    def _compared(
        self, question: Prepared, parts: Sequence[Shelf | Part]
    ) -> Iterator[tuple[bytes, npt.NDArray[np.int64]]]:
        """Of each part the pairs with the question at one speed, as bytes of PAIR, and the rows to compare at
        others."""
        plain, *at_others = self.compare.passes
        if self.thresholds.classic is not None:
            at_others = []
        joined: list[bytes | None] = [None] * len(parts)
        if plain.method == "join":  # before the threads, which would share its scratch
            joined = [correlate_prepared(question, part.prepared, TILE, plain)[0] for part in parts]

        def compared(part: Shelf | Part, found: bytes | None) -> tuple[bytes, npt.NDArray[np.int64]]:
            if found is None:
                found = at_one_speed(question, part.prepared, part.packed, replace(plain, method="cascade"))
            items, none = question.fingerprints.items, np.empty(0, np.int64)
            return found, candidates(items, part.packed, found, at_others[0]) if at_others else none

        return self._pool.map(compared, parts, joined)

    def _more_than_chance(self, plain: bytes, stretched: bytes) -> Iterator[tuple[int, _Found]]:
        """The second rows, each as in the pass in which it scores best, as long as it has the evidence that the pass
        asks for: more at other speeds. What is of another pitch is that, whatever the score. If raw agreement decides,
        all pairs."""
        limits, found = self.thresholds, dict[int, _Found]()
        for records, least in ((plain, limits.related), (stretched, limits.other_speed)):
            for number, row in enumerate(np.frombuffer(records, PAIR)["row_b"].tolist()):
                match = match_at(records, number * PAIR.itemsize)
                if limits.classic is not None or match.evidence >= least:
                    _take(found, row, _Found(match, records is stretched and match.log_rate == 0))
        return iter(found.items())

    def _on_shelf(self, shelf: Shelf, row: int) -> tuple[int, bytes]:
        """Id and digest of the fingerprint in a row of a shelf. Raises StoreDamagedError if the shelf holds others than
        the store says."""
        block, row_of_block = shelf.place(row)
        (id_,) = self.store.catalog.fingerprints.ids_at(block, np.array([row_of_block])).tolist()
        digest = items_digest(shelf.items(row))
        if self.store.catalog.fingerprints.find_all([digest]).get(digest) != id_:
            raise StoreDamagedError(
                f"folder {self.store.layout.gate}",
                f"row {row_of_block} of block {block} holds other items than the store",
                remedy="Remove the folder: it is made again",
            )
        return id_, digest

    def _read_tail(self) -> None:
        """Reads the fingerprints that came since, and drops what is in blocks by now."""
        found: dict[int, Items] = {}
        there = set()
        for row in self.store.catalog.fingerprints.unsealed():
            there.add(row.id)
            if row.id not in self._tail and row.items is not None:
                found[row.id] = np.frombuffer(row.items, "<u4")
        if not there:
            self._tail = Loose()
        self._tail.add(found)

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()

    # ---- files on their way in ----

    def take(self, newcomer: Newcomer) -> int:
        """Counts a file as if it were in the library; gives the id by which it is known."""
        id_, self._next_id = self._next_id, self._next_id - 1
        self._coming.add({id_: newcomer.items})
        self._newcomers[id_] = newcomer.track._replace(fingerprint=id_)
        if newcomer.pitches is not None:
            self._at_pitches[id_] = newcomer.pitches
        return id_

    def leave(self, ids: Iterable[int]) -> None:
        """Counts these files no more."""
        for id_ in (gone := list(ids)):
            self._newcomers.pop(id_, None)
            self._at_pitches.pop(id_, None)
        self._coming.drop(gone)

    def arrived(self) -> list[int]:
        """The ids of such files whose fingerprint a track of the store has by now."""
        digests = {each.digest: id_ for id_, each in self._newcomers.items()}
        known = self.store.catalog.fingerprints.find_all(digests)
        held = {each.digest for each in self.tracks(known.values())} if known else set()
        return [id_ for digest, id_ in digests.items() if digest in held]

    def like(self, track: ListedTrack) -> Iterator[int]:
        """The ids of such files with the very fingerprint of a track."""
        return (id_ for id_, each in self._newcomers.items() if each.digest == track.digest)

    def tracks(self, fingerprints: Collection[int]) -> Iterator[ListedTrack]:
        """All files that have these fingerprints, those on their way in too."""
        yield from self.store.catalog.tracks.heard(ListedTrack, fingerprints, PropertiesReader().of)
        yield from (self._newcomers[id_] for id_ in fingerprints if id_ in self._newcomers)

    def pitches_of(self, fingerprint: int) -> Items | None:
        """The same sound at other pitches, `uint32[N_PITCHES, n]`; None if it was not heard so."""
        return self._pitches([fingerprint])[0]

    def items_of(self, fingerprint: int) -> Items:
        """The items of a fingerprint, `uint32[n]`. Raises StoreDamagedError."""
        return self._coming[fingerprint] if fingerprint in self._coming else self.store.items_of(fingerprint)


class _Found(NamedTuple):
    """A pair."""

    match: Match
    is_at_other_pitch: bool


def _take(found: dict[int, _Found], key: int, pair: _Found) -> None:
    known = found.get(key)
    if known is None or (pair.is_at_other_pitch, pair.match.score) > (known.is_at_other_pitch, known.match.score):
        found[key] = pair


def _row(packed: Packed, row: int) -> Items:
    items, offsets = packed.fingerprints
    return items[offsets[row] : offsets[row + 1]]
