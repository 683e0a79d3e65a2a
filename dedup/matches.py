"""Which tracks match which, read from the store: stored pairs of fingerprints, seen as pairs of files."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from dedup.correlation.correlate import last_compare_settings
from dedup.correlation.scoring import MIN_DISTINCT, PAIR, Match, Verdict, identity_match, verdict
from dedup.library.metadata import AudioProperties, from_json, quality
from dedup.settings import CompareSettings, MatchSettings

if TYPE_CHECKING:
    from dedup.store.store import Store


@dataclass(frozen=True)
class ListedTrack:
    """A track with a fingerprint, with all that a report says of it; fields as in `catalog.Track` and `Audio`."""

    path: bytes
    state: Literal["present", "absent", "imported"]
    size: int
    device: int
    inode: int
    full: bytes | None
    audio: int
    stream: bytes | None
    key: str
    damage: str | None
    fingerprint: int
    """Id; tracks that sound alike to the last bit share one."""
    n_items: int
    n_distinct: int
    """Different items, silence not counted."""
    properties_json: str

    @property
    def properties(self) -> AudioProperties:
        """Read anew each time: kept, those of a large library would be most of the memory that a report takes."""
        return from_json(json.loads(self.properties_json))

    @cached_property
    def rank(self) -> tuple[Any, ...]:
        """Sorts better copies first: undamaged, then by `metadata.quality`, then by path."""
        better = quality(self.properties, self.size)
        return (self.damage is not None, *(-number for number in better), self.path)


_LISTED = """
    SELECT track.path, track.state, track.size, track.device, track.inode, track.full, audio.id, audio.stream,
           audio.key, audio.damage, fingerprint.id, fingerprint.n_items, fingerprint.n_distinct, track.properties
    FROM fingerprint JOIN audio ON audio.fingerprint = fingerprint.id JOIN track ON track.audio = audio.id
    WHERE fingerprint.id IN (SELECT value FROM json_each(?))
"""

_SHARED = """
    SELECT audio.fingerprint FROM track JOIN audio ON audio.id = track.audio
    GROUP BY audio.fingerprint HAVING COUNT(*) > 1
