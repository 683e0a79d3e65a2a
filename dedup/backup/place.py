"""The folder that takes files. What is not whole yet is in a folder of its own in it, which no scan enters; nothing
that is there already is ever overwritten."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO

from blake3 import blake3

from dedup.backup.source import UnavailableError
from dedup.cleanup.moving import drop_cached, hash_at, move
from dedup.errors import StoreLockedError, UsageError, refused, writing
from dedup.files.held import Reach, Spot
from dedup.files.paths import holds, printable
from dedup.files.quarantine import QUARANTINE
from dedup.files.safe_names import safe_name

WORK = b".reprise-backup"
"""Folder for files that are not whole yet."""

_LOCK = b"lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


class Place:
    """The folder, held open. A context manager, which one process at a time can be in."""

    def __init__(self, folder: bytes) -> None:
        """`folder` is absolute."""
        self.folder = folder
        self._reach = Reach((), [folder])
        self._lock: int | None = None
        self.mode = 0o666
        """Permissions of the files that are made, by the umask."""

    def __enter__(self) -> Place:
        self._reach.__enter__()
        with writing(printable(self.folder)), self._spot(_LOCK) as spot:
            mask = os.umask(0)
            os.umask(mask)
            self.mode &= ~mask
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._lock = os.open(spot.name, flags, 0o600, dir_fd=spot.folder)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.__exit__()
            found, remedy = "another back-up writes there", "Let it end first"
            raise StoreLockedError(printable(self.folder), found, remedy=remedy) from None
        except OSError as error:  # some network drives have no locks; the store's own keeps other runs out then
            if error.errno not in _NO_LOCKS:
                self.__exit__()
                raise refused(printable(self.folder), error) from error
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._lock is not None:
            os.close(self._lock)
        self._reach.__exit__()

    def spot(self, path: bytes, make: bool = False) -> contextlib.AbstractContextManager[Spot]:
        """As `Reach.spot`, of a path in the folder."""
        return self._reach.spot(path, make)

    def _spot(self, name: bytes) -> contextlib.AbstractContextManager[Spot]:
        return self._reach.spot(os.path.join(self.folder, WORK, name), make=True)

    def permit(self, descriptor: int) -> None:
        """Lets others read an open file as the umask says, if the disk knows permissions."""
        try:
            os.fchmod(descriptor, self.mode)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
                raise

    def clear(self) -> None:
        """Removes what is not whole: a killed run left it. Raises WriteError."""
        with writing(printable(self.folder)), self._spot(_LOCK) as spot:
            for name in os.listdir(spot.folder):
                if name != os.fsdecode(_LOCK):
                    spot.beside(os.fsencode(name)).discard()

    def leave(self) -> None:
        """Removes the folder for what is not whole, if nothing is in it."""
        with contextlib.suppress(OSError), self._spot(_LOCK) as spot:
            spot.discard()
            with self.spot(os.path.join(self.folder, WORK)) as work:
                work.remove_folder()

    @contextlib.contextmanager
    def work(self, stem: bytes) -> Iterator[Work]:
        """Room for one file until it is whole; what is left of it then is removed."""
        try:
            yield Work(self, stem)
        finally:
            with contextlib.suppress(OSError), self._spot(_LOCK) as spot:
                for name in map(os.fsencode, os.listdir(spot.folder)):
                    if name.startswith(stem):
                        spot.beside(name).discard()

    def free(self, names: Sequence[str], extension: str) -> bytes:
        """A path for a file of these names, folders first, that nothing has. Makes no folder. Raises OSError."""
        *folders, name = names
        path = os.path.join(self.folder, *(os.fsencode(safe_name(each)) for each in folders), b"_")
        taken: list[str] = []
        with contextlib.suppress(FileNotFoundError), self.spot(path) as spot:
            taken = os.listdir(spot.folder)
        return os.path.join(os.path.dirname(path), os.fsencode(safe_name(name, taken, extension=f".{extension}")))


@dataclass(frozen=True)
class Work:
    """Room for one file."""

    place: Place
    stem: bytes

    def path(self, ending: bytes) -> bytes:
        return os.path.join(self.place.folder, WORK, self.stem + ending)

    def spot(self, ending: bytes) -> contextlib.AbstractContextManager[Spot]:
        return self.place.spot(self.path(ending))

    @contextlib.contextmanager
    def written(self, ending: bytes, mtime_ns: int | None = None) -> Iterator[Part]:
        """A new file, with that time of change or the present one. When the block ends it is on the disk, and was read
        again. Raises WriteError; UnavailableError for one that is too large for the disk, which others may not be."""
        name = printable(self.place.folder)
        with self.spot(ending) as spot:
            with writing(name):
                spot.discard()
                file = spot.create()
            with file:
                part = Part(file, name)
                yield part
                with _one_file(name):
                    file.flush()
                    self.place.permit(file.fileno())
                    if mtime_ns is not None:
                        with contextlib.suppress(OSError, OverflowError):  # a time that the disk cannot keep
                            os.utime(file.fileno(), ns=(mtime_ns, mtime_ns))
                    os.fsync(file.fileno())
                    drop_cached(file.fileno())
                    if hash_at(spot) != part.digest():
                        raise OSError(None, "it reads otherwise than it was written")


class Part:
    """A `net.sink.Sink`: a file that is being written, with the hash of what was."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        """`name` is where the disk is full, if it is."""
        self._file, self._name = file, name
        self._hash, self.n_bytes = blake3(), 0

    def write(self, data: bytes) -> None:
        with _one_file(self._name):
            self._file.write(data)
        self._hash.update(data)
        self.n_bytes += len(data)

    def restart(self) -> None:
        with writing(self._name):
            self._file.seek(0)
            self._file.truncate()
        self._hash, self.n_bytes = blake3(), 0

    def digest(self) -> bytes:
        """`identity.full_hash` of it."""
        return self._hash.digest()


def name_it(part: Spot, target: Spot) -> None:
    """Gives a whole file a name that nothing has, or an empty file: that is what a kill leaves where a file system can
    not do it at once. Raises OSError; OccupiedError or FileExistsError if something has the name."""
    if target.is_file() and target.status().st_size == 0:
        move(part, target, again=True)
        return
    try:
        part.link(target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        move(part, target)
    else:
        part.discard()


@contextlib.contextmanager
def _one_file(where: str) -> Iterator[None]:
    """As `errors.writing`; but that a disk takes no file so large costs this file alone."""
    with writing(where):
        try:
            yield
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            raise UnavailableError("the disk does not take files of that size") from error


def usable_folder(folder: bytes, source: bytes | None, store: bytes) -> bytes:
    """The folder, absolute, if it can take what comes from a source, which is a folder or elsewhere. Raises UsageError
    for one that is not there, as its disk may be away, and for one that lies where it would be found again."""
    where, path = "option --to", os.path.abspath(folder)
    real = os.path.realpath(path)
    try:
        is_folder = stat.S_ISDIR(os.stat(real).st_mode)
    except OSError:
        is_folder = False
    if not is_folder:
        found = f"there is no folder {printable(path)}"
        raise UsageError(where, found, remedy="Make it, or mount the disk that it is on")
    if QUARANTINE in real.split(b"/") or WORK in real.split(b"/"):
        raise UsageError(where, "it is in a folder that no scan enters", remedy="Give another folder")
    if holds(os.path.realpath(store), real):
        raise UsageError(where, "it is in the folder of the store", remedy="Give another folder")
    if source is not None:
        origin = os.path.realpath(source)
        if holds(origin, real) or holds(real, origin):
            found = "it lies in the source" if holds(origin, real) else "the source lies in it"
            raise UsageError(where, found, remedy="Give a folder apart from it, best on another disk")
    return path
