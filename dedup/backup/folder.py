"""A folder, or a drive that is mounted somewhere, as a source. It is only read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import quote_from_bytes

from dedup.backup.flow import Flow
from dedup.backup.source import Filling, Item, Sink, SourcePlaylist, UnavailableError
from dedup.errors import LibraryError
from dedup.files.held import open_regular
from dedup.files.paths import extension_of, printable
from dedup.files.status import device_and_inode, size_and_time
from dedup.library.discover import Candidate, discover
from dedup.observer import Observer, Silent
from dedup.playlists.nouns import PlaylistError
from dedup.playlists.playlists import find_playlists, references
from dedup.settings import DiscoverSettings
from dedup.tags.cover import LARGEST_BYTES, cover_of, is_usable

_PIECE = 1 << 20
_COVERS = ("cover", "folder", "front", "albumart")
"""Names, before the extension and in any case, of the picture of all files in its folder."""
_PICTURES = ("jpg", "jpeg", "png")


class Folder:
    """The audio files below a folder, found as a scan finds them: links are followed, and each file counts once."""

    def __init__(
        self, path: bytes, settings: DiscoverSettings, flow: Flow, observer: Observer, own: tuple[bytes, ...] = ()
    ) -> None:
        """`own` are folders that are not entered. Raises LibraryError if the folder cannot be listed."""
        self._path, self._settings, self._flow = os.path.realpath(path), settings, flow
        self._observer, self._own = observer, own
        self.key = f"folder {quote_from_bytes(self._path)}"
        self.n_unlisted = 0
        self._candidates: dict[str, Candidate] = {}
        self._identity = self._seen()

    def list(self) -> Iterator[Item]:
        found = discover([self._path], self._settings, Silent(), self._own)
        for problem in found.problems:
            if problem.kind == "failed":
                self._observer.problem("failed", problem.path, problem.reason)
                self.n_unlisted += 1
        for candidate in found.candidates:
            item = self._item(candidate)
            self._candidates[item.id] = candidate
            yield item

    def _item(self, candidate: Candidate) -> Item:
        below = os.path.relpath(candidate.path, self._path)
        names = tuple(part.decode("utf-8", "replace") for part in below.split(b"/"))
        size, time = candidate.size, candidate.mtime_ns
        id_ = f"{quote_from_bytes(below)} {size} {time}"
        return Item(id_, size=size, suffix=extension_of(candidate.path), names=names)

    def fetch(self, item: Item, into: Sink) -> str:
        self._flow.begin()
        candidate = self._candidates[item.id]
        try:
            with open_regular(candidate.path) as file:
                self._require_same(candidate, file)
                while piece := file.read(_PIECE):
                    into.write(piece)
                    self._flow.passed(len(piece))
                self._require_same(candidate, file)
        except OSError as error:
            if self._seen() != self._identity:
                raise self._gone() from error
            raise UnavailableError(f"it cannot be read: {error.strerror or type(error).__name__}") from error
        return item.suffix

    def _require_same(self, candidate: Candidate, file: BinaryIO) -> None:
        status = os.fstat(file.fileno())
        then = candidate.size, candidate.mtime_ns, candidate.device, candidate.inode
        if (*size_and_time(status), *device_and_inode(status)) != then:
            raise UnavailableError("it has changed since it was found; the next run takes it as it is then")

    def tags(self, item: Item) -> Filling:
        folder = os.path.dirname(self._candidates[item.id].path)
        try:
            names = sorted(os.listdir(folder), key=_rank)
            for name in names:
                if _rank(name) == len(_COVERS):
                    break
                with open_regular(os.path.join(folder, name)) as file:
                    cover = cover_of(file.read(LARGEST_BYTES + 1))
                if is_usable(cover):
                    return Filling(cover=cover)
        except OSError as error:
            self._observer.message(f"no cover is read in {printable(folder)}: {error.strerror}")
        return Filling()

    def playlists(self) -> Iterator[SourcePlaylist]:
        by_path = {os.path.realpath(candidate.path): id_ for id_, candidate in self._candidates.items()}
        for path in find_playlists([self._path]):
            if extension_of(path) == "cue":  # it divides a file, and lists none
                continue
            try:
                entries = references(path)
            except (PlaylistError, OSError) as error:
                self._observer.message(f"the playlist {printable(path)} cannot be read: {error}")
                continue
            ids = [by_path[real] for real in map(os.path.realpath, entries) if real in by_path]
            name = os.path.splitext(os.path.basename(path))[0].decode("utf-8", "replace")
            yield SourcePlaylist(quote_from_bytes(os.path.relpath(path, self._path)), name, ids)

    def _seen(self) -> tuple[int, int] | None:
        """Device and inode of the folder; None if it is not there."""
        try:
            return device_and_inode(os.stat(self._path))
        except OSError:
            return None

    def _gone(self) -> LibraryError:
        found = "it went away while it was read, as a drive does that is taken out"
        return LibraryError(printable(self._path), found, remedy="Mount it and run the same command again")


def _rank(name: bytes) -> int:
    """Place in `_COVERS` of the picture of a folder; behind all of them for anything else."""
    stem = os.path.splitext(name)[0].decode("utf-8", "replace").lower()
    if extension_of(name) not in _PICTURES or stem not in _COVERS:
        return len(_COVERS)
    return _COVERS.index(stem)
