"""Which tracks match which: reads stored pairs of fingerprints, and gives pairs of files."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, get_args

import numpy as np

from dedup.correlation.correlate import last_compare_settings
from dedup.correlation.match import Match, identity_match
from dedup.correlation.scoring import BESIDE, MERGING, MIN_DISTINCT, Change, Thresholds, Verdict
from dedup.groups.albums import Albums, albums_of
from dedup.groups.called_same import called_same, records_of
from dedup.groups.crowds import MANY, few
from dedup.groups.judgements import Judgements, content
from dedup.groups.null_tests import NullTests
from dedup.groups.related import Found, Place, Related, read_related
from dedup.groups.thresholds import thresholds
from dedup.groups.verdicts import is_same_stream, length, verdict_of
from dedup.library.metadata import AudioProperties, PropertiesReader
from dedup.servers.attention import NOBODY
from dedup.settings import CompareSettings, MatchSettings
from dedup.store.audios import measured_bitrate
from dedup.store.judgements import CONTENT_BYTES
from dedup.store.nulltests import NullTest
from dedup.store.pairs import PAIR
from dedup.store.tracks import HeardTrack

if TYPE_CHECKING:
    from dedup.store.store import Store


class ListedTrack(HeardTrack[AudioProperties]):
    """A track with a fingerprint, with everything that a report says about it."""

    __slots__ = ()

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
        streams = self.properties.streams
        return bool(streams) and any(stream.kind == "picture" for stream in streams)


class Derived(Protocol):
    """What follows from the pairs of tracks."""

    def renew(self, tracks: Sequence[ListedTrack]) -> None:
        """Takes in that these tracks, which relate to no others, now are something else to each other."""


RELATED = frozenset(get_args(Verdict)) - {"other"}
"""Verdicts on tracks that have to do with each other."""

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
    change: Change | None = None
    """What was changed between the two, if that was confirmed."""

    def swapped(self) -> TrackPair:
        """The same pair with its two sides swapped."""
        test = self.test.swapped() if self.test else None
        change = self.change.swapped() if self.change else None
        return TrackPair(self.b, self.a, self.match.swapped(), self.verdict, self.judged, test, change)

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
        limits = thresholds(store, settings)
        self._judgements = Judgements(store)
        related = read_related(store, compare, limits)
        tracks = self._read_tracks(store, compare, related)
        self._begin(settings, limits, self._judgements, NullTests(store), related, tracks)
        self.take_in_confirmed(store)

    @classmethod
    def again(cls, *parts: Any) -> Matches:
        """Matches that were read before, of the arguments of `_begin`."""
        matches = cls.__new__(cls)
        matches._begin(*parts)
        return matches

    def _begin(
        self,
        settings: MatchSettings,
        limits: Thresholds,
        judgements: Judgements,
        tests: NullTests,
        related: Related,
        tracks: list[ListedTrack],
    ) -> None:
        self.settings, self.thresholds = settings, limits
        self.known_albums: Albums | None = None
        """What `albums` gives, once somebody has asked."""
        self.listeners = NOBODY
        """What listeners did with the files, as whoever made groups of these matches last has read it."""
        self._judgements, self._tests = judgements, tests
        self.derived: dict[Any, Derived] = {}
        """What others made of these pairs and want again."""
        self.related = related
        """The pairs of fingerprints."""
        self.tracks = tracks
        """Tracks that may match another, by path."""
        self.by_fingerprint: dict[int, list[ListedTrack]] = {}
        for track in tracks:
            self.by_fingerprint.setdefault(track.fingerprint, []).append(track)

    def take_in_confirmed(self, store: Store) -> None:
        """Reads what was confirmed of copies at another speed or pitch, and renews what that concerns."""
        if self.settings.classic is not None:
            return
        ids = {tracks[0].digest: fingerprint for fingerprint, tracks in self.by_fingerprint.items()}
        said = {
            (ids[each.digest_a], ids[each.digest_b]): each
            for each in store.catalog.comparisons.confirmed()
            if each.digest_a in ids and each.digest_b in ids
        }
        changed: set[int] = set()
        for first, second, place in self.related.all() if said else ():
            for both, seen in (((first, second), place), ((second, first), ~place)):
                found = said.get(both)
                if found is not None and self.related.change(seen) is None:
                    self.related.confirm(seen, Change(found.kind, found.pitch), found.pair)
                    changed.update(both)
        self._renew_derived(changed)

    def _read_tracks(self, store: Store, compare: CompareSettings, related: Related) -> list[ListedTrack]:
        """Reads the tracks; adds the pairs of those that a person called the same and that no tile found."""
        called = [both for both, is_same in self._judgements.said.items() if is_same]
        contents = set(itertools.chain.from_iterable(called))
        shared = store.catalog.fingerprints.shared()
        wanted = related.fingerprints | shared | store.catalog.audios.fingerprints_holding(contents)
        tracks = list(store.catalog.tracks.heard(ListedTrack, wanted, PropertiesReader().of))
        if called:
            holding = {(t.content, t.digest, t.fingerprint) for t in tracks if t.content in contents}
            missing = [pair for pair in called_same(called, holding) if pair.ids not in related]
            for pair, record in zip(missing, records_of(store, missing, compare), strict=True):
                ids = np.array([[pair.a], [pair.b]], np.int64)
                related.add(Found(ids[0], ids[1], np.frombuffer(record, PAIR), stretched=False))
            related.arrange()
            wanted = related.fingerprints | shared
            tracks = [track for track in tracks if track.fingerprint in wanted]
        return sorted(tracks, key=lambda track: track.path)

    @property
    def judgements(self) -> Judgements:
        """Judgements as of the construction, or of the last call of `renew_judgements`."""
        return self._judgements

    def renew_judgements(self, store: Store) -> int:
        """Reads the current judgements and takes them as `take_judgements` does."""
        return self.take_judgements(Judgements(store))

    def take_judgements(self, judgements: Judgements) -> int:
        """Takes the current judgements; returns the number of contents that a changed one is about. The pairs stay: two
        tracks that a person has called the same since, and that no tile found, do not become a pair until all matches
        are read again. What was derived from the pairs is renewed for the tracks that a changed judgement can
        concern."""
        said, self._judgements = self._judgements.said, judgements
        return self._renew_about({each for both, _ in said.items() ^ self._judgements.said.items() for each in both})

    def _renew_about(self, changed: Collection[bytes]) -> int:
        """Renews what was derived for the tracks that something else about these contents can concern; returns their
        number."""
        self._renew_derived({track.fingerprint for track in self.tracks if track.content in changed} if changed else ())
        return len(changed)

    def _renew_derived(self, fingerprints: Collection[int]) -> None:
        if fingerprints and self.derived:
            tracks = self._related_to(set(fingerprints))
            for each in self.derived.values():
                each.renew(tracks)

    def _related_to(self, fingerprints: set[int]) -> list[ListedTrack]:
        """The tracks with these fingerprints and all that relate to them, to these, and so on; by path."""
        found = self._family(fingerprints)
        return [track for track in self.tracks if track.fingerprint in found]

    def _family(self, fingerprints: Iterable[int]) -> set[int]:
        """These fingerprints and all that relate to them, to these, and so on."""
        found, left = set(fingerprints), list(fingerprints)
        while left:
            for near, _ in self.related.of(left.pop()):
                if near not in found:
                    found.add(near)
                    left.append(near)
        return found

    def families(self, tracks: Sequence[ListedTrack] | None = None) -> Iterator[list[ListedTrack]]:
        """The tracks, or some that relate to no others, in parts that do not relate to one another."""
        seen: set[int] = set()
        for track in self.tracks if tracks is None else tracks:
            if track.fingerprint not in seen:
                family = self._family([track.fingerprint])
                seen |= family
                yield [each for fingerprint in family for each in self.by_fingerprint.get(fingerprint, ())]

    def renew_tests(self, store: Store) -> int:
        """Reads the current null tests, and renews as `renew_judgements` does."""
        texts, self._tests = self._tests.texts, NullTests(store)
        changed = (both for both, _ in texts.items() ^ self._tests.texts.items())
        return self._renew_about({each for both in changed for each in (both[:CONTENT_BYTES], both[CONTENT_BYTES:])})

    @property
    def tests(self) -> NullTests:
        """Null tests as of the construction, or of the last call of `renew_tests`."""
        return self._tests

    def albums(self, store: Store) -> Albums:
        """The releases in the folders of the tracks, read from the store once."""
        if self.known_albums is None:
            self.known_albums = albums_of(store, self.tracks)
        return self.known_albums

    def of(
        self, track: ListedTrack, among: Holding | None = None, verdicts: Collection[Verdict] = RELATED
    ) -> Iterator[TrackPair]:
        """The pairs of one track with these verdicts, by the other's path; only those with tracks that `among` holds,
        by fingerprint, if it is given."""
        others = self._others(track, self.by_fingerprint if among is None else among)
        return (pair for other, place in others if (pair := self._pair(track, other, place, verdicts)) is not None)

    def _others(self, track: ListedTrack, held: Holding) -> list[tuple[ListedTrack, Place | None]]:
        """The tracks that may relate to one, by path, each with the place of the pair."""
        others: list[tuple[ListedTrack, Place | None]]
        others = [(other, None) for other in held.get(track.fingerprint, ()) if other is not track]
        others += [
            (other, place)
            for fingerprint, place in self.related.of(track.fingerprint)
            for other in held.get(fingerprint, ())
        ]
        if len(others) > 1:
            others.sort(key=lambda each: each[0].path)
        return others

    def of_path(self, path: bytes) -> Iterator[TrackPair]:
        """The pairs of the track at this path; none if there is no track that may match another."""
        track = self.track_at(path)
        return self.of(track) if track is not None else iter(())

    def track_at(self, path: bytes) -> ListedTrack | None:
        """The track at this path; None if there is none that may match another."""
        return self._by_path.get(path)

    @cached_property
    def _by_path(self) -> dict[bytes, ListedTrack]:
        return {track.path: track for track in self.tracks}

    def pairs(self) -> Iterator[TrackPair]:
        """Every pair once, `a` before `b` by path, sorted by both: the same bytes whatever the blocks were."""
        for track in self.tracks:
            for other, place in self._others(track, self.by_fingerprint):
                if track.path < other.path and (pair := self._pair(track, other, place, RELATED)) is not None:
                    yield pair

    def beside(
        self,
        stands_for: Callable[[ListedTrack], bytes | None] = lambda track: track.path,
        verdicts: Collection[Verdict] = BESIDE,
        are_apart: Callable[[ListedTrack, ListedTrack], bool] | None = None,
    ) -> list[TrackPair]:
        """The pairs that never merge, best evidence first, or some of them by their verdicts; `a` is the shorter track:
        the part, for an excerpt.

        Tracks of which `stands_for` says the same need only one pair with another, and those of which it says None
        none: of thousands of files with one sound, and as many with another, not each two are told. Two that are not
        apart need none either: most pairs are of copies in one group."""
        found = []
        for first, second, place in self.related.all():
            one, other = self.by_fingerprint.get(first, []), self.by_fingerprint.get(second, [])
            if len(one) * len(other) <= MANY:  # most are copies, of which nobody needs to know for what they stand
                if len(one) == len(other) == 1 and are_apart is not None and not are_apart(one[0], other[0]):
                    continue
                both = ((a, b) for a, b in itertools.product(one, other) if are_apart is None or are_apart(a, b))
                if all(self._verdict(a, b, place) not in verdicts for a, b in both):
                    continue
            one, other = list(filter(stands_for, one)), list(filter(stands_for, other))
            one, other = few(one, other, lambda track: (stands_for(track), *track.kind))
            for a, b in itertools.product(one, other):
                shorter, longer, seen = (a, b, place) if length(a) < length(b) else (b, a, ~place)
                pair = self._pair(shorter, longer, seen, verdicts)
                found += [pair] if pair is not None else []
        return sorted(found, key=lambda pair: (-pair.match.evidence, pair.a.path, pair.b.path))

    def count_pairs(self) -> Counter[Verdict]:
        """The number of pairs: those that merge as "same recording", the others by verdict. Does not make each pair: a
        thousand copies of one file have half a million."""
        counts: Counter[Verdict] = Counter()
        for tracks in self.by_fingerprint.values():
            if len(tracks) > MANY and self._all_alike(tracks) and tracks[0].n_distinct >= MIN_DISTINCT:
                counts["same recording"] += len(tracks) * (len(tracks) - 1) // 2
            else:
                counts.update(self._counted(a, b, None) for a, b in itertools.combinations(tracks, 2))
        for first, second, place in self.related.all():
            one, other = self.by_fingerprint.get(first, []), self.by_fingerprint.get(second, [])
            if len(one) * len(other) > MANY and self._all_alike([*one, *other]):
                by_sound = self._by_sound(one[0], other[0], place)
                if by_sound in MERGING:
                    counts["same recording"] += len(one) * len(other)
                    continue
            counts.update(self._counted(a, b, place) for a in one for b in other)
        del counts["other"]
        return counts

    def _counted(self, a: ListedTrack, b: ListedTrack, place: Place | None) -> Verdict:
        found = self._verdict(a, b, place)
        return "same recording" if found in MERGING else found

    def _all_alike(self, tracks: list[ListedTrack]) -> bool:
        """Whether nothing except sound decides what these tracks are to each other."""
        if any(track.has_picture for track in tracks):
            return False
        if not (self.judgements.said or self._tests):
            return True
        contents = sorted({track.content for track in tracks})
        pairs = itertools.combinations_with_replacement(contents, 2)
        return len(contents) <= MANY and not any(pair in self.judgements.said or pair in self._tests for pair in pairs)

    def _pair(
        self, a: ListedTrack, b: ListedTrack, place: Place | None, verdicts: Collection[Verdict]
    ) -> TrackPair | None:
        """How two tracks relate, if it is as one of these verdicts says; `place` is that of their fingerprints, or None
        for tracks with the same one."""
        contents = a.content, b.content
        found = self._verdict(a, b, place, contents)
        return self.pair_of(a, b, place, found) if found in verdicts else None

    def pair_of(self, a: ListedTrack, b: ListedTrack, place: Place | None, found: Verdict) -> TrackPair:
        """The pair of two tracks with this verdict; `place` is that of their fingerprints, or None for tracks with the
        same one."""
        contents = a.content, b.content
        match = identity_match(a.n_items, a.n_distinct) if place is None else self.related.match(place)
        judged, test = self._judgements.of_contents(*contents) is not None, self._tests.of(*contents)
        change = None if place is None else self.related.change(place)
        return TrackPair(a, b, match, found, judged, test, change)

    def _verdict(
        self, a: ListedTrack, b: ListedTrack, place: Place | None, contents: tuple[bytes, bytes] | None = None
    ) -> Verdict:
        is_same_audio = a.audio == b.audio or is_same_stream(a, b, place is None)
        both = contents or (a.content, b.content)
        judged = self._judgements.of_contents(*both)
        return verdict_of(
            a, b, is_same_audio, judged, lambda: self._by_sound(a, b, place), lambda: self._tests.of(*both)
        )

    def _by_sound(self, a: ListedTrack, b: ListedTrack, place: Place | None) -> Verdict:
        if min(a.n_distinct, b.n_distinct) < MIN_DISTINCT:
            return "other"
        return "same recording" if place is None else self.related.by_sound(place, a.n_items, b.n_items)
