"""Releases: which album, disc and number a track claims, which albums are complete, and what they would lack. Tags are
compared as people read them: case, width and the spelling of accents do not count."""

from __future__ import annotations

import functools
import itertools
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

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


@dataclass(slots=True)
class _Disc:
    """The files of one release, in one or several folders."""

    files: dict[int, set[bytes]] = field(default_factory=dict)
    """Paths by track number."""
    total: int = 0
    """Number of tracks on the disc, as far as tags show."""

    def add(self, path: bytes, number: int, total: int) -> None:
        self.files.setdefault(number, set()).add(path)
        self.total = max(self.total, number, total)

    @property
    def is_complete(self) -> bool:
        return self.total >= LEAST_TRACKS and len(self.files) == self.total

    def lacking(self, removed: Set[bytes]) -> list[int]:
        """Track numbers that have no file left once these are removed."""
        return sorted(number for number, paths in self.files.items() if paths <= removed)


class Albums:
    """The releases in some folders, by the tags of their files."""

    def __init__(self, tracks: Iterable[tuple[bytes, Mapping[str, Sequence[str]]]]) -> None:
        self._discs: dict[Release, dict[bytes, _Disc]] = {}
        """Discs by release and folder."""
        self._of_path: dict[bytes, _Disc] = {}
        self._release_of: dict[bytes, Release] = {}
        self._titles: dict[Release, str] = {}
        for path, at, title in sorted((path, position(tags), _first(tags, "album")) for path, tags in tracks):
            if at is not None and at.number is not None:
                disc = self._discs.setdefault(at.release, {}).setdefault(_folder(path), _Disc())
                disc.add(path, at.number, at.total or 0)
                self._of_path[path], self._release_of[path] = disc, at.release
                self._titles.setdefault(at.release, title)

    def is_complete(self, path: bytes) -> bool:
        """Whether the file's folder holds all tracks of its release."""
        return path in self._of_path and self._of_path[path].is_complete

    def around(self, paths: Set[bytes]) -> set[bytes]:
        """The files of all releases that hold one of these."""
        releases = {self._release_of[path] for path in paths if path in self._release_of}
        discs = (disc for release in releases for disc in self._discs[release].values())
        return {path for disc in discs for held in disc.files.values() for path in held}

    def lacking(self, removed: Set[bytes]) -> dict[bytes, str]:
        """The removed files that a release, complete now, would lack, each with the track it is. A release is complete
        if one folder holds all of it, or if all its folders together do. If several folders would lose tracks, the one
        that loses the fewest counts."""
        told: dict[bytes, str] = {}
        for release in dict.fromkeys(self._release_of[path] for path in sorted(removed) if path in self._release_of):
            for disc, number in _least_lost(self._discs[release], removed):
                path = min(disc.files[number])
                told[path] = f"track {number} of {self._titles[release]}" + (
                    f", disc {release.disc}" if release.disc > 1 else ""
                )
        return told


def _least_lost(discs: Mapping[bytes, _Disc], removed: Set[bytes]) -> list[tuple[_Disc, int]]:
    """The tracks lost in the complete copy of a release that loses the fewest; none if one stays whole, or none is."""
    places = [discs[folder] for folder in sorted(discs) if discs[folder].is_complete] or _together(discs)
    lost = [[(disc, number) for number in disc.lacking(removed)] for disc in places]
    return min(lost, key=len, default=[])


def _together(discs: Mapping[bytes, _Disc]) -> list[_Disc]:
    """All folders as one, if they are complete together."""
    whole = _Disc()
    for disc in discs.values():
        whole.total = max(whole.total, disc.total)
        for number, paths in disc.files.items():
            whole.files.setdefault(number, set()).update(paths)
    return [whole] if whole.is_complete else []


# ---- reading them ----


def albums_of(store: Store, tracks: Iterable[HeardTrack]) -> Albums:
    """The releases in the folders of these tracks. Of the store, only their other files are read: reading properties
    takes the time."""
    known = {track.path: track.properties.tags for track in tracks if track.state == "present"}
    folders = set(map(_folder, known))
    paths = store.catalog.tracks.paths() if folders else ()
    others = [number for number, path in paths if path not in known and _folder(path) in folders]
    return Albums(itertools.chain(known.items(), _read_tags(store, others)))


def _folder(path: bytes) -> bytes:
    """What `os.path.dirname` gives of the path of a file, at a fifth of the time."""
    return path[: path.rfind(b"/")]


def _read_tags(store: Store, ids: Sequence[int]) -> Iterable[tuple[bytes, dict[str, list[str]]]]:
    for start in range(0, len(ids), READ_AT_ONCE):
        for path, properties in store.catalog.tracks.properties_of_present(ids[start : start + READ_AT_ONCE]):
            yield path, json.loads(properties).get("tags", {})
