"""Which fingerprints are related: the stored pairs that are more than chance, and those that a person called the same,
as they are stored. A match is made of one when somebody asks for it: objects would take ten times the memory."""

from __future__ import annotations

import itertools
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from dedup.correlation.match import Match, evidence_of_records, match_at, without_padding
from dedup.correlation.other_speeds import SAME_SCORE
from dedup.correlation.scoring import Change, Thresholds, Verdict, verdict
from dedup.store.pairs import PAIR, swapped

if TYPE_CHECKING:
    from dedup.settings import CompareSettings
    from dedup.store.results import TileResult
    from dedup.store.store import Store

_TilePairs = tuple[str, str, "npt.NDArray[Any]"]
"""Names of two blocks, and records of PAIR."""

_VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
_UNKNOWN = len(_VERDICTS)

Place = int
"""A stored pair as seen from one of its fingerprints: its number from the first one, `~number` from the second."""


class Related:
    """Pairs of fingerprints, each found from both."""

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self._a, self._b = array("q"), array("q")
        """Ids of the first and the second fingerprint of each pair."""
        self._records = bytearray()
        """A record of PAIR for each, without padding, of which the rows say nothing."""
        self._starts = array("q")
        """Where each record begins."""
        self._verdicts = bytearray()
        """The verdict by sound on each, as its number in `_VERDICTS`; `_UNKNOWN` until somebody asks."""
        self._changes: dict[int, Change] = {}
        """What was confirmed of a pair, by its number."""
        self._at_other_pitch: set[int] = set()
        """Numbers of pairs that agree at one speed and another pitch, which nobody has confirmed."""
        self._as_they_are: set[int] = set()
        """Those of them whose numbers are those of the two as they are."""
        self._ends, self._places = array("q"), array("q")
        """Ids of the fingerprints in order, once for each pair, and the places of these pairs."""
        self.n_of_tiles = 0
        """Number of the pairs that tiles found, the first ones; a person called the others the same."""

    def add(self, found: Found, as_they_are: npt.NDArray[np.bool_] | bool = False) -> None:
        """Adds pairs; of those at another pitch says which have their numbers `as_they_are`. Call `arrange` before
        reading any."""
        a, b, records = found.a, found.b, found.records
        n_before = len(self._a)
        self._at_other_pitch.update((np.flatnonzero(found.at_other_pitch) + n_before).tolist())
        self._as_they_are.update((np.flatnonzero(found.at_other_pitch & as_they_are) + n_before).tolist())
        self._a.extend(a)
        self._b.extend(b)
        for record in without_padding(records):
            self._starts.append(len(self._records))
            self._records += record
        self._verdicts += bytes([_UNKNOWN]) * len(records)

    def arrange(self) -> None:
        """Makes what was added last to be found."""
        n = len(self._a)
        ends = np.concatenate([np.array(self._a, np.int64), np.array(self._b, np.int64)])
        order = np.argsort(ends, kind="stable")
        self._ends = array("q", ends[order].tobytes())
        self._places = array("q", np.where(order < n, order, ~(order - n)).tobytes())

    def __len__(self) -> int:
        return len(self._a)

    def __contains__(self, both: tuple[int, int]) -> bool:
        return self.place_of(*both) is not None

    @property
    def fingerprints(self) -> set[int]:
        """Those that are in a pair."""
        return set(self._ends)

    def of(self, fingerprint: int) -> Iterator[tuple[int, Place]]:
        """The other fingerprint of each pair with this one, and the pair's place as seen from this one."""
        at, ends, places = bisect_left(self._ends, fingerprint), self._ends, self._places
        while at < len(ends) and ends[at] == fingerprint:
            place = places[at]
            yield self._b[place] if place >= 0 else self._a[~place], place
            at += 1

    def all(self) -> Iterator[tuple[int, int, Place]]:
        """Both fingerprints and the place of each pair, once."""
        return zip(self._a, self._b, range(len(self._a)), strict=True)

    def plain(self) -> tuple[Any, ...]:
        """All of it as plain values, for `of_plain`."""
        arrays = self._a, self._b, self._starts
        changes = [(number, *change) for number, change in self._changes.items()]
        return (
            *(each.tobytes() for each in arrays),
            bytes(self._records),
            bytes(self._verdicts),
            changes,
            sorted(self._at_other_pitch),
            sorted(self._as_they_are),
            self.n_of_tiles,
        )

    @classmethod
    def of_plain(cls, plain: tuple[Any, ...], thresholds: Thresholds) -> Related:
        """What `plain` was made of, by the same thresholds."""
        related = cls(thresholds)
        *arrays, records, verdicts, changes, at_other_pitch, as_they_are, related.n_of_tiles = plain
        related._a, related._b, related._starts = (array("q", each) for each in arrays)
        related._records, related._verdicts = bytearray(records), bytearray(verdicts)
        related._changes = {number: Change(*change) for number, *change in changes}
        related._at_other_pitch, related._as_they_are = set(at_other_pitch), set(as_they_are)
        related.arrange()
        return related

    def is_of_no_tile(self, place: Place) -> bool:
        """Whether no tile found a pair: only a person called the two the same."""
        return (place if place >= 0 else ~place) >= self.n_of_tiles

    def place_of(self, one: int, other: int) -> Place | None:
        """The pair of two fingerprints as seen from the first; None if there is none."""
        return next((place for near, place in self.of(one) if near == other), None)

    def match(self, place: Place) -> Match:
        """The numbers of a pair, from the side that the place says."""
        if place < 0:
            return self.match(~place).swapped()
        return match_at(self._records, self._starts[place])

    def change(self, place: Place) -> Change | None:
        """What was changed between the two of a pair, if somebody has found out, as seen from the side that the place
        says."""
        found = self._changes.get(place if place >= 0 else ~place)
        return found.swapped() if found is not None and place < 0 else found

    def is_at_other_pitch(self, place: Place) -> bool:
        """Whether a pair agrees at one speed and another pitch, and nobody has confirmed it: its numbers are those at
        the pitch at which it was found."""
        return (place if place >= 0 else ~place) in self._at_other_pitch

    def confirm(self, place: Place, change: Change, pair: bytes) -> None:
        """Takes in what was confirmed of a pair, and its numbers then if they are better, a record of PAIR as seen from
        the side that the place says; empty if there are none."""
        records = np.frombuffer(pair, PAIR)
        if place < 0:
            place, change, records = ~place, change.swapped(), swapped(records)
        self._changes[place] = change
        self._verdicts[place] = _UNKNOWN
        if place in self._as_they_are and change.kind == "none":
            self._at_other_pitch.discard(place)
        for record in without_padding(records):
            if place in self._at_other_pitch or match_at(record, 0).score >= self.match(place).score:
                self._starts[place] = len(self._records)
                self._records += record
                self._at_other_pitch.discard(place)

    def by_sound(self, place: Place, n_items: int, n_items_other: int) -> Verdict:
        """What two fingerprints with so many items are to each other, by sound alone; found out once."""
        number = place if place >= 0 else ~place
        known = self._verdicts[number]
        if known == _UNKNOWN:
            lengths = (n_items, n_items_other) if place >= 0 else (n_items_other, n_items)
            said = self._changes.get(number), number in self._at_other_pitch
            found = verdict(self.match(number), *lengths, self._thresholds, *said)
            known = self._verdicts[number] = _VERDICTS.index(found)
        return _VERDICTS[known]


