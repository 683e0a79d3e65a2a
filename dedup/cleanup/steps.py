"""The steps that a clean-up is made of. Each is in the journal before it is done. At whatever moment the process dies,
`recover` then says how far the step came, and `undo` restores what was before; both may be called again at any time.

All raise OSError if the system refuses, and leave everything as it was then."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from dedup.cleanup.moving import copy_whole, is_there, move, part_of, recover_move, sync_folder
from dedup.cleanup.originals import (
    ChangedSinceError,
    Status,
    has_become,
    keep_original,
    original_of,
    put_original_back,
)
from dedup.cleanup.trash import put_into_trash, take_out
from dedup.errors import RepriseError
from dedup.files.paths import printable
from dedup.library.identity import full_hash


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

    def do(self) -> None:
        """Does the step."""

    def recover(self) -> bool:
        """How far it came, if it was broken off: True if it is done, False if it never happened. Removes what it left
        half made."""

    def undo(self) -> None:
        """Takes it back, once it is recovered, also if taking it back was broken off. Raises RepriseError if that is
        not possible."""


@dataclass(frozen=True)
class FolderTime:
    """A folder whose entries are about to change: doing it changes nothing, and undo restores its modification time."""

    kind: ClassVar[str] = "time"
    path: bytes
    mtime_ns: int

    def do(self) -> None:
        """Changes nothing."""

    def recover(self) -> bool:
        return True

    def undo(self) -> None:
        with contextlib.suppress(FileNotFoundError, PermissionError):  # of another's folder only the owner may set it
            status = os.stat(self.path)
            if status.st_mtime_ns != self.mtime_ns:
                os.utime(self.path, ns=(status.st_atime_ns, self.mtime_ns))


@dataclass(frozen=True)
class MakeFolder:
    """A folder that files are moved to."""

    kind: ClassVar[str] = "folder"
    path: bytes

    def do(self) -> None:
        os.mkdir(self.path)
        sync_folder(self.path)

    def recover(self) -> bool:
        return os.path.isdir(self.path)

    def undo(self) -> None:
        """Removes it, unless something was put into it meanwhile."""
        try:
            os.rmdir(self.path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
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
    def of_litter(path: bytes, target: bytes) -> Move:
        return Move(path, target, os.path.getsize(path), full_hash(path), True, Status.of(path))

    def do(self) -> None:
        move(self.path, self.target)

    def recover(self) -> bool:
        return recover_move(self.path, self.target)

    def undo(self) -> None:
        if os.path.lexists(self.target):
            if not self._is_at(self.target):
                raise ChangedSinceError(printable(self.target), "was changed since it was put there")
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            move(self.target, self.path, again=True)
        elif not self._is_at(self.path):
            raise NoWayBackError(printable(self.target), "is gone, so it cannot be put back")
        if self.status is not None and Status.of(self.path) != self.status:
            with contextlib.suppress(PermissionError):
                self.status.give(self.path)

    def _is_at(self, path: bytes) -> bool:
        is_file = os.path.isfile(path) and not os.path.islink(path)
        return is_file and os.path.getsize(path) == self.size and full_hash(path) == self.full


@dataclass(frozen=True)
class Trash:
    """A file that goes to the system's trash."""

    kind: ClassVar[str] = "trash"
    path: bytes
    size: int
    full: bytes

    def do(self) -> None:
        try:
            put_into_trash(self.path)
        except OSError:
            if os.path.lexists(self.path):
                raise

    def recover(self) -> bool:
        return not os.path.lexists(self.path)

    def undo(self) -> None:
        if os.path.isfile(self.path) and full_hash(self.path) == self.full:
            return
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        take_out(self.path, self.size, self.full)


