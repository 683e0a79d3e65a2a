"""How often a service may be asked: a rate that all processes of this user keep together, through a file that says when
the next request may go out."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dedup.errors import writing
from dedup.runner import Stop
from dedup.store.layout import PRIVATE_FILE, PRIVATE_FOLDER

LONGEST_HOLD_S = 3600.0
"""Longest time that a service may keep us waiting."""
LOOK_S = 60.0
"""Longest time until the file is looked at again by who waits: the clock may be set meanwhile."""
_LOCK_S = 0.02
"""Pause between two tries to lock the file."""


class StoppedError(Exception):
    """The run was asked to stop while it waited."""


class Pace:
    """Lets requests out one by one, `interval_s` apart, whoever of this user makes them."""

    def __init__(
        self,
        path: Path,
        interval_s: float,
        stop: Stop,
        now: Callable[[], float] = time.time,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """`path` is the file; its folder is made. `now` gives seconds since 1970, and `wait` lets some pass; a request
        to `stop` ends the waiting."""
        self.path, self.interval_s, self.stop = path, interval_s, stop
        self._now, self._wait = now, wait or stop.event.wait

    def now(self) -> float:
        """Seconds since 1970."""
        return self._now()

    def take(self) -> None:
        """Returns when a request may go out. Raises StoppedError, WriteError."""
        while True:
            if self.stop.requested:
                raise StoppedError
            with self._held() as file:
                now, (until, written) = self._now(), _read(file)
                ahead_s = _left_s(until, written, now)
                if ahead_s <= 0:
                    _write(file, now + self.interval_s, now)
                    return
                if now < written:  # by a clock that was set back since
                    _write(file, now + ahead_s, now)
            self._wait(min(ahead_s, LOOK_S))

    def hold(self, seconds: float) -> None:
        """Lets nothing out for so long, for any process; at most `LONGEST_HOLD_S`. Raises StoppedError, WriteError."""
        with self._held() as file:
            now = self._now()
            _write(file, now + max(_left_s(*_read(file), now), min(seconds, LONGEST_HOLD_S)), now)

    @contextlib.contextmanager
    def _held(self) -> Iterator[int]:
        """The file, which nobody else reads or writes meanwhile; never for longer than that takes."""
        with writing(str(self.path)):
            self.path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE)
            try:
                self._lock(file)
                yield file
            finally:
                os.close(file)

    def _lock(self, file: int) -> None:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # another process has it for a moment, or stands still
                if self.stop.event.wait(_LOCK_S):
                    raise StoppedError from None
            else:
                return


def _left_s(until: float, written: float, now: float) -> float:
    """Seconds until the next request may go out. If the clock was set back since the file was written, as many as it
    said then."""
    left_s = until - max(now, written)
    return left_s if left_s <= LONGEST_HOLD_S else 0.0


def _read(file: int) -> tuple[float, float]:
    """The moment in the file, and the one when it was written, in seconds since 1970; 0 if it holds none."""
    try:
        until, written = map(float, os.pread(file, 64, 0).split())
    except ValueError:
        return 0.0, 0.0
    return (until, written) if math.isfinite(until) and math.isfinite(written) else (0.0, 0.0)


def _write(file: int, until: float, now: float) -> None:
    text = f"{until:.6f} {now:.6f}\n".encode()
    os.pwrite(file, text, 0)
    os.ftruncate(file, len(text))
