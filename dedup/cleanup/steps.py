"""The steps that a clean-up is made of. Each is in the journal before it is done. At whatever moment the process dies,
`recover` then says how far the step came, and `undo` restores what was before; both may be called again at any time.
Each opens the folders that it changes through a `Reach`, and follows no link that nobody has proven.

All raise OSError if the system refuses, and leave everything as it was then."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar, Literal, Protocol

from dedup.cleanup.file_status import Status
from dedup.cleanup.moving import copy_whole, hash_at, is_there, move, part_of, recover_move
from dedup.cleanup.originals import ChangedSinceError, has_become, keep_original, original_of, put_original_back
from dedup.cleanup.trash import put_into_trash, take_out
from dedup.errors import RepriseError
from dedup.files.held import Reach, Spot
from dedup.files.paths import printable
from dedup.files.status import as_int64, size_and_time


class NoWayBackError(RepriseError):
    """A step cannot be taken back."""


class KeptGoneError(RepriseError):
    """The kept file went with the other: both are one file, under names that the system takes for those of two."""


class Step(Protocol):
    """One change of the user's folders."""

    kind: ClassVar[str]

    @property
    def path(self) -> bytes:
        """Path of what the step changes."""

    def do(self, reach: Reach) -> None:
        """Does the step."""

    def recover(self, reach: Reach) -> bool:
        """How far it came, if it was broken off: True if it is done, False if it never happened. Removes what it left
        half made."""

    def undo(self, reach: Reach) -> None:
        """Takes it back, once it is recovered, also if taking it back was broken off. Raises RepriseError if that is
        not possible."""


@dataclass(frozen=True)
class FolderTime:
    """A folder whose entries are about to change: doing it changes nothing, and undo restores its modification time."""

    kind: ClassVar[str] = "time"
    path: bytes
    mtime_ns: int
    real: bytes = b""
    """Real path of a folder that is reached through a link, or lies outside the roots: it was proven, and undo takes no
    other for it. Else empty."""

    def do(self, reach: Reach) -> None:
        """Changes nothing."""

    def recover(self, reach: Reach) -> bool:  # noqa: ARG002
        return True

    def undo(self, reach: Reach) -> None:
        # of another's folder only the owner may set it
        with contextlib.suppress(FileNotFoundError, PermissionError), reach.folder(self.path) as folder:
            status = os.stat(folder)
            if status.st_mtime_ns != self.mtime_ns:
                os.utime(folder, ns=(status.st_atime_ns, self.mtime_ns))


@dataclass(frozen=True)
class MakeFolder:
    """A folder that files are moved to."""

    kind: ClassVar[str] = "folder"
    path: bytes

    def do(self, reach: Reach) -> None:
        with reach.spot(self.path) as spot:
            spot.make_folder()
            spot.sync()

    def recover(self, reach: Reach) -> bool:
        with contextlib.suppress(FileNotFoundError), reach.spot(self.path) as spot:
            return spot.is_folder()
        return False

    def undo(self, reach: Reach) -> None:
        """Removes it, unless something was put into it meanwhile, or a person has put something else in its place."""
        try:
            with reach.spot(self.path) as spot:
                spot.remove_folder()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise


@dataclass(frozen=True)
class Move:
    """A file that goes to quarantine."""

    kind: ClassVar[str] = "move"
    path: bytes
    target: bytes
    size: int
    full: bytes
    """`identity.full_hash` of the file."""
    is_litter: bool = False
    """Whether it is a file that file managers leave in a folder, not music."""
    status: Status | None = None
    """Status of the file before: the quarantine may not keep times and modes."""

    @staticmethod
    def of_litter(spot: Spot, target: bytes) -> Move:
        with spot.open() as file:
            size, status = os.fstat(file.fileno()).st_size, Status.of(file.fileno())
        return Move(spot.path, target, size, hash_at(spot), True, status)

    def do(self, reach: Reach) -> None:
        with reach.spot(self.path) as source, reach.spot(self.target) as target:
            move(source, target)

    def recover(self, reach: Reach) -> bool:
        try:
            with reach.spot(self.path) as source, reach.spot(self.target) as target:
                return recover_move(source, target)
        except FileNotFoundError:  # one of the folders is gone
            return not is_anything(reach, self.path) and is_anything(reach, self.target)

    def undo(self, reach: Reach) -> None:
        if is_anything(reach, self.target):
            with reach.spot(self.target) as held:
                if not self._is_at(held):
                    raise ChangedSinceError(printable(self.target), "was changed since it was put there")
                with reach.spot(self.path, make=True) as back:
                    move(held, back, again=True)
        elif not self._is_back(reach):
            raise NoWayBackError(printable(self.target), "is gone, so it cannot be put back")
        if self.status is not None:
            with reach.spot(self.path) as back, back.open() as file:
                if Status.of(file.fileno()) != self.status:
                    with contextlib.suppress(PermissionError):
                        self.status.give(file.fileno())

    def _is_at(self, spot: Spot) -> bool:
        return spot.is_file() and spot.status().st_size == self.size and hash_at(spot) == self.full

    def _is_back(self, reach: Reach) -> bool:
        with contextlib.suppress(FileNotFoundError), reach.spot(self.path) as spot:
            return self._is_at(spot)
        return False