@dataclass(frozen=True)
class Delete:
    """A file that is gone for good."""

    kind: ClassVar[str] = "delete"
    path: bytes
    size: int
    kept: bytes

    def do(self) -> None:
        """Renames it first: if the kept file is gone then, both are one file, and it gets its name back."""
        part = part_of(self.path)
        os.rename(self.path, part)
        try:
            if not is_there(self.kept):
                raise KeptGoneError(printable(self.path), "it is the kept file under another name")
            os.unlink(part)
        except BaseException:
            self.recover()
            raise
        sync_folder(self.path)

    def recover(self) -> bool:
        part = part_of(self.path)
        if os.path.lexists(part) and not os.path.lexists(self.path):
            os.rename(part, self.path)
        return not os.path.lexists(self.path)

    def undo(self) -> None:
        if not os.path.lexists(self.path):
            raise NoWayBackError(printable(self.path), "was deleted for good, so it cannot be put back")


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

    def do(self) -> None:
        part = part_of(self.path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        try:
            if self.how == "hardlink":
                os.link(self.kept, part, follow_symlinks=True)
            else:
                _clone(self.kept, part)
                self.status.give(part)
            if full_hash(part) != self.full:
                found = "its bytes are no longer those of the kept file, so they cannot be shared"
                raise ChangedSinceError(printable(self.path), found)
            os.replace(part, self.path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)  # also if both were already one file: then renaming does nothing
        sync_folder(self.path)

    def recover(self) -> bool:
        """Treats a clone as not made, since it looks like the file before: it is made again."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part_of(self.path))
        return self.how == "hardlink" and self._is_shared()

    def _is_shared(self) -> bool:
        """Whether it is the same file as the kept one, or if that is gone, as others."""
        if not os.path.exists(self.path) or not os.path.exists(self.kept):
            return os.path.exists(self.path) and os.stat(self.path).st_nlink > 1
        return os.path.samefile(self.path, self.kept)

    def undo(self) -> None:
        """Gives the file bytes of its own again. A reflink has them already: the system copies what is written to."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part_of(self.path))
        if not os.path.lexists(self.path) or full_hash(self.path) != self.full:
            raise ChangedSinceError(printable(self.path), "was changed since it shares the bytes of the kept file")
        if self.how == "hardlink" and os.stat(self.path).st_nlink > 1 and self._is_shared():
            copy_whole(self.path, self.path)
        self.status.give(self.path)


def _clone(source: bytes, target: bytes) -> None:
    """Makes a file that shares the blocks of another, if the file system can. Raises OSError."""
    import fcntl

    clone = 0x40049409  # FICLONE of linux/fs.h
    with open(source, "rb") as reading, open(target, "wb") as writing:
        fcntl.ioctl(writing.fileno(), clone, reading.fileno())


@dataclass(frozen=True)
class Rewrite:
    """A file that gets new content: tags, or the entries of a playlist."""

    kind: ClassVar[str] = "rewrite"
    path: bytes
    place: Path
    """Path of what it was (`originals`), without an ending."""
    what: Literal["tags", "playlist"]
    build: Callable[[bytes], None] | None = None
    """Function that makes the new file under the name it gets; None if the step was read from a journal."""

    def do(self) -> None:
        assert self.build is not None
        part = part_of(self.path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        try:
            self.build(part)
            keep_original(self.path, part, self.place)
            os.replace(part, self.path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)
            raise
        sync_folder(self.path)

    def recover(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part_of(self.path))
        original = original_of(self.place)
        return original is not None and os.path.lexists(self.path) and has_become(self.path, original)

    def undo(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part_of(self.path))
        original = original_of(self.place)
        if original is None:
            raise NoWayBackError(
                printable(self.path), "what it was before is gone or damaged", f"{self.place}.json and .bin"
            )
        put_original_back(self.path, self.place, original)


@dataclass(frozen=True)
class RemoveFolder:
    """An empty folder that is removed."""

    kind: ClassVar[str] = "remove folder"
    path: bytes
    status: Status

    def do(self) -> None:
        os.rmdir(self.path)
        sync_folder(self.path)

    def recover(self) -> bool:
        return not os.path.lexists(self.path)

    def undo(self) -> None:
        os.makedirs(self.path, exist_ok=True)
        self.status.give(self.path)


KINDS: dict[str, type[Step]] = {
    step.kind: step for step in (FolderTime, MakeFolder, Move, Trash, Delete, Share, Rewrite, RemoveFolder)
}


def to_record(step: Step) -> dict[str, Any]:
    """The step in JSON types; `step_of` is the inverse. Bytes of a path that are not UTF-8 become lone surrogates."""
    record: dict[str, Any] = {"kind": step.kind}
    for each in fields(step):  # type: ignore[arg-type]
        value = getattr(step, each.name)
        if each.name == "full":
            record["full"] = value.hex()
        elif each.name == "status":
            record["status"] = None if value is None else vars(value)
        elif each.name == "place":
            record["place"] = value.name
        elif each.name != "build":
            record[each.name] = os.fsdecode(value) if isinstance(value, bytes) else value
    return record


def step_of(record: dict[str, Any], folder: Path) -> Step:
    """The step of a record that `to_record` made; `folder` holds the originals. Raises KeyError, TypeError or
    ValueError for anything else."""
    values = {name: value for name, value in record.items() if name != "kind"}
    for name in values.keys() & {"path", "target", "kept"}:
        values[name] = os.fsencode(values[name])
    if "full" in values:
        values["full"] = bytes.fromhex(values["full"])
    if values.get("status") is not None:
        values["status"] = Status(**values["status"])
    if "place" in values:
        values["place"] = folder / values["place"]
    return KINDS[record["kind"]](**values)