def read_related(store: Store, settings: CompareSettings, thresholds: Thresholds) -> Related:
    """The pairs that tiles found in all passes under these settings; if raw agreement decides, in the first alone. What
    two passes found is taken from the one where it agrees better."""
    tiles = [
        [
            (tile.block_a, tile.block_b, _more_than_chance(tile, thresholds, each.stretched))
            for tile in store.catalog.results.with_pairs(each.digest())
        ]
        for each in (settings.passes if thresholds.classic is None else settings.passes[:1])
    ]
    ids, related = _Ids(store, itertools.chain(*tiles)), Related(thresholds)
    found = [Found.of(ids, each, one.stretched) for one, each in zip(settings.passes, tiles, strict=False)]
    for one in found:
        best = one.best_among(found)
        related.add(best, best.agrees_in(found[0]))
    related.arrange()
    related.n_of_tiles = len(related)
    return related


def _more_than_chance(tile: TileResult, thresholds: Thresholds, stretched: bool) -> npt.NDArray[Any]:
    pairs = np.frombuffer(tile.pairs, PAIR)
    least = thresholds.other_speed if stretched else thresholds.related
    return pairs if thresholds.classic is not None else pairs[evidence_of_records(pairs) >= least]


class Found(NamedTuple):
    """The pairs of a pass."""

    a: npt.NDArray[np.int64]
    b: npt.NDArray[np.int64]
    """Ids of the first and the second fingerprint of each."""
    records: npt.NDArray[Any]
    """PAIR."""
    stretched: bool
    """Whether it is that for other speeds and pitches."""

    @classmethod
    def of(cls, ids: _Ids, tiles: Sequence[_TilePairs], stretched: bool) -> Found:
        empty = np.empty(0, np.int64)
        a = [ids.of(block, pairs["row_a"]) for block, _, pairs in tiles]
        b = [ids.of(block, pairs["row_b"]) for _, block, pairs in tiles]
        records = [np.empty(0, PAIR), *(pairs for *_, pairs in tiles)]
        return cls(np.concatenate([empty, *a]), np.concatenate([empty, *b]), np.concatenate(records), stretched)

    def best_among(self, found: Sequence[Found]) -> Found:
        """Those that no other pass has found with a better score, and no earlier one with the same. What was found to
        be of another pitch is that, whatever the score."""
        is_best, is_earlier = np.ones(len(self.a), np.bool_), True
        for other in found:
            if other is self:
                is_earlier = False
                continue
            _, ours, theirs = np.intersect1d(self._pairs, other._pairs, return_indices=True)
            mine, their = self._scores[ours], other._scores[theirs]
            is_best[ours] &= mine > their if is_earlier else mine >= their
            is_best[ours] |= self.at_other_pitch[ours]
            is_best[ours] &= ~other.at_other_pitch[theirs]
        return Found(self.a[is_best], self.b[is_best], self.records[is_best], self.stretched)

    def agrees_in(self, first: Found) -> npt.NDArray[np.bool_]:
        """Which of them the first pass has found to agree as they are."""
        agreeing = first._pairs[(first.records["log_rate"] == 0) & (first._scores >= SAME_SCORE)]
        return np.isin(self._pairs, agreeing)

    @property
    def at_other_pitch(self) -> npt.NDArray[np.bool_]:
        """Which of them agree at one speed and another pitch."""
        found: npt.NDArray[np.bool_] = (self.records["log_rate"] == 0) & self.stretched
        return found

    @property
    def _pairs(self) -> npt.NDArray[np.int64]:
        return np.minimum(self.a, self.b) << 32 | np.maximum(self.a, self.b)

    @property
    def _scores(self) -> npt.NDArray[np.float64]:
        scores: npt.NDArray[np.float64] = np.maximum(self.records["kappa"], self.records["along"])
        return scores


class _Ids:
    """The fingerprints in the rows of blocks that pairs name, each block read once."""

    def __init__(self, store: Store, tiles: Iterable[_TilePairs]) -> None:
        rows: dict[str, list[npt.NDArray[Any]]] = {}
        for block_a, block_b, pairs in tiles:
            rows.setdefault(block_a, []).append(pairs["row_a"])
            rows.setdefault(block_b, []).append(pairs["row_b"])
        self._rows = {block: np.unique(np.concatenate(named)) for block, named in rows.items()}
        self._ids = {block: store.catalog.fingerprints.ids_at(block, named) for block, named in self._rows.items()}

    def of(self, block: str, rows: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Ids of the fingerprints in these rows of a block."""
        return self._ids[block][np.searchsorted(self._rows[block], rows)]
