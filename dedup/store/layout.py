"""Where each part of a store is, and who may write it. FORMAT.md documents the tree; this is the tree in code."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dedup.errors import StoreLockedError, UsageError, WriteError, refused, writing
from dedup.files.mount_table import mount_of, mounts
from dedup.plain_text import visible

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
ANOTHER_FOLDER = "choose another folder with --store"

SHORT_S, UNNAMED_S = 5.0, 0.2
"""How long a lock is waited for whose holder has it only for a moment, or has not said yet who it is."""

_OURS = re.compile(
    r"(lookup-)?lock|catalog\.db.*|(reprise|cluster|workers)\.log.*|fingerprints\.zarr|cleanups|wip-catalog"
    r"|plan-key|wip-plan-key-.*|waiting-(judgements|namings)(\.damaged)?|review\.json.*|web-passphrase"
    r"|progress\.json.*|page|gate|listeners\.json.*"
)
"""Names of what a store has in its folder."""

_OF_THE_SYSTEM = ("lost+found", "@eaDir")
"""Names that a disk or a NAS puts into a folder that is otherwise empty."""


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
    def plan_key(self) -> Path:
        return self.folder / "plan-key"

    @property
    def waiting(self) -> Path:
        """File of what people said while another process held the lock (`waiting.WaitingFile`)."""
        return self.folder / "waiting-judgements"

    @property
    def waiting_namings(self) -> Path:
        """The same of what they said about which recording a sound is."""
        return self.folder / "waiting-namings"

    @property
    def lookup_lock(self) -> Path:
        """Locked by the run that asks services on the net, all the time; the store itself is not."""
        return self.folder / "lookup-lock"

    @property
    def plan_key_part(self) -> str:
        """How the name of a key begins that is not complete yet."""
        return f"wip-{self.plan_key.name}-"

    @property
    def log(self) -> Path:
        return self.folder / "reprise.log"

    @property
    def progress(self) -> Path:
        """What the run that holds the store is doing; it comes and goes with the run."""
        return self.folder / "progress.json"

    @property
    def page(self) -> Path:
        """Folder of the web page: plans as they were shown, and what its runs printed."""
        return self.folder / "page"

    @property
    def passphrase(self) -> Path:
        """Hash of the passphrase that the web page asks for."""
        return self.folder / "web-passphrase"

    @property
    def gate(self) -> Path:
        """Folder of the gate: what it keeps ready to compare a file with the library."""
        return self.folder / "gate"

    @property
    def listeners(self) -> Path:
        """File of what listeners did with files, as media servers said it last (`servers.evidence`)."""
        return self.folder / "listeners.json"

    def drop_progress(self) -> None:
        """Removes what a killed run left of its progress. Call it only while holding the lock."""
        for left in self.folder.glob(f"{self.progress.name}*"):
            with contextlib.suppress(OSError):
                left.unlink()

    def bytes_on_disk(self) -> int:
        """Size of all files."""
        total = 0
        for parent, _, names in os.walk(self.folder):
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # a concurrent writer has just removed it
                    total += os.lstat(os.path.join(parent, name)).st_size
        return total

    def tighten(self) -> None:
        """Leaves the store to its owner alone, as far as its file system can: folders 0700, files 0600. The folder
        itself only if it holds nothing else. Looks into folders of the store only if others could."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            found = list(entries)
            ours = [entry for entry in found if _OURS.fullmatch(entry.name)]
            if len(ours) == len(found):
                _close_to_others(self.folder, PRIVATE_FOLDER)
            for entry in ours:
                _tighten(Path(entry.path))

    def make(self) -> None:
        """Creates the folder; only its owner can read a new one. Raises UsageError if it holds other things and no
        store, WriteError."""
        if not (self.catalog.exists() or self.blocks.exists()):
            self._require_nothing_else()
        with writing(f"store {self.folder}", ANOTHER_FOLDER):
            self.folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)

    def _require_nothing_else(self) -> None:
        """Raises UsageError: a store among other files would be easy to lose, or to take for one of them."""
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(self.folder)):
                if not (_OURS.fullmatch(name) or name.startswith(".") or name in _OF_THE_SYSTEM):
                    found = f"the folder is no store and holds other things, such as {visible(name)}"
                    raise UsageError(f"store {self.folder}", found, remedy="Name a new or an empty folder with --store")


def private_opener(path: str, flags: int) -> int:
    """For `open(opener=…)`: makes a new file that only its owner can read, whatever the umask is."""
    return os.open(path, flags, PRIVATE_FILE)


