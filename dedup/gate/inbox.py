"""Folders into which files arrive: asks about each once it is whole. Looks again and again, and needs no events, which
network file systems do not send, and which a folder that is made with its files in it can outrun."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedup.errors import LibraryError
from dedup.files.paths import printable
from dedup.library.discover import Candidate, discover
from dedup.observer import Silent

if TYPE_CHECKING:
    from dedup.settings import DiscoverSettings

log = logging.getLogger("reprise")

LOOK_EVERY_S = 2.0
"""Seconds between two looks at a folder."""

REST_S = 5.0
"""Seconds for which size and time of change of a file must stay as they are."""

Seen = tuple[int, int, int]
"""Size, time of change and inode of a file."""


@dataclass
class _File:
    """A file that was seen."""

    seen: Seen
    since: float
    is_asked: bool = False
    is_settled: bool = False


class Inbox:
    """Watches folders. `ask` is called with the path of each file that is whole, by the thread of `run`."""

    def __init__(
        self,
        folders: Sequence[bytes],
        settings: DiscoverSettings,
        own: Sequence[bytes],
        is_known: Callable[[bytes, float], bool],
        ask: Callable[[bytes], object],
        rest_s: float = REST_S,
        settle: Callable[[bytes, int, int], bool] = lambda *_: True,
    ) -> None:
        """`own` are folders that are not looked into; `is_known` says whether somebody has asked about a path since
        that time, seconds since 1970: then a new start asks no more. `settle` is called with path, size and time of
        each file that was asked about, at each look, until it returns True."""
        self._folders, self._settings, self._own = [os.path.abspath(each) for each in folders], settings, own
        self._is_known, self._ask, self._rest_s, self._settle = is_known, ask, rest_s, settle
        self._files: dict[bytes, _File] = {}
        self._trouble = ""

    def run(self, stop: threading.Event, work: Callable[[], object] = lambda: None) -> None:
        """Looks again and again until `stop` is set; `work` follows each look."""
        while not stop.is_set():
            try:
                self.look(time.monotonic())
                work()
            except Exception:  # whatever it is, the next look may do better
                log.exception("gate: a look at the inbox failed")
            stop.wait(LOOK_EVERY_S)

    def look(self, now: float) -> None:
        """One look at all folders, at this moment of `time.monotonic`. A folder that is not there, or that cannot be
        listed, is tried again the next time."""
        there: dict[bytes, Candidate] = {}
        for folder in self._folders:
            try:
                found = discover([folder], self._settings, Silent(), self._own)
            except LibraryError as error:
                self._tell(str(error))
                continue
            there.update((each.path, each) for each in found.candidates)
        self._files = {path: file for path, file in self._files.items() if path in there}
        for path, candidate in there.items():
            try:
                self._look_at(path, (candidate.size, candidate.mtime_ns, candidate.inode), now)
            except Exception:  # one file must not keep the others waiting
                log.exception("gate: a look at %s failed", printable(path))

    def _look_at(self, path: bytes, seen: Seen, now: float) -> None:
        file = self._files.get(path)
        if file is None or file.seen != seen:
            is_known = file is None and self._is_known(path, _changed_at(path))
            self._files[path] = _File(seen, now, is_known)
        elif not file.is_asked and now - file.since >= self._rest_s and not is_written(path):
            file.is_asked = True
            self._ask(path)
        elif file.is_asked and not file.is_settled:
            file.is_settled = self._settle(path, *seen[:2])

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning("gate: the inbox cannot be read: %s", trouble)
        self._trouble = trouble


def _changed_at(path: bytes) -> float:
    """When a file was changed, renamed or moved here; seconds since 1970, far ahead if it has gone."""
    try:
        return os.stat(path).st_ctime
    except OSError:
        return float("inf")


def is_written(path: bytes) -> bool:
    """Whether a process of this machine has the file open to write, as far as the system tells: it grants no lease to
    read such a file. False for a file that is not ours, or on a file system without leases."""
    lease = getattr(fcntl, "F_SETLEASE", None)
    if lease is None:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        log.debug("gate: %s has gone", printable(path))
        return False
    try:
        fcntl.fcntl(descriptor, lease, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, lease, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
