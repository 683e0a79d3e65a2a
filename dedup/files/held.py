"""Folders held open. A path is a promise that anyone who may rename one of its folders can break: between a look and a
step, `lib/a` may become a link to somewhere else. So a step opens the folder in which it changes something, one name
after the other from a folder that the user named, follows no link on the way, and then works by the open folder."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import BinaryIO

from dedup.files.paths import and_above, holds, printable

Proof = Callable[[bytes, int], bool]
"""Tells, from the name of a folder that is reached through a link and a descriptor of what the link leads to, whether
it is the folder that a scan saw."""

_THROUGH = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", 0)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES)


class OutOfReachError(OSError):
    """A path leads where nothing may be changed; `found` says why."""

    def __init__(self, path: bytes, found: str) -> None:
        super().__init__(errno.ELOOP, found, path)
        self.found = found


def open_regular(path: bytes, folder: int | None = None, flags: int = 0) -> BinaryIO:
    """A regular file, for reading: the one that a path, or a name in an open folder, leads to. Raises OSError for
    anything else, at once: opening a pipe would wait until somebody writes to it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return os.fdopen(descriptor, "rb")


@dataclass(frozen=True)
class Spot:
    """A name in a folder that is held open: nothing that happens to the names above it leads elsewhere."""

    path: bytes
    """The whole path, for messages."""
    folder: int
    """Descriptor of the folder."""

    @property
    def name(self) -> bytes:
        return os.path.basename(self.path)

    def beside(self, name: bytes) -> Spot:
        """Another name in the same folder."""
        return Spot(os.path.join(os.path.dirname(self.path), name), self.folder)

    def status(self) -> os.stat_result:
        """Status of what has the name; of a link itself. Raises OSError."""
        return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)

    def exists(self) -> bool:
        """Whether anything has the name."""
        try:
            self.status()
        except FileNotFoundError:
            return False
        return True

    def is_file(self) -> bool:
        """Whether a regular file has the name."""
        with contextlib.suppress(FileNotFoundError):
            return stat.S_ISREG(self.status().st_mode)
        return False

    def is_folder(self) -> bool:
        """Whether a folder has the name."""
        with contextlib.suppress(FileNotFoundError):
            return stat.S_ISDIR(self.status().st_mode)
        return False

    def open(self) -> BinaryIO:
        """The regular file of that name, for reading. Raises OSError, also for a link."""
        return open_regular(self.name, self.folder, os.O_NOFOLLOW)

    def create(self) -> BinaryIO:
        """A new, empty file, which only its owner may read, for reading and writing. Raises OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(self.name, flags, 0o600, dir_fd=self.folder), "w+b")

    def open_folder(self) -> int:
        """A descriptor of the folder of that name; the caller closes it. Raises OSError."""
        return os.open(self.name, _FOLDER, dir_fd=self.folder)

    def make_folder(self) -> None:
        os.mkdir(self.name, dir_fd=self.folder)

    def remove_folder(self) -> None:
        os.rmdir(self.name, dir_fd=self.folder)

    def unlink(self) -> None:
        os.unlink(self.name, dir_fd=self.folder)

    def discard(self) -> None:
        """Removes the file, if there is one: a disk that refuses to write refuses to remove nothing, too."""
        if self.exists():
            with contextlib.suppress(FileNotFoundError):
                self.unlink()

    def rename(self, target: Spot) -> None:
        """Gives the file another name, which only a reservation has."""
        os.rename(self.name, target.name, src_dir_fd=self.folder, dst_dir_fd=target.folder)

    def replace(self, target: Spot) -> None:
        """Puts the file in the place of another one, which is gone then."""
        os.replace(self.name, target.name, src_dir_fd=self.folder, dst_dir_fd=target.folder)

    def link(self, target: Spot) -> None:
        """Gives the file the other name as well."""
        os.link(self.name, target.name, src_dir_fd=self.folder, dst_dir_fd=target.folder, follow_symlinks=False)

    def is_same_entry(self, other: Spot) -> bool:
        """Whether both are one name of one folder."""
        return self.name == other.name and os.path.samestat(os.fstat(self.folder), os.fstat(other.folder))

    def sync(self) -> None:
        """Makes changes of names in the folder survive a power cut, if the file system can."""
        try:
            os.fsync(self.folder)
        except OSError as error:
            if error.errno not in _NO_SYNC:
                raise


class Reach:
    """The folders in which a run may change something. A context manager: it holds them open. Threads may share it."""

    def __init__(
        self,
        roots: Iterable[bytes],
        others: Iterable[bytes] = (),
        proof: Proof = lambda _folder, _descriptor: False,
        ways: Mapping[bytes, bytes] = MappingProxyType({}),
    ) -> None:
        """`roots` and `others` are folders that the user named, which may be links: where they lead now holds for as
        long as this lives. One that is not an absolute, plain path counts for nothing. Of `others`, such as a
        quarantine, the folders above may be missing, and can be made. `ways`: real paths of folders that were proven
        before."""
        self._roots, self._others = _named(roots), _named(others)
        self._tops = sorted(self._roots | self._others, key=len, reverse=True)
        self._proof, self._ways = proof, dict(ways)
        for top in others:
            self._ways |= _missing(top)
        self._open_tops: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Reach:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        with self._lock:
            for descriptor in self._open_tops.values():
                os.close(descriptor)
            self._open_tops.clear()

    def holds(self, path: bytes) -> bool:
        """Whether the path is in or below one of the folders, by name."""
        return self._top_of(path) is not None

    def way(self, folder: bytes) -> bytes:
        """The real path of a folder that was reached through a link, or lies below no root; else empty."""
        if folder in self._ways:
            return self._ways[folder]
        top = self._top_of(folder)
        if top is None or top in self._roots:
            return b""
        return os.path.join(self._roots.get(top) or self._others[top], folder[len(top) :].lstrip(b"/"))

    def admit(self, real: bytes) -> None:
        """Takes a folder, by its real path, for proven."""
        if self._top_of(real) is None:
            self._ways[real] = real

    @contextlib.contextmanager
    def spot(self, path: bytes, make: bool = False) -> Iterator[Spot]:
        """The name at a path, while its folder is held open; `make` makes the folders that are missing. Raises OSError,
        OutOfReachError."""
        folder, name = os.path.split(path)
        if name in (b"", b".", b".."):
            raise OutOfReachError(path, "it is not a plain path")
        descriptor = self._open(folder, make)
        try:
            yield Spot(path, descriptor)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def folder(self, path: bytes) -> Iterator[int]:
        """A descriptor of a folder. Raises OSError, OutOfReachError."""
        descriptor = self._open(path)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _top_of(self, path: bytes) -> bytes | None:
        return next((top for top in self._tops if holds(top, path)), None)

    def _open(self, folder: bytes, make: bool = False) -> int:
        if folder in self._ways:
            return self._open_proven(folder, make)
        top = self._top_of(folder)
        if top is None:
            raise OutOfReachError(folder, f"{printable(folder)} is in none of the folders that may be changed")
        names = folder[len(top) :].strip(b"/").split(b"/")
        if {b"", b".", b".."}.intersection(names) and names != [b""]:
            raise OutOfReachError(folder, f"{printable(folder)} is not a plain path")
        try:
            return _descend(self._opened(top), [name for name in names if name], make)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
        return self._through_links(folder)

    def _open_proven(self, folder: bytes, make: bool) -> int:
        real = self._ways[folder]
        try:
            return _open_below_root(real, make)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            raise OutOfReachError(folder, f"{printable(real)} is no longer free of symbolic links") from error

    def _opened(self, top: bytes) -> int:
        with self._lock:
            if top not in self._open_tops:
                self._open_tops[top] = _open_below_root(self._roots.get(top) or self._others[top])
            return self._open_tops[top]

    def _through_links(self, folder: bytes) -> int:
        """Opens a folder that a link leads to, by its real path, if it is proven."""
        real = os.path.realpath(folder)
        descriptor = _open_below_root(real)
        if self._proof(folder, descriptor):
            self._ways[folder] = real
            return descriptor
        os.close(descriptor)
        found = f"{printable(folder)} leads through a symbolic link to {printable(real)}, which no scan saw there"
        raise OutOfReachError(folder, f"{found}; put the folder back, or scan again if the link is right")


def _named(folders: Iterable[bytes]) -> dict[bytes, bytes]:
    """Real paths, by name and by real name, of folders that are absolute, plain paths."""
    found: dict[bytes, bytes] = {}
    for folder in folders:
        if os.path.isabs(folder) and os.path.normpath(folder) == folder:
            real = os.path.realpath(folder)
            found |= {folder: real, real: real}
    return found


def _missing(folder: bytes) -> dict[bytes, bytes]:
    """Real paths of a folder that is not there, of those above it that are not there, and of the lowest one that is."""
    if not os.path.isabs(folder) or os.path.isdir(folder):
        return {}
    missing = list(itertools.takewhile(lambda each: not os.path.isdir(each), and_above(folder)))
    return {above: os.path.realpath(above) for above in map(os.path.dirname, missing)}


def _open_below_root(real: bytes, make: bool = False) -> int:
    root = os.open(b"/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _descend(root, [name for name in real.split(b"/") if name], make)
    finally:
        os.close(root)


def _descend(top: int, names: Sequence[bytes], make: bool = False) -> int:
    """A new descriptor of the folder at the end of `names`. Raises OSError with ELOOP or ENOTDIR at a link."""
    if not names:
        return os.dup(top)
    descriptor = top
    for number, name in enumerate(names, start=1):
        try:
            below = _step_into(descriptor, name, number == len(names), make)
        finally:
            if descriptor != top:
                os.close(descriptor)
        descriptor = below
    return descriptor


def _step_into(folder: int, name: bytes, is_last: bool, make: bool) -> int:
    try:
        return _open_one(folder, name, is_last)
    except FileNotFoundError:
        if not make:
            raise
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, dir_fd=folder)
    return _open_one(folder, name, is_last)


def _open_one(folder: int, name: bytes, is_last: bool) -> int:
    if is_last:
        with contextlib.suppress(PermissionError):  # a folder that may be entered and not listed
            return os.open(name, _FOLDER, dir_fd=folder)
    return os.open(name, _THROUGH, dir_fd=folder)
