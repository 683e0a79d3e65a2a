"""A folder, or a drive that is mounted somewhere, as a source. It is only read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple
from urllib.parse import quote_from_bytes

from dedup.backup.flow import Flow
from dedup.backup.source import Filling, Item, SourcePlaylist, UnavailableError
from dedup.errors import LibraryError
from dedup.files.held import open_regular
from dedup.files.paths import extension_of, printable
from dedup.files.status import size_and_time
from dedup.library.discover import discover
from dedup.net.sink import Sink
from dedup.observer import Observer, Silent
from dedup.playlists.nouns import PlaylistError
from dedup.playlists.playlists import EXTENSIONS, find_playlists, references
from dedup.playlists.sidecars import Sidecars, renamed
from dedup.settings import DiscoverSettings
from dedup.tags.cover import LARGEST_BYTES, cover_of, is_usable

_PIECE = 1 << 20
_COVERS = ("cover", "folder", "front", "albumart")
"""Names, before the extension and in any case, of the picture of all files in its folder."""
_PICTURES = ("jpg", "jpeg", "png")
_LISTS = EXTENSIONS - {"cue"}
"""Endings of playlists, which are written anew."""
_LARGEST_BESIDE = 64 << 20


class _File(NamedTuple):
    """A file of the folder, as it was when it was found."""

    path: bytes
    size: int
    mtime_ns: int


class Folder:
    """The audio files below a folder, found as a scan finds them: links are followed, and each file counts once."""

    def __init__(
        self, path: bytes, settings: DiscoverSettings, flow: Flow, observer: Observer, own: tuple[bytes, ...] = ()
    ) -> None:
        """`own` are folders that are not entered. Raises LibraryError if the folder cannot be listed."""
        self.folder, self._settings, self._flow = os.path.realpath(path), settings, flow
        self._observer, self._own = observer, own
        self.key = f"folder {quote_from_bytes(self.folder)}"
        self.n_unlisted = 0
        self._files: dict[str, _File] = {}
        self._sidecars = Sidecars()
        self._device = self._seen()

    def list(self) -> Iterator[Item]:
        found = discover([self.folder], self._settings, Silent(), self._own)
        for problem in found.problems:
            if problem.kind == "failed":
                self._observer.problem("failed", problem.path, problem.reason)
                self.n_unlisted += 1
        for candidate in found.candidates:
            yield self._item(_File(candidate.path, candidate.size, candidate.mtime_ns))

    def _item(self, file: _File) -> Item:
        below = os.path.relpath(file.path, self.folder)
        names = tuple(part.decode("utf-8", "replace") for part in below.split(b"/"))
        id_ = f"{quote_from_bytes(below)} {file.size} {file.mtime_ns}"
        self._files[id_] = file
        return Item(id_, size=file.size, mtime_ns=file.mtime_ns, suffix=extension_of(file.path), names=names)

    def fetch(self, item: Item, into: Sink) -> str:
        self._flow.begin()
        found = self._files[item.id]
        try:
            with open_regular(found.path) as file:
                self._require_same(found, file)
                while piece := file.read(_PIECE):
                    into.write(piece)
                    self._flow.passed(len(piece))
                self._require_same(found, file)
        except OSError as error:
            if self._seen() != self._device:
                raise self._gone() from error
            raise UnavailableError(f"it cannot be read: {error.strerror or type(error).__name__}") from error
        return item.suffix

    def _require_same(self, found: _File, file: BinaryIO) -> None:
        """Raises UnavailableError if it is not the file that was found. Its inode does not matter: FAT and exFAT, which
        most drives have, give a file another one whenever they read its folder anew."""
        if size_and_time(os.fstat(file.fileno())) != (found.size, found.mtime_ns):
            raise UnavailableError("it has changed since it was found; the next run takes it as it is then")

    def beside(self, item: Item, name: bytes) -> Iterator[tuple[bytes, Item]]:
        path = self._files[item.id].path
        folder = os.path.dirname(path)
        try:
            pictures = [each for each in sorted(os.listdir(folder)) if _rank(each) < len(_COVERS)]
        except OSError:  # it is gone, and so is what was in it
            return
        own = [each for each in self._sidecars.of(path) if extension_of(each) not in _LISTS]
        names = {each: renamed(each, path, name) for each in own}
        for found, new in ({os.path.join(folder, picture): picture for picture in pictures} | names).items():
            if file := _small_file(found):
                yield new, self._item(file)

    def tags(self, item: Item) -> Filling:
        folder = os.path.dirname(self._files[item.id].path)
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
        by_path = {os.path.realpath(file.path): id_ for id_, file in self._files.items()}
        for path in find_playlists([self.folder]):
            if extension_of(path) == "cue":  # it divides a file, and lists none
                continue
            try:
                entries = references(path)
            except (PlaylistError, OSError) as error:
                self._observer.message(f"the playlist {printable(path)} cannot be read: {error}")
                continue
            ids = [by_path[real] for real in map(os.path.realpath, entries) if real in by_path]
            name = os.path.splitext(os.path.basename(path))[0].decode("utf-8", "replace")
            yield SourcePlaylist(quote_from_bytes(os.path.relpath(path, self.folder)), name, ids)

    def _seen(self) -> int | None:
        """Device of the folder; None if it is not there."""
        try:
            return os.stat(self.folder).st_dev
        except OSError:
            return None

    def _gone(self) -> LibraryError:
        found = "it went away while it was read, as a drive does that is taken out"
        return LibraryError(printable(self.folder), found, remedy="Mount it and run the same command again")


def _small_file(path: bytes) -> _File | None:
    """A file that may lie beside music; None for a link, which may lead to what is nobody's business, and for what is
    empty or too large to belong to a file."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    is_small = stat.S_ISREG(status.st_mode) and 0 < status.st_size <= _LARGEST_BESIDE
    return _File(path, *size_and_time(status)) if is_small else None


def _rank(name: bytes) -> int:
    """Place in `_COVERS` of the picture of a folder; behind all of them for anything else."""
    stem = os.path.splitext(name)[0].decode("utf-8", "replace").lower()
    if extension_of(name) not in _PICTURES or stem not in _COVERS:
        return len(_COVERS)
    return _COVERS.index(stem)
