"""Releases: which album, disc and number a track claims, which albums are complete, and what they would lack. Tags are
compared as people read them: case, width and the spelling of accents do not count."""

from __future__ import annotations

import functools
import json
import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from dedup.store.store import open_for_reading

if TYPE_CHECKING:
    from dedup.store.store import Store
    from dedup.store.tracks import HeardTrack

LEAST_TRACKS = 3
"""An album of fewer tracks is a single, and need not be complete."""

MOST_TRACKS = 999
"""A larger track number is not one: it is a date, or a damaged tag."""

READ_AT_ONCE = 10_000
"""Tracks whose tags one query reads."""

_NUMBER = re.compile(r"\s*(?:(?:disc|disk|cd|track)\s*)?#?\s*0*(\d{1,4})(?:\s*(?:/|of)\s*0*(\d{1,4}))?\s*", re.ASCII)
_DISC_IN_TITLE = re.compile(r"[\s,:-]*[(\[]?\b(?:disc|disk|cd)\s*#?0*(\d{1,3})(?:\s*(?:/|of)\s*\d+)?[)\]]?$", re.ASCII)
_GUEST = re.compile(r"\s+[(\[]?(?:feat\.?|ft\.?|featuring)\s.*$")


class Release(NamedTuple):
    """One disc of one album, by its normalised tags."""

    artist: str
    """Artist of the album; "various artists" for a compilation that names none."""
    album: str
    disc: int


class Position(NamedTuple):
    """The track and release that a file's tags name."""

    release: Release
    number: int | None
    """Track number, 1 or more; None if the tags do not say."""
    total: int | None
    """Number of tracks on the disc; None if the tags do not say."""

    @property
    def slot(self) -> tuple[str, int, int | None]:
        """Album, disc and number, whoever the artist is."""
        return self.release.album, self.release.disc, self.number


def position(tags: Mapping[str, Sequence[str]]) -> Position | None:
    """What the tags say; None for a track that names no album."""
    *of_release, of_number, of_total = [values[0] if values else "" for values in map(tags.get, _NAMES)]
    release = _release(*of_release)
    if release is None:
        return None
    number, total = _numbers(of_number)
    return Position(release, number, total or _numbers(of_total)[0])


_NAMES = ("album", "discnumber", "albumartist", "compilation", "artist", "tracknumber", "tracktotal")
"""Fields that name a release, then those of the number."""


@functools.lru_cache(maxsize=1 << 12)
def _release(album: str, disc: str, albumartist: str, compilation: str, artist: str) -> Release | None:
    """What these tags name together; None if they name no album. The tracks of an album come one after the other."""
    title, disc_in_title = _without_disc(normal(album))
    if not title:
        return None
    named = normal(albumartist)
    if not named and normal(compilation) in ("1", "true", "yes"):
        named = "various artists"
    return Release(named or _GUEST.sub("", normal(artist)), title, _numbers(disc)[0] or disc_in_title or 1)


