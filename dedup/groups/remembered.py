"""Matches and groups that were found before, kept in a file of the user's cache folder: reading and grouping them takes
most of the time of whoever asks for groups. The file says of which catalog it is (`Catalog.state`), by which settings,
and by which program.

A catalog in the same state has these matches. If only judgements or null tests are others, the tracks that they can
concern are grouped again; whatever else has changed, all is read from the catalog. A damaged file holds nothing. So
answers never depend on it, only how long they take."""

from __future__ import annotations

import itertools
import marshal
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from hashlib import blake2b
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from dedup.correlation.scoring import Verdict
from dedup.groups.albums import Albums
from dedup.groups.called_same import called_same
from dedup.groups.going import Going, Goings, all_known, take
from dedup.groups.groups import Group, LatePairs, grouping
from dedup.groups.judgements import Judgements
from dedup.groups.keep import rule_names, rules_of
from dedup.groups.matches import ListedTrack, Matches, TrackPair
from dedup.groups.null_tests import NullTests
from dedup.groups.related import Related
from dedup.groups.thresholds import thresholds
from dedup.library.metadata import AudioProperties, Extra, Stream
from dedup.servers.evidence import digest
from dedup.store.cached import read_cached, write_cached
from dedup.store.catalog import State
from dedup.store.protection import with_protected

if TYPE_CHECKING:
    from dedup.correlation.scoring import Thresholds
    from dedup.groups.keep import KeepRules
    from dedup.settings import KeepSettings, MatchSettings
    from dedup.store.store import Store

LEAST_TRACKS = 2000
"""Tracks that may match another from which on matches are kept: fewer are read and grouped in half a second."""
LEAST_CHANGES = 1000
"""Contents about which something new is said from which on matches are kept again: until then, what is new is taken in
each time."""
MOST_FILES = 4
"""Files that are kept, the last ones."""

TRACKS_AT_ONCE = 1 << 14

_DIGEST_BYTES = 16
_LENGTH = struct.Struct("<Q")
_VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


class Place(NamedTuple):
    """Where matches are kept."""

    folder: Path
    program: str
    """A digest of the program: what another one found is nothing."""


