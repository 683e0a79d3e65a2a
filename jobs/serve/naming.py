"""What the page of names shows and keeps: the folders of the library with what their files are, from the answers that
the store has. No service is asked."""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dedup.errors import InputError
from dedup.files.paths import printable
from dedup.lookup.known import Known
from dedup.lookup.said import is_none, is_one, say, unsay
from dedup.playback.task import File as Played
from dedup.store.change import store_version
from dedup.store.layout import Layout, is_locked
from dedup.store.store import open_for_reading
from jobs.serve.shown import id_of
from jobs.show.identified import release_text

if TYPE_CHECKING:
    from dedup.lookup.decide import Identified, Verdict
    from dedup.lookup.library import Library
    from dedup.lookup.said import Kept

PURPOSE = "reprise serve"
PAUSE_FACTOR = 5.0
"""A store that changes all the time is read again after so many times as long as reading took."""
MOST_UNDONE = 1000
MOST_FILES = 100
"""Most files of a folder that are shown as one; the others follow as further parts of it."""
LOOK = "Look at the page again"
CHANGED = "Its sound has changed, what AcoustID says of it, or your answer. Look at it again."


@dataclass(frozen=True)
class Folder:
    """A folder in the list, or a part of one that has many files."""

    id: str
    unit: bytes
    """The whole folder."""
    first: int
    """Files of the folder before this part."""
    n_in_unit: int
    """Files of the whole folder."""
    path: str
    """For people."""
    album: str
    """The release that most of the folder's identified files are on; empty if they are on none."""
    counts: Counter[Verdict]
    """Files of this part by verdict."""

    @property
    def text(self) -> str:
        """What a search looks at."""
        return f"{self.path}\n{self.album}".lower()


class Shown(NamedTuple):
    """A folder, or a part of one, with its files."""

    folder: Folder
    files: list[Identified]
    in_unit: list[Identified]
    """All files of the folder."""


class Changed(NamedTuple):
    """What an answer changes."""

    ids: list[str]
    """Folders that hold its sound, with all their parts."""
    n_folders: int


@dataclass(frozen=True)
class _Read:
    """The store as it was read."""

    version: str
    library: Library
    folders: dict[str, Folder]
    """By id, in the order of their paths."""
    paths: dict[str, bytes]
    """Paths of the files, by id."""


