"""The temporary folder of a cluster, and the removal of folders that killed launchers left behind.

Only its owner can enter it. Dask by itself would use `dask-scratch-space` in the system's temporary folder, whoever
made that: it loads modules from there and overwrites its lock files, so the owner of that folder would own the run."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dedup.errors import writing

PREFIX = "reprise-cluster-"
_LOCK, _WORK = "lock", "work"
_ANOTHER = "set TMPDIR to another folder"


@contextlib.contextmanager
def open_folder() -> Iterator[str]:
    """A new folder in the system's temporary folder, held by a lock and removed at the end."""
    with writing("temporary folder", _ANOTHER):  # looking for one writes to it
        parent = Path(tempfile.gettempdir())
    _purge(parent)
    with writing(f"temporary folder {parent}", _ANOTHER):
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = open(path / "new", "wb")  # noqa: SIM115
    with lock:
        try:
            with writing(f"temporary folder {path}", _ANOTHER):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.rename(path / "new", path / _LOCK)  # locked before a purge can find it
                (path / _WORK).mkdir()
            yield str(path / _WORK)
        finally:
            _remove(path)


def _purge(parent: Path) -> None:
    """Removes our folders whose launcher is dead: a lock ends with its holder, whichever container it ran in."""
    for path in parent.glob(f"{PREFIX}*"):
        if not _is_ours(path):  # a link that another user made may lead into our files
            continue
        # It fails for a folder that is in use, or is being removed by another run.
        with contextlib.suppress(OSError), open(path / _LOCK, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path)


def _is_ours(path: Path) -> bool:
    """Whether it is a folder, not a link, that nobody else can change."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _remove(path: Path) -> None:
    """Removes a folder, its lock last, so that a later purge finds what cannot be removed now."""
    shutil.rmtree(path / _WORK, ignore_errors=True)
    if not (path / _WORK).exists():
        shutil.rmtree(path, ignore_errors=True)