def is_anything(reach: Reach, path: bytes) -> bool:
    """Whether there is anything at a path, whose folder may be gone."""
    with contextlib.suppress(FileNotFoundError), reach.spot(path) as spot:
        return spot.exists()
    return False


@dataclass(frozen=True)
class Trash:
    """A file that goes to the system's trash."""

    kind: ClassVar[str] = "trash"
    path: bytes
    size: int
    full: bytes

    def do(self, reach: Reach) -> None:
        with reach.spot(self.path) as spot:
            try:
                put_into_trash(spot)
            except OSError:
                if spot.exists():
                    raise

    def recover(self, reach: Reach) -> bool:
        return not is_anything(reach, self.path)

    def undo(self, reach: Reach) -> None:
        with reach.spot(self.path, make=True) as spot:
            if not (spot.is_file() and hash_at(spot) == self.full):
                take_out(spot, self.size, self.full)


@dataclass(frozen=True)
class Delete:
    """A file that is gone for good."""

    kind: ClassVar[str] = "delete"
    path: bytes
    size: int
    kept: bytes
    mtime_ns: int | None = None
    """Time of change of the file that was checked; None in a journal of an older release."""

    def do(self, reach: Reach) -> None:
        """Renames it first: if the kept file is gone then, both are one file, and it gets its name back. So does
        another file that was put there after the check."""
        with reach.spot(self.path) as spot, reach.spot(self.kept) as kept:
            part = part_of(spot)
            spot.rename(part)
            try:
                if not is_there(kept):
                    raise KeptGoneError(printable(self.path), "it is the kept file under another name")
                if self.mtime_ns is not None:
                    _require_same(part, self.path, self.size, self.mtime_ns)
                part.unlink()
            except BaseException:
                give_name_back(spot)
                raise
            spot.sync()

    def recover(self, reach: Reach) -> bool:
        with contextlib.suppress(FileNotFoundError), reach.spot(self.path) as spot:
            return give_name_back(spot)
        return True

    def undo(self, reach: Reach) -> None:
        if not is_anything(reach, self.path):
            raise NoWayBackError(printable(self.path), "was deleted for good, so it cannot be put back")


def _require_same(spot: Spot, path: bytes, size: int, mtime_ns: int) -> None:
    """Raises ChangedSinceError if what is there is not the file that was checked."""
    if size_and_time(spot.status()) != (size, as_int64(mtime_ns)):
        raise ChangedSinceError(printable(path), "another file was put there while the clean-up ran")


def give_name_back(spot: Spot) -> bool:
    """Gives a file that was about to be deleted its name back, unless that is taken; returns whether it is gone."""
    part = part_of(spot)
    if part.exists() and not spot.exists():
        part.rename(spot)
    return not spot.exists()


