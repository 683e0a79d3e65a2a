"""The files of a library as look-ups see them: folder by folder, with the fingerprint and the tags of each."""

from __future__ import annotations

import json
import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from dedup.errors import InputError
from dedup.files.paths import printable
from dedup.lookup.answers import LONGEST_TEXT
from dedup.lookup.candidates import File, Said, unit_of
from dedup.lookup.nouns import Sound
from dedup.settings import ITEMS_PER_SECOND

if TYPE_CHECKING:
    from dedup.store.store import Store
    from dedup.store.tracks import Track

LEAST_ITEMS, LEAST_DISTINCT = 40, 20
"""Items, and different ones, that a fingerprint needs to be looked up: silence is everybody's."""


Sounds = Callable[[Sequence[str]], Mapping[str, tuple[Sound, ...]]]
"""What AcoustID said of fingerprints, by digest."""
Sayings = Callable[[Sequence[str]], Mapping[str, Said]]
"""What a person said about them, by digest."""


class Subject(NamedTuple):
    """A fingerprint that is to be looked up."""

    digest: str
    """In hexadecimal; answers are kept by it."""
    fingerprint: int
    length_s: float
    """Of the whole track."""


class Library:
    """The present files of a store, with the fingerprint of each, as of the construction."""

    def __init__(self, store: Store) -> None:
        catalog = store.catalog
        with catalog.snapshot():
            tracks = [track for track in catalog.tracks.all() if track.state == "present" and track.audio]
            audios = {row[0]: row for row in catalog.audios.read_rows()}
            prints = {row[0]: row for row in catalog.fingerprints.read_rows()}
        self.paths = [track.path for track in tracks]
        self.subjects: dict[bytes, Subject] = {}
        """What is looked up for each file, by path; files with too little sound have none."""
        self._files: dict[bytes, File] = {}
        self._units: dict[bytes, list[bytes]] = defaultdict(list)
        for track in tracks:
            _, _, _, _, of, decoded_s, *_ = audios[track.audio]
            id_, digest, n_items, n_distinct, *_ = prints[of]
            if n_items >= LEAST_ITEMS and n_distinct >= LEAST_DISTINCT:
                properties = _properties(track)
                told_s = decoded_s or properties.get("duration_s") or n_items / ITEMS_PER_SECOND
                subject = self.subjects[track.path] = Subject(digest.hex(), id_, told_s)
                self._files[track.path] = _file(track.path, properties, subject)
                self._units[unit_of(track.path)].append(track.path)

    def chosen(self, paths: Sequence[bytes]) -> list[bytes]:
        """Paths of the tracks at or below these, all if there are none, folder by folder."""
        if not paths:
            return sorted(self.paths, key=lambda path: (unit_of(path), path))
        known, ordered = set(self.paths), sorted(self.paths)
        found: set[bytes] = set()
        for path in map(os.path.abspath, paths):
            below = os.path.join(path, b"")
            here = set(ordered[bisect_left(ordered, below) : bisect_left(ordered, below[:-1] + b"0")])  # 0 follows /
            here |= {path} & known
            if not here:
                where, remedy = printable(path), "Scan the folder that holds it"
                raise InputError(where, "no file of the library is there", remedy=remedy)
            found |= here
        return sorted(found, key=lambda path: (unit_of(path), path))

    def in_unit(self, unit: bytes) -> list[bytes]:
        """Paths of the files with sound that belong to a folder."""
        return self._units.get(unit, [])

    def folder_of(self, path: bytes) -> bytes:
        """The folder that a file belongs to."""
        return unit_of(path)

    def units(self, paths: Iterable[bytes]) -> dict[bytes, list[bytes]]:
        """These tracks by folder, those without sound left out."""
        found: dict[bytes, list[bytes]] = defaultdict(list)
        for path in paths:
            if path in self.subjects:
                found[unit_of(path)].append(path)
        return found

    def files(self, unit: bytes, sounds: Sounds, said: Sayings) -> list[File]:
        """The files of one folder, with what AcoustID said of each, and a person."""
        paths = sorted(self._units.get(unit, ()))
        digests = [self.subjects[path].digest for path in paths]
        known, named = sounds(digests), said(digests)
        return [
            replace(
                self._files[path],
                sounds=known.get(digest, () if digest in named and named[digest].recordings else None),
                said=named.get(digest),
            )
            for path, digest in zip(paths, digests, strict=True)
        ]


def _properties(track: Track) -> dict[str, Any]:
    found = json.loads(track.properties)
    return found if isinstance(found, dict) else {}


def _file(path: bytes, properties: dict[str, Any], subject: Subject) -> File:
    tags = properties.get("tags")

    def first(name: str) -> str:
        values = tags.get(name) if isinstance(tags, dict) else None
        return str(values[0])[:LONGEST_TEXT] if values else ""

    def number(name: str) -> int:
        digits = first(name).split("/")[0].strip()
        return int(digits) if digits.isdecimal() and len(digits) < 5 else 0

    artist = first("artist") or first("albumartist")
    numbers = number("tracknumber"), number("discnumber")
    return File(path, subject.digest, subject.length_s, first("title"), artist, first("album"), *numbers)
