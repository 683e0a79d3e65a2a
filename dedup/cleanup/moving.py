"""Moves one file so that it is never lost and nothing is ever overwritten: at whatever moment the process is killed,
the file is whole under its old name or its new one, and calling again finishes the move."""

from __future__ import annotations

import errno
import os
import shutil

from dedup.cleanup.file_status import Status
from dedup.files.held import Spot
from dedup.files.status import size_and_time
from dedup.library.identity import hash_of

PART = b".reprise-%s.part"
"""Name of a file that is being made, in the folder of the file that it becomes."""

CHANGED = "a program is writing to it"

_PIECE = 1 << 20
_LONGEST_NAME = 255


class OccupiedError(OSError):
    """A file is already where another was to be put."""

    def __init__(self, path: bytes) -> None:
        super().__init__(errno.EEXIST, "a file already exists there", path)


def move(source: Spot, target: Spot, again: bool = False) -> None:
    """Moves a regular file to a name that is free: by renaming within a file system, else by copying it, reading the
    copy again, and removing the source. `again`: the same move was begun before, and may have come to any point.

    The name is reserved by an empty file first, since renaming would overwrite; a file that is moved has at least one
    byte. Raises OSError, OccupiedError if the name is not free; then the source is as it was."""
    if again and not source.exists() and target.exists():
        return
    if again and target.exists() and _is_one(source, target):
        raise OccupiedError(target.path)
    if again and _is_reserved(target):
        target.unlink()
    if again and target.exists():
        _end_of_copy(source, target)
        return
    _reserve(target)
    try:
        _fill(source, target)
    except BaseException:
        if _is_reserved(target):
            target.unlink()
        raise
    target.sync()
    source.sync()


def rename_to_free(source: Spot, target: Spot) -> None:
    """Gives a regular file a name that is free, on the same file system; the name is reserved as in `move`. Raises
    OSError with EXDEV for another one, OccupiedError if the name is not free; then the source is as it was."""
    _reserve(target)
    try:
        source.rename(target)
    except BaseException:
        if source.exists() and _is_reserved(target):
            target.unlink()
        raise
    target.sync()
    if os.path.dirname(source.path) != os.path.dirname(target.path):
        source.sync()


def _reserve(target: Spot) -> None:
    try:
        target.create().close()
    except FileExistsError:
        raise OccupiedError(target.path) from None


def _is_reserved(target: Spot) -> bool:
    return target.is_file() and target.status().st_size == 0


def _fill(source: Spot, target: Spot) -> None:
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copied = copy_whole(source, target)
        if _is_other(source.status(), copied):
            target.unlink()
            raise OSError(errno.EBUSY, CHANGED, source.path) from None
        source.unlink()


def recover_move(source: Spot, target: Spot) -> bool:
    """Whether a move that was broken off is done: the source is gone, and the target is there. If it is not, what there
    is of the target is removed, and the source, which may be another file by now, is left as it is."""
    part_of(target).discard()
    if not source.exists():
        return target.exists()
    if _is_reserved(target) or (target.exists() and _is_copy(source, target)):
        target.unlink()
    return False


def _is_copy(source: Spot, target: Spot) -> bool:
    if _is_one(source, target) or source.status().st_size != target.status().st_size:
        return False
    return hash_at(source) == hash_at(target)


def _is_one(a: Spot, b: Spot) -> bool:
    """Whether both names are one entry of one folder, as with a link to that folder: removing one removes both."""
    if a.is_same_entry(b):
        return True
    return os.path.samestat(a.status(), b.status()) and a.status().st_nlink < 2


def is_there(spot: Spot) -> bool:
    """Whether a file can be opened. Network and union file systems remember names for a while; opening asks whoever
    holds the file."""
    try:
        with spot.open():
            return True
    except OSError:
        return False


def hash_at(spot: Spot) -> bytes:
    """`identity.full_hash` of a file. Raises OSError."""
    with spot.open() as file:
        return hash_of(file)


def _end_of_copy(source: Spot, target: Spot) -> None:
    """Finishes a move that had copied the file and was killed before it removed the source."""
    if source.status().st_size != target.status().st_size or hash_at(source) != hash_at(target):
        raise OccupiedError(target.path)
    source.unlink()
    source.sync()


def copy_whole(source: Spot, target: Spot) -> os.stat_result:
    """Puts a copy in the place of `target`, whole or not at all: bytes, which are read again, times, mode, attributes
    and, if allowed, owner. Returns the status of what was copied. Raises OSError, also for a source that changes
    meanwhile."""
    part = part_of(target)
    part.discard()
    try:
        with source.open() as reading, part.create() as writing:
            copied = os.fstat(reading.fileno())
            shutil.copyfileobj(reading, writing, _PIECE)
            writing.flush()  # what is not buffered may write less than all of a piece, and says nothing
            os.fsync(writing.fileno())
            drop_cached(writing.fileno())
            writing.seek(0)
            reading.seek(0)
            is_same = hash_of(writing) == hash_of(reading)
            if _is_other(os.fstat(reading.fileno()), copied):
                raise OSError(errno.EBUSY, CHANGED, source.path)
            if not is_same:
                raise OSError(errno.EIO, "the copy differs from what was written", target.path)
            Status.of(reading.fileno()).give(writing.fileno())
        part.replace(target)
    except BaseException:
        part.discard()
        raise
    target.sync()
    return copied


def _is_other(status: os.stat_result, before: os.stat_result) -> bool:
    """Whether a file was written to, or is another file, since it had this status."""
    return not os.path.samestat(status, before) or size_and_time(status) != size_and_time(before)


def drop_cached(descriptor: int) -> None:
    """Makes the system read the file from the disk next time, if it can."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def part_of(spot: Spot) -> Spot:
    """Name under which the file that becomes `spot` is made: in its folder, short, and the same each time."""
    return spot.beside(part_name(spot.path))


def part_name(path: bytes) -> bytes:
    from blake3 import blake3

    return PART % blake3(path).hexdigest(length=8).encode()


def sync_folder(path: bytes) -> None:
    """Makes changes of names in the folder of `path`, in the store, survive a power cut, if the file system can."""
    descriptor = os.open(os.path.dirname(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        Spot(path, descriptor).sync()
    finally:
        os.close(descriptor)


def free_name(spot: Spot) -> Spot:
    """The spot, or the first of `x_01.mp3`, `x_02.mp3` … that is free, shortened if the name would be too long."""
    stem, extension = os.path.splitext(spot.name)
    number = 0
    while True:
        ending = (b"_%02d" % number if number else b"") + extension
        candidate = spot.beside(shortened(stem, _LONGEST_NAME - len(ending)) + ending)
        if not candidate.exists():
            return candidate
        number += 1


def shortened(name: bytes, n_bytes: int) -> bytes:
    """The first `n_bytes` bytes at most, cut between two characters of UTF-8."""
    cut = name[:n_bytes]
    if len(name) > n_bytes:
        while cut and name[len(cut)] & 0xC0 == 0x80:
            cut = cut[:-1]
    return cut
