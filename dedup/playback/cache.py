"""Sounds decoded once and kept below the user's cache folder, within a bound; any of it may be removed at any time."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import platformdirs

from dedup.playback.folder import PART
from dedup.playback.lanes import Place
from dedup.playback.sound import Decoded, Sound
from dedup.playback.task import File, Task
from dedup.playback.work import Work

MAX_BYTES = 2 << 30
"""Bytes that are kept by default: six hours of music."""
N_DECODERS = 2
"""Files that are decoded at a time, by default."""
TIME_LIMIT_S = 900.0
"""Seconds that decoding one file may take, by default: six times what 24 hours of MP3 take."""
_GONE = ".gone"
_OLD_S = 3600.0
"""Age at which what a kill left behind is removed."""
_MOST_KNOWN = 256
"""Sounds that are known at a time; the others are found on the disk again."""
_SEGMENTS = 12
"""Segments that are kept in memory, 1.9 MB each."""
_BOUNDED_EVERY = 60
"""Segments of one sound after which the bound is looked at."""


def cache_folder() -> Path:
    """Where sounds are kept by default."""
    return platformdirs.user_cache_path("reprise") / "sound"


class SoundCache:
    """The sounds that a server plays. Threads may share it; so may processes share its folder."""

    def __init__(
        self,
        folder: Path | None = None,
        max_bytes: int = MAX_BYTES,
        n_decoders: int = N_DECODERS,
        time_limit_s: float = TIME_LIMIT_S,
    ) -> None:
        """Raises nothing: a folder that cannot be written is the problem of each sound."""
        self.folder = folder or cache_folder()
        self.max_bytes = max_bytes
        self._time_limit_s = time_limit_s
        self._pool = ThreadPoolExecutor(n_decoders, "decode")
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Sound] = OrderedDict()
        self._works: set[Work] = set()
        self._decoded = Decoded(_SEGMENTS)
        self._is_closed = False
        self._remove_leftovers()

    def sound(self, file: File) -> Sound:
        """The sound of a file. Returns at once, and has it decoded if it isn't; several requests share one decoding."""
        return self._sound(Task((file,))).begin()

    def difference(self, a: File, b: File, place: Place) -> Sound:
        """What only one of two files has, on the axis of `b`; `place` says about where `a` lies on it. Returns at once,
        as `sound`. Its facts have `difference.Details`, from which its own place comes."""
        return self._sound(Task((a, b), place, most_memory=4 << 30)).begin()

    def close(self) -> None:
        """Ends all decodings at once. What is cached stays."""
        with self._lock:
            self._is_closed = True
            works = list(self._works)
        for work in works:
            work.stop()
        self._pool.shutdown(cancel_futures=True)
        for work in works:
            if not work.is_over:  # it has not begun: whoever waits for it hears that it never will
                work.run()

    def n_bytes(self) -> int:
        """Bytes that are cached."""
        return sum(size for _, size, _ in self._cached())

    def bound(self, using: str = "") -> None:
        """Removes the sounds that were used longest ago, as far as there are more than `max_bytes`; never the one
        `using`, nor those being decoded."""
        cached = sorted(self._cached())
        excess = sum(size for _, size, _ in cached) - self.max_bytes
        with self._lock:
            busy = {using} | {key for key, sound in self._known.items() if sound.is_being_decoded}
        for _, size, key in cached:
            if excess <= 0:
                break
            if key not in busy:
                self._remove(self.folder / key)
                excess -= size

    def _sound(self, task: Task) -> Sound:
        key = task.key
        with self._lock:
            found = self._known.get(key)
            if found is None or found.may_be_tried_again:
                folder = self.folder / key
                found = Sound(task, folder, self._start, lambda: Work(task, folder, self._time_limit_s), self._decoded)
                self._known[key] = found
            self._known.move_to_end(key)
            idle = [each for each, sound in self._known.items() if not sound.is_being_decoded]
            for each in idle[: max(0, len(self._known) - _MOST_KNOWN)]:
                del self._known[each]
            return found

    def _start(self, work: Work) -> None:
        with self._lock:
            if self._is_closed:
                work.stop()
                work.run()
                return
            self._works.add(work)
            self._pool.submit(self._run, work)

    def _run(self, work: Work) -> None:
        bounding = threading.Thread(target=self._bound_while, args=(work,), daemon=True)
        bounding.start()
        work.run()
        with self._lock:
            self._works.discard(work)
        self.bound(work.folder.name)

    def _bound_while(self, work: Work) -> None:
        """Keeps the bound while a long sound is being decoded."""
        n_segments = _BOUNDED_EVERY
        while not work.is_over:
            if work.wait(n_segments, 60.0) and not work.is_over:
                n_segments += _BOUNDED_EVERY
                self.bound(work.folder.name)

    def _cached(self) -> list[tuple[float, int, str]]:
        """When each sound was last used, its bytes, and its key."""
        found = []
        for folder in self._folders():
            with contextlib.suppress(OSError):
                size = sum(each.stat().st_size for each in os.scandir(folder))
                found.append((folder.stat().st_mtime, size, folder.name))
        return found

    def _folders(self) -> list[Path]:
        try:
            return [Path(each.path) for each in os.scandir(self.folder) if _is_key(each.name)]
        except OSError:  # not made yet
            return []

    def _remove(self, folder: Path) -> None:
        """Removes a sound: from one moment to the next it is not there."""
        gone = folder.with_name(f"{folder.name}{_GONE}{time.monotonic_ns():x}")
        with contextlib.suppress(OSError):
            folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)

    def _remove_leftovers(self) -> None:
        """Removes what a kill left: sounds half removed, files half written."""
        with contextlib.suppress(OSError):
            for each in list(os.scandir(self.folder)):
                if _GONE in each.name:
                    shutil.rmtree(each.path, ignore_errors=True)
        for folder in self._folders():
            for part in folder.glob(f"*{PART}"):
                with contextlib.suppress(OSError):
                    if time.time() - part.stat().st_mtime > _OLD_S:
                        part.unlink()


def _is_key(name: str) -> bool:
    return len(name) == 32 and set(name) <= set("0123456789abcdef")
