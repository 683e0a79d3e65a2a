"""Which tracks match which: reads stored pairs of fingerprints, and gives pairs of files."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from dedup.correlation.correlate import last_compare_settings
from dedup.correlation.match import Match, evidence_of_records, identity_match, matches_of
from dedup.correlation.scoring import BESIDE, MERGING, MIN_DISTINCT, Verdict, verdict
from dedup.groups.albums import Albums, albums_of
from dedup.groups.called_same import called_same, numbers_of
from dedup.groups.crowds import MANY, few
from dedup.groups.judgements import Judgements, content
from dedup.groups.thresholds import thresholds
from dedup.library.metadata import AudioProperties, PropertiesReader
from dedup.settings import CompareSettings, MatchSettings
from dedup.store.audios import measured_bitrate
from dedup.store.nulltests import NullTest
from dedup.store.pairs import PAIR
from dedup.store.tracks import HeardTrack

if TYPE_CHECKING:
    from dedup.store.results import TileResult
    from dedup.store.store import Store


@dataclass(frozen=True, slots=True)
class ListedTrack(HeardTrack):
    """A track with a fingerprint, with everything that a report says about it."""

    properties: AudioProperties = field(hash=False)

    @property
    def seconds(self) -> float:
        """Length: what decoding gave, or if that is unknown, what the headers say; 0 if they say nothing."""
        return self.properties.duration_s if self.decoded_s is None else self.decoded_s

    @property
    def bitrate(self) -> int:
        """Bits per second: packets by decoded length, or if that is unknown, what the headers say; 0 if nothing."""
        measured = measured_bitrate(self.decoded_s, self.n_bytes)
        return self.properties.bitrate if measured is None else measured

    @property
    def faults(self) -> str:
        """What is wrong with its sound: damage, channels that cancel; empty if nothing is."""
        return "; ".join(filter(None, (self.damage, "channels cancel" if self.cancels else None)))

    @property
    def content(self) -> bytes:
        """16 bytes that identify what it holds (`judgements.content`)."""
        return content(self.stream, self.digest)

    @property
    def kind(self) -> tuple[bytes, int | None, str, str | None, bool]:
        """What decides, besides sound and the very file, how it relates to others."""
        return self.content, self.audio, self.key, self.damage, self.has_picture

    @property
    def has_picture(self) -> bool:
        """Whether it has a moving picture."""
        return any(stream.kind == "picture" for stream in self.properties.streams)


class Derived(Protocol):
    """What follows from the pairs of tracks."""

    def renew(self, tracks: Sequence[ListedTrack]) -> None:
        """Takes in that these tracks, which relate to no others, now are something else to each other."""


Holding = Mapping[int, Collection[ListedTrack]]
"""Tracks by fingerprint."""


class TrackPair(NamedTuple):
    """Two tracks and how they relate; the lag is positive if `a` has more at the start."""

    a: ListedTrack
    b: ListedTrack
    match: Match
    verdict: Verdict
    judged: bool = False
    """Whether a person judged the pair."""
    test: NullTest | None = None
    """Null test of the two; None if there is none of what they hold now."""

    def swapped(self) -> TrackPair:
        """The same pair with its two sides swapped."""
        test = self.test.swapped() if self.test else None
        return TrackPair(self.b, self.a, self.match.swapped(), self.verdict, self.judged, test)

    @property
    def lag_s(self) -> float:
        """Seconds that `a` has in front of what they share, more than `b`: to the sample if a null test was made."""
        return self.test.lag_s if self.test is not None and self.test.is_made else self.match.lag_s


class Matches:
    """All pairs of tracks that are related under `settings`. Reads stored pairs, and compares only tracks that a person
    called the same, no tile found, and nobody has compared yet (`called_same`). Its results depend on the tracks, the
    settings and the judgements alone, not on blocks, tiles, ids or the order in which tracks arrived."""

    def __init__(self, store: Store, settings: MatchSettings, compare: CompareSettings | None = None) -> None:
        compare = compare or last_compare_settings(store)
        self.settings = settings
        self.thresholds = thresholds(store, settings)
        self._albums: Albums | None = None
        self._judgements = Judgements(store)
        self._tests = _null_tests(store)
        self.neighbours: dict[int, list[tuple[int, Match]]] = {}
        self.derived: dict[Any, Derived] = {}
        """What others made of these pairs and want again, until tests are read anew."""
        self._heard_as: dict[tuple[int, int], Verdict] = {}
        """Verdicts on two fingerprints by sound, which each pair of their tracks asks for several times."""
        self._read_pairs(store, compare)
        self._add_judged(store, compare)
        self.tracks = self._read_tracks(store)
        """Tracks that may match another, by path."""
        self.by_fingerprint: dict[int, list[ListedTrack]] = {}
        for track in self.tracks:
            self.by_fingerprint.setdefault(track.fingerprint, []).append(track)

    @property
    def judgements(self) -> Judgements:
        """Judgements as of the construction, or of the last call of `renew_judgements`."""
        return self._judgements

    def renew_judgements(self, store: Store) -> None:
        """Reads the current judgements. The pairs stay: two tracks that a person has called the same since, and that no
        tile found, do not become a pair until all matches are read again. What was derived from the pairs is renewed
        for the tracks that a changed judgement can concern."""
        said, self._judgements = self._judgements.said, Judgements(store)
        changed = {each for both, _ in said.items() ^ self._judgements.said.items() for each in both}
        if changed and self.derived:
            tracks = self._related_to({track.fingerprint for track in self.tracks if track.content in changed})
            for each in self.derived.values():
                each.renew(tracks)

    def _related_to(self, fingerprints: set[int]) -> list[ListedTrack]:
        """The tracks with these fingerprints and all that relate to them, to these, and so on; by path."""
        found, left = set(fingerprints), list(fingerprints)
        while left:
            left += (near := {other for other, _ in self.neighbours.get(left.pop(), ())} - found)
            found |= near
        return [track for track in self.tracks if track.fingerprint in found]

    def renew_tests(self, store: Store) -> None:
        """Reads the current null tests."""
        self._tests = _null_tests(store)
        self.derived.clear()

    def albums(self, store: Store) -> Albums:
        """The releases in the folders of the tracks, read from the store once."""
        if self._albums is None:
            self._albums = albums_of(store, self.tracks)
        return self._albums

    def _read_pairs(self, store: Store, compare: CompareSettings) -> None:
        tiles = [
            (tile.block_a, tile.block_b, self._related(tile))
            for tile in store.catalog.results.with_pairs(compare.digest())
        ]
        ids = _Ids(store, tiles)
        for block_a, block_b, pairs in tiles:
            ids_a, ids_b = ids.of(block_a, pairs["row_a"]), ids.of(block_b, pairs["row_b"])
            for a, b, match in zip(ids_a, ids_b, matches_of(pairs), strict=True):
                self._add(a, b, match)

    def _related(self, tile: TileResult) -> npt.NDArray[Any]:
        """The pairs of a tile that are more than chance."""
        pairs = np.frombuffer(tile.pairs, PAIR)
        return (
            pairs
            if self.thresholds.classic is not None
            else pairs[evidence_of_records(pairs) >= self.thresholds.related]
        )

    def _add(self, a: int, b: int, match: Match) -> None:
        self.neighbours.setdefault(a, []).append((b, match))
        self.neighbours.setdefault(b, []).append((a, match.swapped()))

    def _add_judged(self, store: Store, compare: CompareSettings) -> None:
        """Adds pairs that a person called the same and that no tile found."""
        if not any(self.judgements.said.values()):
            return
        found = {frozenset((a, b)) for a, others in self.neighbours.items() for b, _ in others}
        missing = [pair for pair in dict.fromkeys(called_same(store)) if frozenset(pair.ids) not in found]
        for pair, match in zip(missing, numbers_of(store, missing, compare), strict=True):
            self._add(pair.a, pair.b, match)

    def _read_tracks(self, store: Store) -> list[ListedTrack]:
        wanted = self.neighbours.keys() | store.catalog.fingerprints.shared()
        tracks = store.catalog.tracks.heard(ListedTrack, wanted, PropertiesReader().of)
        return sorted(tracks, key=lambda track: track.path)

    def of(self, track: ListedTrack, among: Holding | None = None) -> Iterator[TrackPair]:
        """The pairs of one track, by the other's path; only those with tracks that `among` holds, by fingerprint, if it
        is given."""
        held = self.by_fingerprint if among is None else among
        twins = [other for other in held.get(track.fingerprint, ()) if other is not track]
        found = [self._pair(track, other, None) for other in twins]
        for fingerprint, match in self.neighbours.get(track.fingerprint, ()):
            found += [self._pair(track, other, match) for other in held.get(fingerprint, ())]
        found.sort(key=lambda pair: pair.b.path)
        return (pair for pair in found if pair.verdict != "other")

    def of_path(self, path: bytes) -> Iterator[TrackPair]:
        """The pairs of the track at this path; none if there is no track that may match another."""
        track = self.track_at(path)
        return self.of(track) if track is not None else iter(())

    def track_at(self, path: bytes) -> ListedTrack | None:
        """The track at this path; None if there is none that may match another."""
        at = bisect.bisect_left(self.tracks, path, key=lambda track: track.path)
        return self.tracks[at] if at < len(self.tracks) and self.tracks[at].path == path else None

    def pairs(self) -> Iterator[TrackPair]:
        """Every pair once, `a` before `b` by path, sorted by both: the same bytes whatever the blocks were."""
        for track in self.tracks:
            for pair in self.of(track):
                if pair.a.path < pair.b.path:
                    yield pair

    def beside(self, stands_for: Callable[[ListedTrack], bytes | None] = lambda track: track.path) -> list[TrackPair]:
        """The pairs that never merge, best evidence first; `a` is the shorter track: the part, for an excerpt.

        Tracks of which `stands_for` says the same need only one pair with another, and those of which it says None
        none: of thousands of files with one sound, and as many with another, not each two are told."""
        found = []
        for fingerprint, others in self.neighbours.items():
            for neighbour, match in others:
                one = list(filter(stands_for, self.by_fingerprint.get(fingerprint, ())))
                other = list(filter(stands_for, self.by_fingerprint.get(neighbour, ())))
                one, other = few(one, other, lambda track: (stands_for(track), *track.kind))
                for a in one:
                    for b in other:
                        if (a.n_items, a.path) < (b.n_items, b.path):
                            pair = self._pair(a, b, match)
                            found += [pair] if pair.verdict in BESIDE else []
        return sorted(found, key=lambda pair: (-pair.match.evidence, pair.a.path, pair.b.path))

    def count_pairs(self) -> Counter[Verdict]:
        """The number of pairs: those that merge as "same recording", the others by verdict. Does not make each pair: a
        thousand copies of one file have half a million."""
        counts: Counter[Verdict] = Counter()
        for tracks in self.by_fingerprint.values():
            if len(tracks) > MANY and self._all_alike(tracks) and tracks[0].n_distinct >= MIN_DISTINCT:
                counts["same recording"] += len(tracks) * (len(tracks) - 1) // 2
            else:
                counts.update(_counted(self._pair(a, b, None)) for a, b in itertools.combinations(tracks, 2))
        for a, others in self.neighbours.items():
            for b, match in others:
                if a < b:
                    self._count_between(self.by_fingerprint.get(a, []), self.by_fingerprint.get(b, []), match, counts)
        del counts["other"]
        return counts

    def _count_between(
        self, one: list[ListedTrack], other: list[ListedTrack], match: Match, counts: Counter[Verdict]
    ) -> None:
        if len(one) * len(other) > MANY and self._all_alike([*one, *other]):
            by_sound = verdict(match, one[0].n_items, other[0].n_items, self.thresholds)
            if by_sound in MERGING and min(one[0].n_distinct, other[0].n_distinct) >= MIN_DISTINCT:
                counts["same recording"] += len(one) * len(other)
                return
        counts.update(_counted(self._pair(a, b, match)) for a in one for b in other)

    def _all_alike(self, tracks: list[ListedTrack]) -> bool:
        """Whether nothing except sound decides what these tracks are to each other."""
        if any(track.has_picture for track in tracks):
            return False
        if not (self.judgements.said or self._tests):
            return True
        contents = sorted({track.content for track in tracks})
        pairs = itertools.combinations_with_replacement(contents, 2)
        return len(contents) <= MANY and not any(pair in self.judgements.said or pair in self._tests for pair in pairs)

    def _pair(self, a: ListedTrack, b: ListedTrack, match: Match | None) -> TrackPair:
        """How two tracks relate; `match` is None for tracks with the same fingerprint."""
        one, other = a.content, b.content
        judged, test = self.judgements.of_contents(one, other), self._test(one, other)
        numbers = match or identity_match(a.n_items, a.n_distinct)
        return TrackPair(a, b, numbers, self._verdict(a, b, match, judged, test), judged is not None, test)

    def _test(self, one: bytes, other: bytes) -> NullTest | None:
        if one <= other:
            return self._tests.get((one, other))
        found = self._tests.get((other, one))
        return found.swapped() if found else None

    def _verdict(
        self, a: ListedTrack, b: ListedTrack, match: Match | None, judged: bool | None, test: NullTest | None
    ) -> Verdict:
        found = _by_file(a, b)
        if found is not None:
            return found
        if judged is not False and (a.audio == b.audio or _is_same_stream(a, b, match is None)):
            found = "same audio"
        elif judged is not None:
            return "same recording" if judged else "other"
        else:
            found = self._by_sound(a, b, match)
            if found == "same recording" and test is not None:
                found = heard(test)
        return "same audio, picture not compared" if found in MERGING and (a.has_picture or b.has_picture) else found

    def _by_sound(self, a: ListedTrack, b: ListedTrack, match: Match | None) -> Verdict:
        if min(a.n_distinct, b.n_distinct) < MIN_DISTINCT:
            return "other"
        if match is None:
            return "same recording"
        both = (a.fingerprint, b.fingerprint) if a.fingerprint < b.fingerprint else (b.fingerprint, a.fingerprint)
        found = self._heard_as.get(both)
        if found is None:
            found = self._heard_as[both] = verdict(match, a.n_items, b.n_items, self.thresholds)
        return found


def heard(test: NullTest) -> Verdict:
    """What two tracks that agree like copies are to each other, by their null test."""
    if test.is_made and test.is_other_mix:
        return "another mix"
    return "overlapping" if test.is_made and test.only_a and test.only_b else "same recording"


def _null_tests(store: Store) -> dict[tuple[bytes, bytes], NullTest]:
    """All null tests, by the two contents, the lower first."""
    return {(a, b): test for a, b, test in store.catalog.nulltests.all()}


def _by_file(a: ListedTrack, b: ListedTrack) -> Verdict | None:
    """How two tracks relate as files, whatever they contain; None if they are different files."""
    if a.state == b.state == "present" and (a.device, a.inode) == (b.device, b.inode):
        return "same file"
    return "identical file" if a.full is not None and a.full == b.full else None


def _counted(pair: TrackPair) -> Verdict:
    return "same recording" if pair.verdict in MERGING else pair.verdict


def _is_same_stream(a: ListedTrack, b: ListedTrack, same_items: bool) -> bool:
    """Whether the encoded streams are the same, or both are sound FLACs of the same samples."""
    if a.stream is not None and a.stream == b.stream:
        return True
    lossless_same = a.key == b.key and a.key.startswith("flac-md5|")
    return same_items and lossless_same and a.damage is None and b.damage is None


class _Ids:
    """The fingerprints in the rows of blocks that pairs name, each block read once."""

    def __init__(self, store: Store, tiles: Sequence[tuple[str, str, npt.NDArray[Any]]]) -> None:
        rows: dict[str, list[npt.NDArray[Any]]] = {}
        for block_a, block_b, pairs in tiles:
            rows.setdefault(block_a, []).append(pairs["row_a"])
            rows.setdefault(block_b, []).append(pairs["row_b"])
        self._rows = {block: np.unique(np.concatenate(named)) for block, named in rows.items()}
        self._ids = {block: store.catalog.fingerprints.ids_at(block, named) for block, named in self._rows.items()}

    def of(self, block: str, rows: npt.NDArray[Any]) -> list[int]:
        """Ids of the fingerprints in these rows of a block."""
        found: list[int] = self._ids[block][np.searchsorted(self._rows[block], rows)].tolist()
        return found
