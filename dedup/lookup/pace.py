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
"""Longest time that a service may keep us waiting; a moment further ahead was written by a clock that was set back."""


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

    def take(self) -> None:
        """Returns when a request may go out. Raises StoppedError, WriteError."""
        while True:
            if self.stop.requested:
                raise StoppedError
            with self._held() as file:
                now = self._now()
                ahead_s = _read(file) - now
                if ahead_s <= 0 or ahead_s > LONGEST_HOLD_S:
                    _write(file, now + self.interval_s)
                    return
            self._wait(ahead_s)

    def hold(self, seconds: float) -> None:
        """Lets nothing out for so long, for any process; at most `LONGEST_HOLD_S`."""
        with self._held() as file:
            now = self._now()
            known = _read(file)
            until = now + min(seconds, LONGEST_HOLD_S)
            _write(file, until if known > now + LONGEST_HOLD_S else max(known, until))

    @contextlib.contextmanager
    def _held(self) -> Iterator[int]:
        """The file, which nobody else reads or writes meanwhile; never for longer than that takes."""
        with writing(str(self.path)):
            self.path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield file
            finally:
                os.close(file)


def _read(file: int) -> float:
    """The moment in the file, seconds since 1970; 0 if it holds none."""
    try:
        moment = float(os.pread(file, 64, 0))
    except ValueError:
        return 0.0
    return moment if math.isfinite(moment) else 0.0


def _write(file: int, moment: float) -> None:
    text = f"{moment:.6f}\n".encode()
    os.pwrite(file, text, 0)
    os.ftruncate(file, len(text))
