"""The system's trash. Where it follows freedesktop.org, this module puts a file there, by the folder that is held open,
and finds it again. Elsewhere Send2Trash puts it there, and a person takes it out."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import urllib.parse
from collections.abc import Iterator
from datetime import datetime

from dedup.cleanup.moving import hash_at, move, shortened
from dedup.errors import RepriseError
from dedup.files.held import OutOfReachError, Spot
from dedup.files.paths import and_above, printable, volume_of

_NOTE = b".trashinfo"


class NotInTrashError(RepriseError):
    """A file that was put into the trash is not there."""


def put_into_trash(spot: Spot) -> None:
    """Moves a file to the trash. Raises OSError if the system has none for it."""
    if sys.platform == "darwin":
        _put_by_system(spot)
        return
    trash, top = _trash_for(spot)
    files, notes = (_folder_of_trash(trash, name) for name in (b"files", b"info"))
    try:
        _put(spot, Spot(os.path.join(trash, b"files", spot.name), files), notes, top)
    finally:
        os.close(files)
        os.close(notes)


def _put(spot: Spot, target: Spot, notes: int, top: bytes | None) -> None:
    """Writes the note first, whose name reserves that of the file."""
    told = spot.path if top is None else os.path.relpath(spot.path, top)
    when = datetime.now().strftime("%Y-%m-%dT%H:%M:%S")  # local time, as the specification asks
    text = f"[Trash Info]\nPath={urllib.parse.quote(told)}\nDeletionDate={when}\n"
    stem, extension = os.path.splitext(target.name)
    number = 0
    while True:
        ending = (b" %d" % number if number else b"") + extension
        kept = target.beside(shortened(stem, 255 - len(_NOTE) - len(ending)) + ending)
        note = Spot(os.path.join(os.path.dirname(os.path.dirname(kept.path)), b"info", kept.name + _NOTE), notes)
        number += 1
        try:
            if kept.exists():
                continue
            with note.create() as file:
                file.write(text.encode())
        except FileExistsError:
            continue
        try:
            move(spot, kept)
        except BaseException:
            note.discard()
            raise
        return


def _trash_for(spot: Spot) -> tuple[bytes, bytes | None]:
    """The trash folder of the disk that holds a file, and the folder that its note's path starts from, None for
    absolute. Raises OSError if there is none."""
    home = _home()
    device = os.fstat(spot.folder).st_dev
    if _device_of(home) == device:
        return os.path.join(home, b"Trash"), None
    top = volume_of(os.path.dirname(spot.path))
    if os.stat(top).st_dev != device:
        raise OSError(errno.EXDEV, "the disk that holds it cannot be told", spot.path)
    shared = os.path.join(top, b".Trash")
    with contextlib.suppress(FileNotFoundError):
        status = os.lstat(shared)
        if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:
            return os.path.join(shared, b"%d" % os.getuid()), top
    return os.path.join(top, b".Trash-%d" % os.getuid()), top


def _home() -> bytes:
    return os.environb.get(b"XDG_DATA_HOME") or os.path.expanduser(b"~/.local/share")


def _device_of(folder: bytes) -> int:
    """Device that holds a folder, or will when it is made."""
    return os.stat(next(filter(os.path.isdir, and_above(folder)), b"/")).st_dev


def _folder_of_trash(trash: bytes, name: bytes) -> int:
    """A descriptor of a folder of the trash, which is made if it is missing. Raises OSError, also if the trash is a
    link or another user's: what is put there would be somebody else's."""
    os.makedirs(trash, 0o700, exist_ok=True)
    descriptor = os.open(trash, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_uid != os.getuid():
            raise PermissionError(errno.EPERM, f"the trash {printable(trash)} belongs to another user")
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=descriptor)
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _put_by_system(spot: Spot) -> None:
    """As the system moves it, which only knows paths: the folder is compared with the one that is held, before and
    after."""
    from send2trash import send2trash
    from send2trash.exceptions import TrashPermissionError

    if not os.path.samestat(os.stat(os.path.dirname(spot.path)), os.fstat(spot.folder)):
        raise OutOfReachError(spot.path, "its folder was replaced meanwhile")
    try:
        send2trash(spot.path)
    except TrashPermissionError as error:  # an OSError that may lack a reason
        raise PermissionError(f"no trash can be made on its disk: {error}") from error
    except OSError as error:  # its text may hold the path as Python shows it
        raise OSError(error.errno, os.strerror(error.errno)) if error.errno else error from error
    if spot.exists():
        raise OutOfReachError(spot.path, "its folder was replaced meanwhile: another file may be in the trash")


def take_out(spot: Spot, size: int, full: bytes) -> None:
    """Moves the file that went from a spot into the trash back. Raises NotInTrashError, OSError."""
    for told, path in _trashed(spot.path):
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            kept = Spot(path, folder)
            if kept.is_file() and kept.status().st_size == size and hash_at(kept) == full:
                move(kept, spot)
                os.unlink(told)
                return
        finally:
            os.close(folder)
    remedy = "Take it out of the trash by hand" if sys.platform == "darwin" else ""
    raise NotInTrashError(printable(spot.path), "is no longer in the trash", remedy=remedy)


def _trashed(path: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the note and the file of each entry of a trash that comes from `path`, newest first."""
    for trash, top in _trashes(path):
        notes = os.path.join(trash, b"info")
        for name in sorted(_names(notes), key=lambda name: os.lstat(os.path.join(notes, name)).st_mtime_ns)[::-1]:
            note, kept = os.path.join(notes, name), os.path.join(trash, b"files", name.removesuffix(b".trashinfo"))
            if name.endswith(b".trashinfo") and _source_of(note, top) == path and os.path.lexists(kept):
                yield note, kept


def _trashes(path: bytes) -> list[tuple[bytes, bytes]]:
    """Each trash folder that may hold it, with the folder that its relative paths start from."""
    data = _home()
    top, user = volume_of(os.path.dirname(path)), b"%d" % os.getuid()
    own = [os.path.join(top, b".Trash", user), os.path.join(top, b".Trash-" + user)]
    return [(os.path.join(data, b"Trash"), data), *((folder, top) for folder in own)]


def _names(folder: bytes) -> list[bytes]:
    try:
        return os.listdir(folder)
    except OSError:  # no such trash
        return []


def _source_of(note: bytes, top: bytes) -> bytes | None:
    """Path from which an entry of the trash came; None if its note does not say."""
    with open(note, "rb") as file:
        for line in file.read().splitlines():
            name, _, value = line.partition(b"=")
            if name.strip() == b"Path":
                return os.path.normpath(os.path.join(top, urllib.parse.unquote_to_bytes(value.strip())))
    return None