class Remembered:
    """The matches of an open store by some settings, with their groups by others."""

    def __init__(self, store: Store, match: MatchSettings, keep: KeepSettings, place: Place | None) -> None:
        """Nothing is kept if there is no place for it."""
        self._store, self._match = store, match
        self._keep = with_protected(store, keep)
        self._state: State | None = None
        self._file: Path | None = None
        """The file; None if nothing is kept."""
        if place is not None:
            heard = digest(store.layout) if "loved" in rule_names(keep.rules) else ""
            said = (place.program, sys.version, str(store.layout.folder.resolve()), match, self._keep, heard)
            name = blake2b(repr(said).encode("utf-8", "backslashreplace"), digest_size=_DIGEST_BYTES).hexdigest()
            self._file = place.folder / name
        self._path = self._file
        """The file; None if there is nothing to be written."""
        self._goings: set[str] = set()
        """By which settings it says what goes."""

    def matches(self) -> Matches:
        """The matches as the store has them now."""
        if self._path is not None:
            self._state = self._store.catalog.state()
            recalled = self._recalled(self._path, self._state)
            if recalled is not None:
                return recalled
        return Matches(self._store, self._match)

    def keep(self, matches: Matches) -> None:
        """Keeps what `matches` gave, with their groups, unless it is there already or something has been committed
        meanwhile."""
        if self._path is None and all_known(matches, self._keep).keys() - self._goings:
            self._path = self._file
        if self._path is None or self._state is None or len(matches.tracks) < LEAST_TRACKS:
            return
        pieces = list(map(marshal.dumps, self._plain(matches)))
        if self._store.catalog.state() == self._state:
            write_cached(self._path, [_digest(self._path.name, pieces), *_framed(pieces)], MOST_FILES)
        self._path = None

    def keep_at_end(self, matches: Matches) -> None:
        """Keeps `matches` at the end of a run that has held the store since it took them, and has written nothing that
        they come from except what it gave them too: as the store is now, unless a person said something meanwhile."""
        now = self._store.catalog.state() if self._file is not None else None
        if now != self._state:
            if Judgements(self._store).said != matches.judgements.said:
                return
            self._path, self._state = self._file, now
        self.keep(matches)

    def _plain(self, matches: Matches) -> Iterator[Any]:
        """Plain values, piece by piece: all of them at once take as much memory as the matches."""
        rules = rules_of(self._store, matches, self._keep)
        groups, albums = grouping(matches, rules, self._keep).groups(), matches.known_albums
        limits = matches.thresholds
        yield (*(self._state or ()), self._confirmed(), limits.n_tracks, repr(limits))
        yield _plain_groups(matches, groups), _plain_goings(matches, self._keep, groups)
        yield matches.related.plain(), matches.judgements.said, matches.tests.texts
        yield albums.plain() if albums is not None else None
        for start in range(0, len(matches.tracks), TRACKS_AT_ONCE):
            yield _plain_tracks(matches.tracks[start : start + TRACKS_AT_ONCE])

    def _recalled(self, path: Path, state: State) -> Matches | None:
        """What was kept, brought up to date; None if it cannot be."""
        data = memoryview(read_cached(path))
        pieces = _unframed(data[_DIGEST_BYTES:])
        if bytes(data[:_DIGEST_BYTES]) != _digest(path.name, pieces):
            return None
        tracks = map(marshal.loads, pieces)
        head, groups, pairs, albums = itertools.islice(tracks, 4)
        *was, confirmed, n_tracks, told_limits = head
        before = State(*was)
        if before.read != state.read:
            return None
        limits = thresholds(self._store, self._match, n_tracks)
        if told_limits != repr(limits):
            return None
        matches = _matches(self._match, limits, pairs, albums, tracks)
        has_news = before.said != state.said
        judgements = Judgements(self._store) if has_news else matches.judgements
        if has_news and (confirmed != self._confirmed() or self._has_other_pairs(matches, judgements)):
            return None
        rules = rules_of(self._store, matches, self._keep)
        made, going = groups
        self._goings = set(going)
        grouping(matches, rules, self._keep).take(_group(matches, plain, rules) for plain in made)
        _take_goings(matches, self._keep, made, going)
        n_changed = matches.take_judgements(judgements) if has_news else 0
        n_changed += matches.renew_tests(self._store) if before.tests != state.tests else 0
        if n_changed < LEAST_CHANGES:
            self._path = None
        return matches

    def _has_other_pairs(self, matches: Matches, judgements: Judgements) -> bool:
        """Whether what a person now calls the same, or no longer does, makes or unmakes a pair that no tile found."""
        changed = matches.judgements.said.items() ^ judgements.said.items()
        called = [both for both, is_same in changed if is_same]
        holding = self._store.catalog.audios.holding({each for both in called for each in both})
        places = (matches.related.place_of(*pair.ids) for pair in called_same(called, holding))
        return any(place is None or matches.related.is_of_no_tile(place) for place in places)

    def _confirmed(self) -> bytes:
        """A digest of what was confirmed of copies at another speed or pitch: matches have taken it in."""
        return _digest("", [repr(sorted(self._store.catalog.comparisons.confirmed())).encode()])


def _digest(name: str, pieces: Iterable[bytes | memoryview]) -> bytes:
    """Of the content of a file with this name."""
    digest = blake2b(digest_size=_DIGEST_BYTES, key=name.encode())
    for piece in pieces:
        digest.update(_LENGTH.pack(len(piece)))
        digest.update(piece)
    return digest.digest()


