"""The system's trash. Send2Trash puts a file there. This module finds it again if the trash follows freedesktop.org; on
other systems a person takes it out."""

from __future__ import annotations

import os
import stat
import sys
import urllib.parse
from collections.abc import Iterator

from dedup.cleanup.moving import move
from dedup.errors import RepriseError
from dedup.files.paths import printable, volume_of
from dedup.library.identity import full_hash


class NotInTrashError(RepriseError):
    """A file that was put into the trash is not there."""


def put_into_trash(path: bytes) -> None:
    """Moves a file to the trash. Raises OSError if the system has none for it."""
    from send2trash import send2trash
    from send2trash.exceptions import TrashPermissionError

    try:
        send2trash(path)
    except TrashPermissionError as error:  # an OSError that may lack a reason
        raise PermissionError(f"no trash can be made on its disk: {error}") from error
    except OSError as error:  # its text may hold the path as Python shows it
        raise OSError(error.errno, os.strerror(error.errno)) if error.errno else error from error


def take_out(path: bytes, size: int, full: bytes) -> None:
    """Moves the file that went from `path` into the trash back. Raises NotInTrashError, OSError."""
    for told, kept in _trashed(path):
        status = os.lstat(kept)
        if stat.S_ISREG(status.st_mode) and status.st_size == size and full_hash(kept) == full:
            move(kept, path)
            os.unlink(told)
            return
    remedy = "Take it out of the trash by hand" if sys.platform == "darwin" else ""
    raise NotInTrashError(printable(path), "is no longer in the trash", remedy=remedy)


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
    data = os.environb.get(b"XDG_DATA_HOME") or os.path.expanduser(b"~/.local/share")
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