def tighten_tree(folder: Path) -> None:
    """Leaves a folder and all that is in it to its owner alone."""
    for parent, _, names in os.walk(folder):
        for name in names:
            _close_to_others(Path(parent, name), PRIVATE_FILE)
        _close_to_others(Path(parent), PRIVATE_FOLDER)


def _tighten(entry: Path) -> None:
    if not entry.is_dir():
        _close_to_others(entry, PRIVATE_FILE)
    elif entry.stat().st_mode & 0o077:
        tighten_tree(entry)


def _close_to_others(path: Path, mode: int) -> None:
    """Sets a mode unless nobody else may do anything; leaves what belongs to somebody else, or cannot have modes."""
    with contextlib.suppress(OSError):
        if path.stat().st_mode & 0o077:
            path.chmod(mode)


@contextlib.contextmanager
def write_lock(layout: Layout, purpose: str, is_short: bool = False) -> Iterator[None]:
    """Holds the store's lock; the system releases it when the process ends, however it ends. Whoever holds it only to
    note what a person said says so with `is_short`: others then wait for that, up to `SHORT_S`.

    Raises StoreLockedError, which names the holder."""

    try:
        descriptor = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    except OSError as error:
        raise _unwritable(layout, error) from error
    try:
        _take(layout, descriptor)
        require_not_elsewhere(layout)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "purpose": purpose}
        holder |= {"short": True} if is_short else {}
        _tell(descriptor, json.dumps(holder).encode())
        layout.tighten()
        try:
            yield
        finally:
            _tell(descriptor, b"")
    finally:
        os.close(descriptor)


def _take(layout: Layout, descriptor: int) -> None:
    import fcntl

    waits = _Waiting()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waits.is_over(descriptor):
                raise StoreLockedError(
                    f"store {layout.folder}",
                    f"in use by {_holder(descriptor)}",
                    remedy="Wait for that run to end, or stop it",
                ) from None
            time.sleep(0.02)
        except OSError as error:  # a file system without locks
            raise _unwritable(layout, error) from error
        else:
            return


class _Waiting:
    """How long the holders of a lock are waited for."""

    def __init__(self) -> None:
        self._began = self._last_named = time.monotonic()

    def is_over(self, descriptor: int) -> bool:
        """Looks at the lock's text, which says nothing for a moment while its holder changes."""
        now = time.monotonic()
        try:
            is_short = bool(json.loads(os.pread(descriptor, 4096, 0)).get("short"))
        except (OSError, ValueError, AttributeError):
            return now - self._last_named > UNNAMED_S
        self._last_named = now
        return not is_short or now - self._began > SHORT_S


def require_not_elsewhere(layout: Layout) -> None:
    """Raises StoreLockedError for a store on a network file system that a run on another host has, or had when it was
    killed: such file systems need not share locks, and SQLite's log of commits is of one host alone."""
    holder = holder_text(layout)
    if holder is None or "host" not in holder:
        return
    host = str(holder["host"])
    mount = mount_of(os.fsencode(layout.folder), mounts())
    if host == socket.gethostname() or mount is None or not mount.is_network:
        return
    raise StoreLockedError(
        f"store {layout.folder}",
        f"on a network file system ({os.fsdecode(mount.kind)}), and in use by {_told(holder)}",
        remedy=f"Wait for that run to end. If it was killed, run any command that writes on {host}, or empty "
        f"{layout.lock}; better, keep the store on a local disk",
    )


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


def holder_text(layout: Layout) -> dict[str, Any] | None:
    """What the lock's text says of its holder: pid, host, since, purpose. It may be that of a run that was killed.
    None if nobody has the store."""
    try:
        found = json.loads(layout.lock.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def holder(layout: Layout) -> dict[str, Any] | None:
    """Who holds the store now, as the lock's text says; None if nobody does. To be asked again and again: the lock
    itself is not touched if the process that the text names is no more."""
    found = holder_text(layout)
    if found is None:
        return None
    if found.get("host") == socket.gethostname():
        try:
            os.kill(int(found["pid"]), 0)
        except (ProcessLookupError, KeyError, ValueError, TypeError):
            return None
        except PermissionError:  # somebody else's
            pass
    return found if is_locked(layout) else None


def was_killed(layout: Layout) -> bool:
    """Whether the last writer did not come to its end, unless one is at work (`is_locked`)."""
    try:
        return layout.lock.stat().st_size > 0
    except OSError:
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
        return _told(json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, KeyError, TypeError):
        return "another run that has just started"


def _told(holder: dict[str, object]) -> str:
    return f"{holder['purpose']} (pid {holder['pid']} on {holder['host']}, since {holder['since']})"