def _framed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What a file holds of these pieces: each behind its length."""
    for piece in pieces:
        yield _LENGTH.pack(len(piece))
        yield piece


def _unframed(data: memoryview) -> list[memoryview]:
    """The pieces; some bytes of it if it was damaged."""
    pieces, at = [], 0
    while at + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        pieces.append(data[at + _LENGTH.size : at + _LENGTH.size + length])
        at += _LENGTH.size + length
    return pieces


# ---- as plain values, which `marshal` reads ten times as fast as JSON, and which keep equal ones one object ----


def _values_of(kind: type) -> Any:
    """A function that gives the values of all fields of such a thing as a tuple."""
    return attrgetter(*(each.name for each in fields(kind)))


_stream, _extra = map(_values_of, (Stream, Extra))
_AT_PROPERTIES = ListedTrack._fields.index("properties")
_AT_STREAMS, _AT_EXTRAS = map(AudioProperties._fields.index, ("streams", "extras"))


def _matches(settings: MatchSettings, limits: Thresholds, pairs: Any, albums: Any, tracks: Iterable[Any]) -> Matches:
    related, said, texts = pairs
    matches = Matches.again(
        settings,
        limits,
        Judgements.of_said(said),
        NullTests.of_texts(texts),
        Related.of_plain(related, limits),
        list(itertools.chain.from_iterable(map(_made_tracks, tracks))),
    )
    matches.known_albums = Albums.of_plain(albums) if albums is not None else None
    return matches


def _plain_tracks(tracks: Sequence[ListedTrack]) -> list[Any]:
    """Column by column, which is read in half of the time."""
    columns: list[Any] = list(zip(*tracks, strict=True))
    said = columns[_AT_PROPERTIES] = list(zip(*columns[_AT_PROPERTIES], strict=True))
    said[_AT_STREAMS] = [tuple(map(_stream, each)) for each in said[_AT_STREAMS]]
    said[_AT_EXTRAS] = [tuple(map(_extra, each)) for each in said[_AT_EXTRAS]]
    return columns


def _made_tracks(columns: list[Any]) -> Iterator[ListedTrack]:
    said = columns[_AT_PROPERTIES]
    said[_AT_STREAMS] = (each and tuple(Stream(*values) for values in each) for each in said[_AT_STREAMS])
    said[_AT_EXTRAS] = (each and tuple(Extra(*values) for values in each) for each in said[_AT_EXTRAS])
    columns[_AT_PROPERTIES] = map(AudioProperties._make, zip(*said, strict=True))
    return map(ListedTrack._make, zip(*columns, strict=True))


def _plain_groups(matches: Matches, groups: Iterable[Group]) -> list[tuple[Any, ...]]:
    at = {track.path: number for number, track in enumerate(matches.tracks)}

    def plain(group: Group, pairs: Iterable[TrackPair]) -> list[tuple[Any, ...]]:
        """Of each pair, the other track, the place as seen from the reference, and the verdict."""
        one = group.reference.fingerprint
        places = dict(matches.related.of(one))
        return [(at[p.a.path], places.get(p.a.fingerprint), _VERDICTS.index(p.verdict)) for p in pairs]

    return [(at[group.reference.path], plain(group, group.members), plain(group, group.beside)) for group in groups]


def _group(matches: Matches, plain: tuple[Any, ...], rules: KeepRules) -> Group:
    reference = matches.tracks[plain[0]]

    def pairs(said: Sequence[tuple[Any, ...]]) -> Sequence[TrackPair]:
        def made() -> tuple[TrackPair, ...]:
            others = ((matches.tracks[number], place, _VERDICTS[found]) for number, place, found in said)
            return tuple([matches.pair_of(reference, *each).swapped() for each in others])

        return LatePairs([matches.tracks[number] for number, _, _ in said], made) if said else ()

    return Group(reference, pairs(plain[1]), pairs(plain[2]), rules)


def _plain_goings(matches: Matches, keep: KeepSettings, groups: Sequence[Group]) -> dict[str, list[Any]]:
    """What goes of each group, in their order, by the text of the settings; None of a group if that is not known."""
    return {
        settings: [
            tuple(map(tuple, known)) if (known := goings.known.get(group.reference.path)) else None for group in groups
        ]
        for settings, goings in all_known(matches, keep).items()
    }


def _take_goings(matches: Matches, keep: KeepSettings, groups: Sequence[Any], plain: dict[str, list[Any]]) -> None:
    paths = [matches.tracks[group[0]].path for group in groups]
    for settings, goings in plain.items():
        known = {path: Going(*going) for path, going in zip(paths, goings, strict=True) if going is not None}
        take(matches, keep, settings, Goings(known))
