"""System exceptions as conditions that a user can act on, and where the traceback of an unexpected one goes."""

from __future__ import annotations

import errno
import logging
import os
import sys
import tempfile
import traceback
from pathlib import Path

from dedup.errors import RepriseError, WriteError
from jobs.session.log import StoreLog

NO_ROOM = {
    errno.ENOSPC: "is full",
    errno.EDQUOT: "is full up to your quota",
    errno.EROFS: "cannot be written to",
    errno.EFBIG: "does not take files of that size",
    errno.EIO: "failed to read or write",
}
DENIED = {errno.EACCES, errno.EPERM}
SQLITE = {
    "disk is full": "is full",
    "disk i/o error": "failed to read or write",
    "readonly database": "cannot be written to",
    "unable to open database file": "cannot be written to, or the catalog on it cannot be opened",
}
REMEDY = "Make room or choose another folder with --store, then run the same command again: what was done is kept"


def as_reprise_error(error: BaseException, store: Path | None = None) -> RepriseError | None:
    """The error itself, or a WriteError if a disk refused a write; None for an unexpected error. Looks through the
    causes too, as libraries wrap system errors."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, RepriseError):
            return seen
        refused = _refused_write(seen, store)
        if refused is not None:
            return refused
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return None


def _refused_write(error: BaseException, store: Path | None) -> WriteError | None:
    if isinstance(error, OSError) and error.errno is not None:
        place = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else str(store or "output")
        if error.errno in NO_ROOM:
            return WriteError(place, f"the disk {NO_ROOM[error.errno]}", remedy=REMEDY)
        if error.errno in DENIED and store is not None and _could_hold(store, place):
            return WriteError(place, "you may not write to it", remedy=REMEDY)
    sqlite3 = sys.modules.get("sqlite3")
    if sqlite3 is not None and isinstance(error, sqlite3.OperationalError):
        for text, found in SQLITE.items():
            if text in str(error).lower():
                return WriteError(str(store or "store"), f"the disk {found}", remedy=REMEDY)
    return None


def _could_hold(store: Path, place: str) -> bool:
    """Whether `place` is in the store, or a folder above it that had to be made."""
    path, folder = os.path.abspath(place), os.path.abspath(store)
    return path == folder or path.startswith(folder + os.sep) or folder.startswith(path.rstrip(os.sep) + os.sep)


def keep_traceback(error: BaseException, store_log: StoreLog | None) -> str:
    """Writes the traceback into the store's log, or into a temporary file if there is no log; returns its path."""
    text = "".join(traceback.format_exception(error))
    logging.getLogger("reprise").critical("bug: %s\n%s", error, text)
    if store_log is not None and store_log.written:
        return store_log.path
    try:
        handle, path = tempfile.mkstemp(prefix="reprise-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
    except OSError as refused:
        return f"no file, as none could be written ({refused.strerror})"
    return path
