"""Moves one file so that it is never lost and nothing is ever overwritten: at whatever moment the process is killed,
the file is whole under its old name or its new one, and calling again finishes the move."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat

from dedup.library.identity import full_hash

PART = b".reprise-%s.part"
"""Name of a file that is being made, in the folder of the file that it becomes."""

_PIECE = 1 << 20
_LONGEST_NAME = 255


class OccupiedError(OSError):
    """A file is already where another was to be put."""

    def __init__(self, path: bytes) -> None:
        super().__init__(errno.EEXIST, "a file already exists there", path)


def move(source: bytes, target: bytes, again: bool = False) -> None:
    """Moves a regular file to a name that is free: by renaming within a file system, else by copying it, reading the
    copy again, and removing the source. `again`: the same move was begun before, and may have come to any point.

    The name is reserved by an empty file first, since renaming would overwrite; a file that is moved has at least one
    byte. Raises OSError, OccupiedError if the name is not free; then the source is as it was."""
    if again and not os.path.lexists(source) and os.path.lexists(target):
        return
    if again and os.path.lexists(target) and is_same_entry(source, target):
        raise OccupiedError(target)
    if again and _is_reserved(target):
        os.unlink(target)
    if again and os.path.lexists(target):
        _end_of_copy(source, target)
        return
    _reserve(target)
    try:
        _fill(source, target)
    except BaseException:
        if _is_reserved(target):
            os.unlink(target)
        raise
    sync_folder(target)
    sync_folder(source)


def _reserve(target: bytes) -> None:
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        raise OccupiedError(target) from None


def _is_reserved(target: bytes) -> bool:
    with contextlib.suppress(FileNotFoundError):
        status = os.lstat(target)
        return stat.S_ISREG(status.st_mode) and status.st_size == 0
    return False


def _fill(source: bytes, target: bytes) -> None:
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy_whole(source, target)
        os.unlink(source)


def recover_move(source: bytes, target: bytes) -> bool:
    """Whether a move that was broken off is done: the source is gone, and the target is there. If it is not, what there
    is of the target is removed, and the source, which may be another file by now, is left as it is."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(part_of(target))
    if not os.path.lexists(source):
        return os.path.lexists(target)
    if _is_reserved(target) or (os.path.lexists(target) and _is_copy(source, target)):
        os.unlink(target)
    return False


def _is_copy(source: bytes, target: bytes) -> bool:
    if is_same_entry(source, target) or os.lstat(source).st_size != os.lstat(target).st_size:
        return False
    return full_hash(source) == full_hash(target)


def is_same_entry(a: bytes, b: bytes) -> bool:
    """Whether both names are one entry of one folder, as with a link to that folder: removing one removes both."""
    folders = {os.path.realpath(os.path.dirname(path)) for path in (a, b)}
    if len(folders) == 1 and os.path.basename(a) == os.path.basename(b):
        return True
    return os.path.samestat(os.lstat(a), os.lstat(b)) and os.lstat(a).st_nlink < 2


def is_there(path: bytes) -> bool:
    """Whether a file can be opened. Network and union file systems remember names for a while; opening asks whoever
    holds the file."""
    try:
        with open(path, "rb"):
            return True
    except OSError:
        return False


def _end_of_copy(source: bytes, target: bytes) -> None:
    """Finishes a move that had copied the file and was killed before it removed the source."""
    if os.lstat(source).st_size != os.lstat(target).st_size or full_hash(source) != full_hash(target):
        raise OccupiedError(target)
    os.unlink(source)
    sync_folder(source)


def copy_whole(source: bytes, target: bytes) -> None:
    """Puts a copy in the place of `target`, whole or not at all: bytes, which are read again, times, mode, attributes
    and, if allowed, owner. Raises OSError."""
    part = part_of(target)
    try:
        with open(source, "rb") as reading, open(part, "wb") as writing:
            shutil.copyfileobj(reading, writing, _PIECE)
            writing.flush()  # what is not buffered may write less than all of a piece, and says nothing
            os.fsync(writing.fileno())
            drop_cached(writing.fileno())
        if full_hash(part) != full_hash(source):
            raise OSError(errno.EIO, "the copy differs from what was written", target)
        copy_status(source, part)
        os.replace(part, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        raise
    sync_folder(target)


def copy_status(source: bytes, target: bytes) -> None:
    """Copies the owner, if allowed, then mode, times and extended attributes."""
    status = os.stat(source)
    with contextlib.suppress(PermissionError):
        os.chown(target, status.st_uid, status.st_gid)
    with contextlib.suppress(PermissionError):  # of the mode, which comes last: FAT knows none
        shutil.copystat(source, target)


def drop_cached(descriptor: int) -> None:
    """Makes the system read the file from the disk next time, if it can."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def part_of(path: bytes) -> bytes:
    """Name under which the file that becomes `path` is made: in its folder, short, and the same each time."""
    from blake3 import blake3

    return os.path.join(os.path.dirname(path), PART % blake3(path).hexdigest(length=8).encode())


def sync_folder(path: bytes) -> None:
    """Makes changes of names in the folder of `path` survive a power cut, if the file system can."""
    descriptor = os.open(os.path.dirname(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES):
            raise
    finally:
        os.close(descriptor)


def free_name(path: bytes) -> bytes:
    """`path`, or the first of `x_01.mp3`, `x_02.mp3` … that is free, shortened if the name would be too long."""
    folder, name = os.path.split(path)
    stem, extension = os.path.splitext(name)
    number = 0
    while True:
        ending = (b"_%02d" % number if number else b"") + extension
        room = _LONGEST_NAME - len(ending)
        candidate = os.path.join(folder, shortened(stem, room) + ending)
        if not os.path.lexists(candidate):
            return candidate
        number += 1


def shortened(name: bytes, n_bytes: int) -> bytes:
    """The first `n_bytes` bytes at most, cut between two characters of UTF-8."""
    cut = name[:n_bytes]
    if len(name) > n_bytes:
        while cut and name[len(cut)] & 0xC0 == 0x80:
            cut = cut[:-1]
    return cut