@dataclass(frozen=True)
class Share:
    """A file that shares the bytes of the kept one, which are the same, from now on."""

    kind: ClassVar[str] = "share"
    path: bytes
    kept: bytes
    how: Literal["hardlink", "reflink"]
    size: int
    full: bytes
    status: Status

    def do(self, reach: Reach) -> None:
        with reach.spot(self.path) as spot, reach.spot(self.kept) as kept:
            part = part_of(spot)
            part.discard()
            try:
                if self.how == "hardlink":
                    kept.link(part)
                else:
                    _clone(kept, part, self.status)
                if hash_at(part) != self.full:
                    found = "its bytes are no longer those of the kept file, so they cannot be shared"
                    raise ChangedSinceError(printable(self.path), found)
                _require_same(spot, self.path, self.size, self.status.mtime_ns)
                part.replace(spot)
            finally:
                part.discard()  # also if both were already one file: then renaming does nothing
            spot.sync()

    def recover(self, reach: Reach) -> bool:
        """Treats a clone as not made, since it looks like the file before: it is made again."""
        with contextlib.suppress(FileNotFoundError), reach.spot(self.path) as spot:
            part_of(spot).discard()
            return self.how == "hardlink" and self._is_shared(spot, reach)
        return False

    def _is_shared(self, spot: Spot, reach: Reach) -> bool:
        """Whether it is the same file as the kept one, or if that is gone, as others."""
        if not spot.is_file():
            return False
        with contextlib.suppress(OSError), reach.spot(self.kept) as kept:
            return os.path.samestat(spot.status(), kept.status())
        return spot.status().st_nlink > 1

    def undo(self, reach: Reach) -> None:
        """Gives the file bytes of its own again. A reflink has them already: the system copies what is written to."""
        try:
            with reach.spot(self.path) as spot:
                self._undo(spot, reach)
        except FileNotFoundError:
            raise self._changed() from None

    def _undo(self, spot: Spot, reach: Reach) -> None:
        part_of(spot).discard()
        if not spot.is_file() or hash_at(spot) != self.full:
            raise self._changed()
        if self.how == "hardlink" and spot.status().st_nlink > 1 and self._is_shared(spot, reach):
            copy_whole(spot, spot)
        with spot.open() as file:
            self.status.give(file.fileno())

    def _changed(self) -> ChangedSinceError:
        return ChangedSinceError(printable(self.path), "was changed since it shares the bytes of the kept file")


def _clone(source: Spot, target: Spot, status: Status) -> None:
    """Makes a file that shares the blocks of another, if the file system can. Raises OSError."""
    import fcntl

    clone = 0x40049409  # FICLONE of linux/fs.h
    with source.open() as reading, target.create() as writing:
        fcntl.ioctl(writing.fileno(), clone, reading.fileno())
        status.give(writing.fileno())


@dataclass(frozen=True)
class Rewrite:
    """A file that gets new content: tags, or the entries of a playlist."""

    kind: ClassVar[str] = "rewrite"
    path: bytes
    place: Path
    """Path of what it was (`originals`), without an ending."""
    what: Literal["tags", "playlist"]
    build: Callable[[BinaryIO, BinaryIO, Spot], None] | None = None
    """Function of the old file, the new one, which is empty, and where that is, which writes the new one; None if the
    step was read from a journal."""

    def do(self, reach: Reach) -> None:
        assert self.build is not None
        with reach.spot(self.path) as spot:
            part = part_of(spot)
            part.discard()
            try:
                with spot.open() as old, part.create() as new:
                    self.build(old, new, part)
                    keep_original(old, new, self.place)
                    if not os.path.samestat(os.fstat(old.fileno()), spot.status()):
                        raise ChangedSinceError(printable(self.path), "was changed while it was rewritten")
                part.replace(spot)
            except BaseException:
                part.discard()
                raise
            spot.sync()

    def recover(self, reach: Reach) -> bool:
        with contextlib.suppress(FileNotFoundError), reach.spot(self.path) as spot:
            part_of(spot).discard()
            original = original_of(self.place)
            return original is not None and spot.exists() and has_become(spot, original)
        return False

    def undo(self, reach: Reach) -> None:
        with reach.spot(self.path) as spot:
            part_of(spot).discard()
            original = original_of(self.place)
            if original is None:
                found = "what it was before is gone or damaged"
                raise NoWayBackError(printable(self.path), found, f"{self.place}.json and .bin")
            put_original_back(spot, self.place, original)


@dataclass(frozen=True)
class RemoveFolder:
    """An empty folder that is removed."""

    kind: ClassVar[str] = "remove folder"
    path: bytes
    status: Status

    def do(self, reach: Reach) -> None:
        with reach.spot(self.path) as spot:
            spot.remove_folder()
            spot.sync()

    def recover(self, reach: Reach) -> bool:
        return not is_anything(reach, self.path)

    def undo(self, reach: Reach) -> None:
        with reach.spot(self.path, make=True) as spot:
            with contextlib.suppress(FileExistsError):
                spot.make_folder()
            folder = spot.open_folder()
            try:
                self.status.give(folder)
            finally:
                os.close(folder)
