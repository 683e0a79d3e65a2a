"""What the files of a library are: asks about those that nobody asked about, and decides folder by folder."""

from __future__ import annotations

import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedup.errors import InputError
from dedup.files.paths import printable
from dedup.lookup import acoustid, album, musicbrainz
from dedup.lookup.acoustid import AcoustId
from dedup.lookup.ask import DAY_S, Answers, Subject
from dedup.lookup.candidates import File, parts_of, unit_of
from dedup.lookup.decide import Identified, Verdict, decide, with_release
from dedup.lookup.http import Http
from dedup.lookup.key import key_of
from dedup.lookup.musicbrainz import MusicBrainz
from dedup.lookup.pace import Pace, StoppedError
from dedup.runner import Stop
from dedup.settings import ITEMS_PER_SECOND, LookupSettings

if TYPE_CHECKING:
    from dedup.observer import Observer
    from dedup.store.store import Store
    from dedup.store.tracks import Track

LEAST_ITEMS, LEAST_DISTINCT = 40, 20
"""Items, and different ones, that a fingerprint needs to be looked up: silence is everybody's."""


@dataclass(frozen=True)
class Way:
    """How the services are reached."""

    settings: LookupSettings
    folder: Path
    """Folder of the files by which all processes of this user keep the rates."""
    now: Callable[[], float] = time.time
    wait: Callable[[float], object] | None = None
    """How time passes; None waits."""


@dataclass
class Result:
    """What a run found."""

    counts: Counter[Verdict] = field(default_factory=Counter)
    """Files by verdict."""
    n_asked: int = 0
    """Recordings that AcoustID was asked about."""
    n_left: int = 0
    """Recordings that are still to be asked about."""
    n_silent: int = 0
    """Files with too little sound to be looked up."""


def identify(
    *,
    store: Store,
    paths: Sequence[bytes],
    way: Way,
    tell: Callable[[Sequence[Identified]], None],
    observer: Observer,
    stop: Stop,
    limit: int | None = None,
    anew: bool = False,
) -> Result:
    """What the files at or below these paths are, or all of the library; `tell` gets them folder by folder, in the
    order of their paths. At most `limit` recordings are asked about; `anew`, also what is known.

    Raises InputError for a path without a track, UsageError if a key is needed and there is none, ServiceError."""
    library = _Library(store)
    chosen = library.chosen(paths)
    result = Result(n_silent=sum(path not in library.subjects for path in chosen))
    with _Services(way, stop) as services:
        answers = Answers(store, observer, way.now, way.settings.ask_again_days * DAY_S, anew)
        digests = list(dict.fromkeys(library.subjects[p].digest for p in chosen if p in library.subjects))
        new = answers.unknown(digests)
        to_ask = new if limit is None else new[:limit]
        try:
            if to_ask:
                by_digest = {subject.digest: subject for subject in library.subjects.values()}
                answers.ask_for_sounds([by_digest[digest] for digest in to_ask], services.acoustid())
        except StoppedError:
            pass  # what was answered is kept, and shown
        result.n_left = len(answers.unknown(new))
        result.n_asked = len(new) - result.n_left
        for of_unit in _identified(library, chosen, answers, services, observer, stop):
            result.counts.update(each.verdict for each in of_unit)
            tell(of_unit)
    return result


def _identified(
    library: _Library,
    chosen: Sequence[bytes],
    answers: Answers,
    services: _Services,
    observer: Observer,
    stop: Stop,
) -> Iterator[list[Identified]]:
    """What the chosen files are, folder by folder, those without sound left out."""
    units: dict[bytes, list[bytes]] = defaultdict(list)
    for path in chosen:
        if path in library.subjects:
            units[unit_of(path)].append(path)
    observer.stage("ask MusicBrainz", len(units), "folders")
    for unit, wanted in units.items():
        files = library.files(unit, answers)
        of_wanted = set(wanted)
        try:
            if stop.requested:
                return
            found = [each for each in _of_unit(files, of_wanted, answers, services) if each.file.path in of_wanted]
            yield sorted(found, key=lambda each: each.file.path)
        except StoppedError:
            return
        observer.advance()