"""


@dataclass(frozen=True)
class TrackPair:
    """Two tracks and what they are to each other; the lag is positive where `a` has more in front."""

    a: ListedTrack
    b: ListedTrack
    match: Match
    verdict: Verdict


class Matches:
    """All pairs of tracks that match under `settings`. Reads stored pairs; compares nothing. What it gives depends on
    the tracks and settings alone: not on blocks, tiles, ids or the order in which tracks came."""

    def __init__(self, store: Store, settings: MatchSettings, compare: CompareSettings | None = None) -> None:
        self.settings = settings
        self.neighbours: dict[int, list[tuple[int, Match]]] = {}
        self._read_pairs(store, compare or last_compare_settings(store))
        self.tracks = self._read_tracks(store)
        """Tracks that may match another, by path."""
        self.by_fingerprint: dict[int, list[ListedTrack]] = {}
        for track in self.tracks:
            self.by_fingerprint.setdefault(track.fingerprint, []).append(track)

    def _read_pairs(self, store: Store, compare: CompareSettings) -> None:
        fingerprints = _Fingerprints(store)
        for tile in store.catalog.tiles(compare.digest()):
            pairs = np.frombuffer(tile.pairs, PAIR)
            pairs = pairs[pairs["score"] >= self.settings.min_score]
            ids_a = fingerprints.of(tile.block_a)[pairs["row_a"]].tolist()
            ids_b = fingerprints.of(tile.block_b)[pairs["row_b"]].tolist()
            for a, b, numbers in zip(ids_a, ids_b, pairs[list(_NUMBERS)].tolist(), strict=True):
                match = Match(*numbers)
                self.neighbours.setdefault(a, []).append((b, match))
                self.neighbours.setdefault(b, []).append((a, match.swapped()))

    def _read_tracks(self, store: Store) -> list[ListedTrack]:
        execute = store.catalog.connection.execute
        wanted = self.neighbours.keys() | {row[0] for row in execute(_SHARED)}
        tracks = [ListedTrack(*row) for row in execute(_LISTED, (json.dumps(sorted(wanted)),))]
        return sorted(tracks, key=lambda track: track.path)

    def of(self, track: ListedTrack) -> Iterator[TrackPair]:
        """Every match of one track, by the other's path."""
        found = [TrackPair(track, other, *self._between(track, other, None)) for other in self._twins(track)]
        for fingerprint, match in self.neighbours.get(track.fingerprint, ()):
            for other in self.by_fingerprint.get(fingerprint, ()):
                found.append(TrackPair(track, other, *self._between(track, other, match)))
        found.sort(key=lambda pair: pair.b.path)
        return (pair for pair in found if pair.verdict != "other")

    def pairs(self) -> Iterator[TrackPair]:
        """Every match once, `a` before `b` by path, sorted by both: the same bytes whatever the blocks were."""
        for track in self.tracks:
            for pair in self.of(track):
                if pair.a.path < pair.b.path:
                    yield pair

    def count_pairs(self) -> int:
        """How many pairs there are, without making each: a thousand copies of one file are half a million."""
        among_twins = sum(self._count_twins(tracks) for tracks in self.by_fingerprint.values())
        between = 0
        for a, others in self.neighbours.items():
            for b, match in others:
                if a < b:
                    between += self._count_between(
                        self.by_fingerprint.get(a, []), self.by_fingerprint.get(b, []), match
                    )
        return among_twins + between

    def _count_twins(self, tracks: list[ListedTrack]) -> int:
        if tracks[0].n_distinct >= MIN_DISTINCT:
            return len(tracks) * (len(tracks) - 1) // 2
        pairs = itertools.combinations(tracks, 2)
        return sum(self._between(a, b, None)[1] != "other" for a, b in pairs)

    def _count_between(self, one: list[ListedTrack], other: list[ListedTrack], match: Match) -> int:
        if one and other and self._between(one[0], other[0], match)[1] in ("same recording", "contained"):
            return len(one) * len(other)  # judged by sound, which all tracks of a fingerprint share
        return sum(self._between(a, b, match)[1] != "other" for a in one for b in other)

    def excerpts(self) -> Iterator[TrackPair]:
        """The pairs of which one track is a part of the other, by path, the part as `a`."""
        found = []
        for fingerprint, others in self.neighbours.items():
            for a in self.by_fingerprint.get(fingerprint, ()):
                for neighbour, match in others:
                    for b in self.by_fingerprint.get(neighbour, ()):
                        if a.n_items < b.n_items and self._between(a, b, match)[1] == "contained":
                            found.append(TrackPair(a, b, match, "contained"))
        return iter(sorted(found, key=lambda pair: (pair.a.path, pair.b.path)))

    def _twins(self, track: ListedTrack) -> list[ListedTrack]:
        return [other for other in self.by_fingerprint[track.fingerprint] if other is not track]

    def _between(self, a: ListedTrack, b: ListedTrack, match: Match | None) -> tuple[Match, Verdict]:
        """What two tracks are to each other; `match` is None for tracks of one fingerprint."""
        same = match or identity_match(a.n_items)
        if a.state == b.state == "present" and (a.device, a.inode) == (b.device, b.inode):
            return same, "same file"
        if a.full is not None and a.full == b.full:
            return same, "identical file"
        if a.audio == b.audio or _is_same_stream(a, b, match is None):
            return same, "same audio"
        if min(a.n_distinct, b.n_distinct) < MIN_DISTINCT:
            return same, "other"
        if match is None:
            return same, "same recording"
        return match, verdict(match, a.n_items, b.n_items, self.settings)


def _is_same_stream(a: ListedTrack, b: ListedTrack, same_items: bool) -> bool:
    """Whether the encoded streams are the same, or both are sound FLACs of the same samples."""
    if a.stream is not None and a.stream == b.stream:
        return True
    lossless_same = a.key == b.key and a.key.startswith("flac-md5|")
    return same_items and lossless_same and a.damage is None and b.damage is None


_NUMBERS = ("lag", "overlap", "errors", "score", "prominence")
"""Fields of `PAIR` that are those of `Match`, in its order."""


class _Fingerprints:
    """Which fingerprint is in which row: asked for only of blocks that have pairs, 8 bytes a row."""

    def __init__(self, store: Store) -> None:
        self._connection = store.catalog.connection
        self._of_block: dict[str, npt.NDArray[np.int64]] = {}

    def of(self, block: str) -> npt.NDArray[np.int64]:
        """Ids of a block's fingerprints, by row."""
        if block not in self._of_block:
            rows = self._connection.execute("SELECT id FROM fingerprint WHERE block = ? ORDER BY row", (block,))
            self._of_block[block] = np.array([row[0] for row in rows], np.int64)
        return self._of_block[block]
