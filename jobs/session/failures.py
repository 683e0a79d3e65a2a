"""System exceptions as conditions that a user can act on, and where the traceback of an unexpected one goes."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

from dedup.errors import AGAIN, JournalError, RepriseError, WriteError, is_refusal, refused
from jobs.session.log import StoreLog

DENIED = {errno.EACCES, errno.EPERM}
SQLITE = {
    "disk is full": errno.ENOSPC,
    "disk i/o error": errno.EIO,
    "readonly database": errno.EROFS,
    "unable to open database file": errno.EACCES,
}
INSTEAD = "choose another folder with --store"


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
        in_store = store is not None and _could_hold(store, place)
        if is_refusal(error) and (in_store or error.errno not in DENIED):
            return refused(place, error, INSTEAD if in_store else "")
    sqlite3 = sys.modules.get("sqlite3")
    if sqlite3 is not None and isinstance(error, sqlite3.OperationalError):
        for text, number in SQLITE.items():
            if text in str(error).lower():
                said = _asked(store) if store is not None and number != errno.ENOSPC else None
                return refused(str(store or "store"), said or OSError(number, str(error)), INSTEAD)
    return None


def _asked(folder: Path) -> OSError | None:
    """What the disk itself refuses now; None if it takes a write. SQLite calls a quota, a read-only disk or a full one
    an I/O error, depending on the call that was refused."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(1 << 16))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error if is_refusal(error) else None
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


@contextlib.contextmanager
def going_on(store: Path) -> Iterator[None]:
    """If the disk refused and a clean-up is broken off now, the same command would not go on with it: the error then
    says which does."""
    try:
        yield
    except Exception as error:
        from dedup.cleanup.journal import broken_off

        known = as_reprise_error(error, store)
        if isinstance(known, WriteError):
            with contextlib.suppress(OSError, JournalError):
                if (journal := broken_off(store)) is not None:
                    remedy = known.remedy.replace(f" or {INSTEAD}", "").replace(AGAIN, journal.go_on)
                    raise WriteError(known.where, known.found, remedy=remedy) from error
        raise