def _of_unit(files: Sequence[File], wanted: set[bytes], answers: Answers, services: _Services) -> Iterator[Identified]:
    """What the files of one folder are; nothing is decided while some of the `wanted` are still to be asked about."""
    if any(file.sounds is None for file in files if file.path in wanted):
        yield from (Identified(file, "unasked", "not asked yet") for file in files)
        return
    told = [file for file in files if file.sounds is not None]
    for part in parts_of(told):
        releases = answers.releases(album.wanted(part), services.musicbrainz)
        for each in decide(part, album.choose(part, releases)):
            is_open = each.verdict == "identified" and each.release is None and each.file.path in wanted
            if is_open and each.recording is not None:
                yield with_release(each, answers.recording(each.recording.id, services.musicbrainz))
            else:
                yield each


class _Services:
    """Both services, each at its pace. The key is read when it is needed."""

    def __init__(self, way: Way, stop: Stop) -> None:
        self._way, self._stop = way, stop
        settings = way.settings
        self._acoustid = self._http(acoustid.NAME, settings.acoustid_url, acoustid.INTERVAL_S)
        self._musicbrainz = self._http(musicbrainz.NAME, settings.musicbrainz_url, musicbrainz.INTERVAL_S)
        self.musicbrainz = MusicBrainz(self._musicbrainz)

    def acoustid(self) -> AcoustId:
        """Raises UsageError if there is no key."""
        return AcoustId(self._acoustid, key_of(self._way.settings))

    def _http(self, name: str, url: str, interval_s: float) -> Http:
        path = self._way.folder / name.lower()
        return Http(name, url, Pace(path, interval_s, self._stop, self._way.now, self._way.wait))

    def __enter__(self) -> _Services:
        return self

    def __exit__(self, *exception: object) -> None:
        self._acoustid.close()
        self._musicbrainz.close()


class _Library:
    """The present files of a store, with the fingerprint of each."""

    def __init__(self, store: Store) -> None:
        catalog = store.catalog
        self._tracks = {track.path: track for track in catalog.tracks.all() if track.state == "present" and track.audio}
        audios = {row[0]: row for row in catalog.audios.read_rows()}
        prints = {row[0]: row for row in catalog.fingerprints.read_rows()}
        self.subjects: dict[bytes, Subject] = {}
        """What is looked up for each file, by path; files with too little sound have none."""
        self._units: dict[bytes, list[bytes]] = defaultdict(list)
        for path, track in self._tracks.items():
            _, _, _, _, of, decoded_s, *_ = audios[track.audio]
            id_, digest, n_items, n_distinct, *_ = prints[of]
            if n_items >= LEAST_ITEMS and n_distinct >= LEAST_DISTINCT:
                told_s = decoded_s or _properties(track).get("duration_s") or n_items / ITEMS_PER_SECOND
                self.subjects[path] = Subject(digest.hex(), id_, told_s)
                self._units[unit_of(path)].append(path)

    def chosen(self, paths: Sequence[bytes]) -> list[bytes]:
        """Paths of the tracks at or below these, all if there are none, folder by folder."""
        if not paths:
            return sorted(self._tracks, key=lambda path: (unit_of(path), path))
        found: set[bytes] = set()
        for path in map(os.path.abspath, paths):
            here = {each for each in self._tracks if each == path or each.startswith(os.path.join(path, b""))}
            if not here:
                where, remedy = printable(path), "Scan the folder that holds it"
                raise InputError(where, "no file of the library is there", remedy=remedy)
            found |= here
        return sorted(found, key=lambda path: (unit_of(path), path))

    def files(self, unit: bytes, answers: Answers) -> list[File]:
        """The files of one folder, with what is known of each."""
        paths = sorted(self._units[unit])
        known = answers.sounds([self.subjects[path].digest for path in paths])
        return [
            replace(_file(self._tracks[path], self.subjects[path]), sounds=known.get(self.subjects[path].digest))
            for path in paths
        ]


def _properties(track: Track) -> dict[str, Any]:
    found = json.loads(track.properties)
    return found if isinstance(found, dict) else {}


def _file(track: Track, subject: Subject) -> File:
    tags = _properties(track).get("tags")

    def first(name: str) -> str:
        values = tags.get(name) if isinstance(tags, dict) else None
        return str(values[0]) if values else ""

    def number(name: str) -> int:
        digits = first(name).split("/")[0].strip()
        return int(digits) if digits.isdecimal() and len(digits) < 5 else 0

    artist = first("artist") or first("albumartist")
    numbers = number("tracknumber"), number("discnumber")
    return File(track.path, subject.digest, subject.length_s, first("title"), artist, first("album"), *numbers)