class Names:
    """The folders as they are now, and the answers, each kept before the page hears of it; safe to use from several
    threads."""

    def __init__(self, folder: Path, writing: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
        """`folder` is that of the store; `writing` surrounds what is written to it."""
        self._folder, self._writing = folder, writing
        self._lock = threading.RLock()
        self._read: _Read | None = None
        self._looked, self._took_s = 0.0, 0.0
        self._given: list[Kept] = []

    # ---- reading ----

    def folders(self) -> Sequence[Folder]:
        """All folders that have a file with sound, by path. Raises what opening a store raises."""
        return list(self._now().folders.values())

    def files(self, ids: Sequence[str]) -> Iterator[Shown]:
        """The folders with these ids, those that there are, with their files."""
        now = self._now()
        with open_for_reading(self._folder) as store:
            known = Known(store, now.library)
            found = (now.folders[id_] for id_ in ids if id_ in now.folders)
            for unit, parts in itertools.groupby(found, key=lambda part: part.unit):
                files = known.of(unit, now.library.in_unit(unit))
                for part in parts:
                    yield Shown(part, files[part.first : part.first + MOST_FILES], files)

    def played(self, id_: str) -> Played | None:
        """A file, to be heard; None if there is none with this id."""
        path = self._now().paths.get(id_)
        return None if path is None else _played(self._folder, self._now().version, path)

    def _now(self) -> _Read:
        with self._lock:
            version = store_version(self._folder)
            is_late = time.monotonic() - self._looked > PAUSE_FACTOR * self._took_s
            if self._read is None or (version != self._read.version and is_late):
                began = time.monotonic()
                self._read = self._read_again(version)
                self._looked = time.monotonic()
                self._took_s = self._looked - began
            return self._read

    def _read_again(self, version: str) -> _Read:
        with open_for_reading(self._folder) as store:
            known = Known(store)
            library = known.library
            units = sorted(library.units(library.paths).items())
            found = {part.id: part for unit, paths in units for part in _parts(unit, known.of(unit, paths))}
        return _Read(version, library, found, {id_of(path): path for path in library.subjects})

    # ---- answers ----

    def answer(self, id_: str, word: str, recording: str, seen: str) -> Changed:
        """Keeps what a person says about a file: "is" the candidate with this recording, "none" of its candidates, or
        "forget" what was said. Raises InputError for a file that is not there any more, or whose state is not the one
        that was `seen`; WriteError."""
        with self._lock:
            each = self._found(id_, seen)
            said = None
            if word == "is":
                songs = (song for song in each.candidates if recording in {one.id for one in song.recordings})
                song = next(songs, None)
                if song is None:
                    raise InputError("the file", "does not have this candidate", remedy=CHANGED)
                said = is_one(song)
            elif word == "none":
                said = is_none(each.file)
            with self._changing(each.file.subject) as changed:
                kept = say(self._folder, [(each.file.subject, said)], PURPOSE)
            self._given = [*self._given[1 - MOST_UNDONE :], *kept]
            return _changed(changed)

    def undo(self) -> Changed | None:
        """Takes back the last answer that was given here; None if there is no answer. Raises InputError if the sound
        was given another answer elsewhere since, which stays."""
        with self._lock:
            if not self._given:
                return None
            with self._changing(self._given[-1].subject) as changed:
                is_undone = unsay(self._folder, self._given[-1], PURPOSE)
            self._given.pop()
            if not is_undone:
                raise InputError("the last answer", "was changed elsewhere since, and stays", remedy=LOOK)
            return _changed(changed)

    def _found(self, id_: str, seen: str) -> Identified:
        now = self._now()
        path = now.paths.get(id_)
        if path is not None:
            unit = now.library.folder_of(path)
            with open_for_reading(self._folder) as store:
                for each in Known(store, now.library).of(unit, now.library.in_unit(unit)):
                    if each.file.path == path and state_of(each) == seen:
                        return each
        raise InputError("the file", "is not as it was", remedy=CHANGED)

    @contextmanager
    def _changing(self, subject: str) -> Iterator[list[Folder]]:
        """For a block that keeps what is said about a sound: afterwards the list that it gives has the folders that
        hold the sound, which are read again. The others need not be, unless a run changed the store."""
        before, layout, parts = self._now(), Layout(self._folder), list[Folder]()
        is_known = not is_locked(layout) and store_version(self._folder) == before.version
        with self._writing():
            yield parts
        library = before.library
        holding = {library.folder_of(path) for path, of in library.subjects.items() if of.digest == subject}
        with open_for_reading(self._folder) as store:
            known = Known(store, library)
            for unit in sorted(holding):
                parts += _parts(unit, known.of(unit, library.in_unit(unit)))
        version = store_version(self._folder) if is_known and not is_locked(layout) else before.version
        self._read = _Read(version, library, {**before.folders, **{part.id: part for part in parts}}, before.paths)


def state_of(each: Identified) -> str:
    """What tells whether a file is still the one that a person saw, with the same candidates and the same answer: 16
    hex digits."""
    said, ids = each.file.said, [recording.id for song in each.candidates for recording in song.recordings]
    answer = ("", *said.recordings, "", *said.refused) if said is not None else ()
    return id_of(each.file.subject.encode(), *(text.encode() for text in (*ids, *answer)))


def _changed(parts: Sequence[Folder]) -> Changed:
    return Changed([part.id for part in parts], len({part.unit for part in parts}))


@functools.lru_cache(maxsize=64)
def _played(folder: Path, version: str, path: bytes) -> Played | None:
    """The last few are remembered, since a page asks for one window after the other."""
    del version
    with open_for_reading(folder) as store:
        track = store.catalog.tracks.get(path)
    return None if track is None else Played(path, track.size, track.mtime_ns, track.inode, track.device)


def _parts(unit: bytes, files: Sequence[Identified]) -> Iterator[Folder]:
    """A folder as it is in the list, in parts of at most `MOST_FILES` of its files."""
    releases = Counter(each.release for each in files if each.verdict == "identified" and each.release is not None)
    album = release_text(releases.most_common(1)[0][0]) if releases else ""
    for first in range(0, len(files), MOST_FILES):
        id_ = id_of(unit, str(first).encode()) if first else id_of(unit)
        counts = Counter(each.verdict for each in files[first : first + MOST_FILES])
        yield Folder(id_, unit, first, len(files), printable(unit), album, counts)
