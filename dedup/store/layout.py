"""Where each part of a store is, and who may write it. FORMAT.md documents the tree; this is the tree in code."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dedup.errors import StoreLockedError, WriteError, refused, writing

ANOTHER_FOLDER = "choose another folder with --store"


@dataclass(frozen=True)
class Layout:
    """The names inside a store's folder."""

    folder: Path

    @property
    def catalog(self) -> Path:
        return self.folder / "catalog.db"

    @property
    def blocks(self) -> Path:
        return self.folder / "fingerprints.zarr"

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    @property
    def salvage(self) -> Path:
        """Folder in which a repair builds a new catalog from a damaged one."""
        return self.folder / "wip-catalog"

    @property
    def set_aside(self) -> Path:
        """The damaged catalog, between the steps that put a new one in its place."""
        return self.salvage / "old.db"

    @property
    def log(self) -> Path:
        return self.folder / "reprise.log"

    def bytes_on_disk(self) -> int:
        """Size of all files."""
        total = 0
        for parent, _, names in os.walk(self.folder):
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # a concurrent writer has just removed it
                    total += os.lstat(os.path.join(parent, name)).st_size
        return total

    def make(self) -> None:
        """Creates the folder; only its owner can read a new one. Raises WriteError."""
        with writing(f"store {self.folder}", ANOTHER_FOLDER):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextlib.contextmanager
def write_lock(layout: Layout, purpose: str) -> Iterator[None]:
    """Holds the store's lock; the system releases it when the process ends, however it ends.

    Raises StoreLockedError, which names the holder."""
    import fcntl

    try:
        descriptor = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(layout, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreLockedError(
                f"store {layout.folder}",
                f"in use by {_holder(descriptor)}",
                remedy="Wait for that run to end, or stop it",
            ) from None
        except OSError as error:  # a file system without locks
            raise _unwritable(layout, error) from error
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "purpose": purpose}
        _tell(descriptor, json.dumps(holder).encode())
        yield
        _tell(descriptor, b"")
    finally:
        os.close(descriptor)


def is_locked(layout: Layout) -> bool:
    """Whether a run holds the store now. Asks the system only if the lock's text names a run: asking takes the lock for
    a moment."""
    import fcntl

    try:
        descriptor = os.open(layout.lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not os.pread(descriptor, 1, 0):
            return False
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks: a writer could not hold it
        return False
    finally:
        os.close(descriptor)
    return False


def _tell(descriptor: int, text: bytes) -> None:
    """Replaces the text of the lock file. Only the system's lock counts, so on a full disk `check --repair` can still
    free space."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text, 0)


def _unwritable(layout: Layout, error: OSError) -> WriteError:
    return refused(f"store {layout.folder}", error, ANOTHER_FOLDER)


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"{holder['purpose']} (pid {holder['pid']} on {holder['host']}, since {holder['since']})"
    except (ValueError, KeyError, TypeError):
        return "another run that has just started"