@functools.lru_cache(maxsize=1 << 16)
def normal(text: str) -> str:
    """The text in lower case, in compatible characters, with one space between words."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split())


def _first(tags: Mapping[str, Sequence[str]], name: str) -> str:
    values = tags.get(name) or ("",)
    return values[0]


def _without_disc(title: str) -> tuple[str, int | None]:
    """The title without "(Disc 2)" at its end, and that disc; a title of nothing else stays whole."""
    found = _DISC_IN_TITLE.search(title)
    if found is None or found.start() == 0:
        return title, None
    return title[: found.start()], int(found[1]) or None


@functools.lru_cache(maxsize=1 << 12)
def _numbers(text: str) -> tuple[int | None, int | None]:
    """Number and total of "3", "03/12", "3 of 12" or "Disc 1"; None for one that is not there."""
    found = _NUMBER.fullmatch(normal(text))
    if found is None:
        return None, None
    number, total = int(found[1]), int(found[2] or 0)
    return (number if 0 < number <= MOST_TRACKS else None), (total if 0 < total <= MOST_TRACKS else None)


# ---- complete releases ----


class _File(NamedTuple):
    """A file whose tags say which track of a release it is."""

    path: bytes
    at: Position
    number: int
    title: str
    """Title of its album, as its tags spell it."""


def _file_of(path: bytes, tags: Mapping[str, Sequence[str]]) -> _File | None:
    """The file with these tags; None if they do not say which track it is."""
    at = position(tags)
    return None if at is None or at.number is None else _File(path, at, at.number, _first(tags, "album"))


@dataclass(slots=True)
class _Disc:
    """The files of one release, in one or several folders."""

    files: list[_File] = field(default_factory=list)
    total: int = 0
    """Number of tracks on the disc, as far as tags show."""

    def add(self, file: _File) -> None:
        self.files.append(file)
        self.total = max(self.total, file.number, file.at.total or 0)

    @property
    def is_complete(self) -> bool:
        return self.total >= LEAST_TRACKS and len({file.number for file in self.files}) == self.total

    def may_be_complete_with(self, n_files: int) -> bool:
        """Whether it may be complete if its folder holds so many files, of which some are not in it yet."""
        return n_files >= max(self.total, LEAST_TRACKS)

    def lacking(self, removed: Set[bytes]) -> list[int]:
        """Track numbers that have no file left once these are removed."""
        gone = {file.number for file in self.files if file.path in removed}
        return sorted(gone - {file.number for file in self.files if file.path not in removed}) if gone else []

    def first(self, number: int) -> bytes:
        """The first path of this track."""
        return min(file.path for file in self.files if file.number == number)


class _Lost(NamedTuple):
    """What a release lacks once some of its files are removed."""

    removed: list[bytes]
    """The paths of these files, sorted."""
    told: dict[bytes, str]
    """As `Albums.lacking` tells it."""


_UNKNOWN = _Lost([], {})


class _Discs(dict[Release, dict[bytes, _Disc]]):
    """The discs of each release by folder; those that were kept are made when somebody asks for them."""

    def __init__(self) -> None:
        self.unmade: dict[Release, Sequence[tuple[bytes, int, int | None, str]]] = {}
        """Path, number, total and title of each file of a release."""

    def __missing__(self, release: Release) -> dict[bytes, _Disc]:
        made: dict[bytes, _Disc] = {}
        for path, number, total, title in self.unmade.pop(release, ()):
            _add(made, _File(path, Position(release, number, total), number, title))
        self[release] = made
        return made

    def all(self) -> Iterable[tuple[Release, dict[bytes, _Disc]]]:
        return [(release, self[release]) for release in (*self, *self.unmade)]


def _add(discs: dict[bytes, _Disc], file: _File) -> None:
    discs.setdefault(_folder(file.path), _Disc()).add(file)


class Others(Protocol):
    """The other files in the folders of some tracks."""

    def count(self, folder: bytes) -> int:
        """Their number in a folder, or more."""

    def read(self) -> Iterable[tuple[bytes, Mapping[str, Sequence[str]]]]:
        """Path and tags of each."""


class Albums:
    """The releases in the folders of some tracks, by the tags of all files there. Those of the other files are read
    when an answer depends on them: reading takes the time."""

    def __init__(
        self, tracks: Iterable[tuple[bytes, Mapping[str, Sequence[str]]]], others: Others | None = None
    ) -> None:
        self._unread = others
        """The other files, until they are read."""
        self._lock = threading.Lock()
        """For whoever asks, since an answer may read."""
        self._discs = _Discs()
        self._release_of: dict[bytes, Release] = {}
        """The release of each track whose tags name one and a number."""
        self._release_of_other: dict[bytes, Release] = {}
        """The same of the other files that were read."""
        self._tracks: set[bytes] = set()
        """All tracks, as long as the other files are not read."""
        self._lost: dict[Release, _Lost] = {}
        """What each release was found to lack."""
        self._n_files: Counter[bytes] = Counter()
        """Number of files in each folder, or more."""
        for path, tags in tracks:
            self._tracks.add(path)
            self._n_files[_folder(path)] += 1
            file = _file_of(path, tags)
            if file is not None:
                self._release_of[path] = file.at.release
                self._add(file)
        if others is not None:
            for folder in self._n_files:
                self._n_files[folder] += others.count(folder)

    def plain(self) -> tuple[Any, ...] | None:
        """All of it as plain values, for `of_plain`; None if the other files are not read."""
        if self._unread is not None:
            return None
        known: dict[Release, list[bytes]] = {}
        for path, release in self._release_of.items():
            known.setdefault(release, []).append(path)
        discs = [
            (
                tuple(release),
                [(f.path, f.number, f.at.total, f.title) for disc in of_folders.values() for f in disc.files],
                known.get(release, []),
                tuple(self._lost.get(release, _UNKNOWN)),
            )
            for release, of_folders in self._discs.all()
        ]
        return discs, dict(self._n_files)

    @classmethod
    def of_plain(cls, plain: tuple[Any, ...]) -> Albums:
        """What `plain` was made of."""
        albums = cls(())
        discs, n_files = plain
        albums._n_files.update(n_files)
        for of_release, files, known, lost in discs:
            release = Release(*of_release)
            albums._lost[release] = _Lost(*lost)
            albums._discs.unmade[release] = files
            albums._release_of.update(dict.fromkeys(known, release))
            if len(files) > len(known):
                others = {path for path, *_ in files}.difference(known)
                albums._release_of_other.update(dict.fromkeys(others, release))
        return albums

    def _add(self, file: _File) -> None:
        _add(self._discs[file.at.release], file)

    def _read_others(self) -> None:
        if self._unread is not None:
            found = [_file_of(path, tags) for path, tags in self._unread.read()]
            self._unread = None
            self._tracks.clear()
            for file in filter(None, found):
                self._release_of_other[file.path] = file.at.release
                self._add(file)

    def is_complete(self, path: bytes) -> bool:
        """Whether the folder of this track holds all tracks of its release."""
        release, folder = self._release_of.get(path), _folder(path)
        if release is None:
            return False
        with self._lock:
            disc = self._discs[release][folder]
            if disc.may_be_complete_with(self._n_files[folder]):
                self._read_others()
            return disc.is_complete

    def around(self, paths: Set[bytes]) -> set[bytes]:
        """The files, as far as they were read, of all releases that hold one of these tracks."""
        releases = {self._release_of[path] for path in paths if path in self._release_of}
        with self._lock:
            discs = (disc for release in releases for disc in self._discs[release].values())
            return {file.path for disc in discs for file in disc.files}

    def lacking(self, removed: Set[bytes]) -> dict[bytes, str]:
        """The removed files that a release, complete now, would lack, each with the track it is. A release is complete
        if one folder holds all of it, or if all its folders together do. If several folders would lose tracks, the one
        that loses the fewest counts."""
        with self._lock:
            return self._lacking(removed)

    def _lacking(self, removed: Set[bytes]) -> dict[bytes, str]:
        if self._unread is not None and not removed <= self._tracks:
            self._read_others()
        gone: dict[Release, list[bytes]] = {}
        for path in sorted(removed):
            release = self._release_of.get(path) or self._release_of_other.get(path)
            if release is not None:
                gone.setdefault(release, []).append(path)
        unknown = [release for release in gone if self._lost.get(release, _UNKNOWN).removed != gone[release]]
        losing = {release for release in unknown if self._may_lose(self._discs[release], removed)}
        if losing:  # any folder may hold more of these releases
            self._read_others()
        for release in unknown:
            told = self._told(release, removed) if release in losing else {}
            self._lost[release] = _Lost(gone[release], told)
        return {path: text for release in gone for path, text in self._lost[release].told.items()}

    def _told(self, release: Release, removed: Set[bytes]) -> dict[bytes, str]:
        discs = self._discs[release]
        lost = _least_lost(discs, removed)
        title = min(_together(discs).files, key=lambda file: file.path).title if lost else ""
        which = f", disc {release.disc}" if release.disc > 1 else ""
        return {disc.first(number): f"track {number} of {title}{which}" for disc, number in lost}

    def _may_lose(self, discs: Mapping[bytes, _Disc], removed: Set[bytes]) -> bool:
        """Whether a place where the release may be complete loses one of its tracks, as far as is known."""
        places = [disc for folder, disc in discs.items() if disc.may_be_complete_with(self._n_files[folder])]
        return any(disc.lacking(removed) for disc in (*places, _together(discs)))


def _least_lost(discs: Mapping[bytes, _Disc], removed: Set[bytes]) -> list[tuple[_Disc, int]]:
    """The tracks lost in the complete copy of a release that loses the fewest; none if one stays whole, or none is."""
    places = [discs[folder] for folder in sorted(discs) if discs[folder].is_complete]
    places = places or [whole for whole in [_together(discs)] if whole.is_complete]
    lost = [[(disc, number) for number in disc.lacking(removed)] for disc in places]
    return min(lost, key=len, default=[])


def _together(discs: Mapping[bytes, _Disc]) -> _Disc:
    """All folders as one."""
    files = [file for disc in discs.values() for file in disc.files]
    return _Disc(files, max(disc.total for disc in discs.values()))


# ---- reading them ----


def albums_of(store: Store, tracks: Iterable[HeardTrack[Any]]) -> Albums:
    """The releases in the folders of these tracks. Of the store, other files there are read when they matter, as it is
    then."""
    known = {track.path: track.properties.tags for track in tracks if track.state == "present"}
    return Albums(known.items(), _StoredOthers(store, known.keys()))


class _StoredOthers:
    """The other files in the folders of tracks, by a store, which need not stay open."""

    def __init__(self, store: Store, known: Set[bytes]) -> None:
        self._store = store.layout.folder
        self._ids: dict[bytes, list[int]] = {}
        """Ids of their tracks, by folder."""
        folders = set(map(_folder, known))
        for number, path in store.catalog.tracks.paths() if folders else ():
            if (folder := path[: path.rfind(b"/")]) in folders and path not in known:
                self._ids.setdefault(folder, []).append(number)

    def count(self, folder: bytes) -> int:
        return len(self._ids.get(folder, ()))

    def read(self) -> Iterable[tuple[bytes, Mapping[str, Sequence[str]]]]:
        ids = [number for of_folder in self._ids.values() for number in of_folder]
        if not ids:
            return
        with open_for_reading(self._store) as store:
            for start in range(0, len(ids), READ_AT_ONCE):
                for path, properties in store.catalog.tracks.properties_of_present(ids[start : start + READ_AT_ONCE]):
                    yield path, json.loads(properties).get("tags", {})


def _folder(path: bytes) -> bytes:
    """What `os.path.dirname` gives of the path of a file, at a fifth of the time."""
    return path[: path.rfind(b"/")]
