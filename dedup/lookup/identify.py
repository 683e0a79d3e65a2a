"""What the files of a library are: asks about those that nobody asked about, and decides folder by folder."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dedup.lookup import acoustid, musicbrainz
from dedup.lookup.acoustid import AcoustId
from dedup.lookup.ask import DAY_S, Answers
from dedup.lookup.decide import Identified, Verdict
from dedup.lookup.folder import decide_folder
from dedup.lookup.http import Http
from dedup.lookup.keeping import Keeping, alone
from dedup.lookup.key import key_of
from dedup.lookup.library import Library
from dedup.lookup.musicbrainz import MusicBrainz
from dedup.lookup.nouns import RecordingReleases, Release
from dedup.lookup.pace import Pace, StoppedError
from dedup.lookup.said import said_about
from dedup.runner import Stop
from dedup.settings import LookupSettings

if TYPE_CHECKING:
    from dedup.observer import Observer
    from dedup.store.store import Store


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
    order of their paths. At most `limit` recordings are asked about; `anew`, also what is known. A store that is open
    for reading is held only while answers are kept, and nothing is asked while another run holds it.

    Raises InputError for a path without a track, UsageError if a key is needed and there is none, ServiceError,
    StoreLockedError if another one asks for the same store."""
    library = Library(store)
    chosen = library.chosen(paths)
    result = Result(n_silent=sum(path not in library.subjects for path in chosen))
    with alone(store.layout), _Services(way, stop) as services:
        keeping = Keeping(store, observer, stop, way.now)
        answers = Answers(store, keeping, observer, way.now, way.settings.ask_again_days * DAY_S, anew)
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
        for of_unit in _identified(store, library, chosen, answers, services, observer, stop):
            result.counts.update(each.verdict for each in of_unit)
            tell(of_unit)
    return result


def _identified(
    store: Store,
    library: Library,
    chosen: Sequence[bytes],
    answers: Answers,
    services: _Services,
    observer: Observer,
    stop: Stop,
) -> Iterator[list[Identified]]:
    """What the chosen files are, folder by folder, those without sound left out."""
    units = library.units(chosen)
    references = _Asked(answers, services.musicbrainz)
    observer.stage("ask MusicBrainz", len(units), "folders")
    for unit, wanted in units.items():
        files = library.files(unit, answers.sounds, functools.partial(said_about, store))
        try:
            if stop.requested:
                return
            yield decide_folder(files, set(wanted), references)
        except StoppedError:
            return
        observer.advance()


class _Asked:
    """References that are asked for if they are not kept."""

    def __init__(self, answers: Answers, service: MusicBrainz) -> None:
        self._answers, self._service = answers, service

    def releases(self, ids: Sequence[str], others: Sequence[str] = ()) -> list[Release]:
        return self._answers.releases((*ids, *others), self._service)

    def recording(self, id_: str) -> RecordingReleases | None:
        return self._answers.recording(id_, self._service)


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
