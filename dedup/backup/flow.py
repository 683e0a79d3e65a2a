"""How much is taken from a source in how much time, so that nobody else waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from dedup.lookup.pace import Pace, StoppedError

if TYPE_CHECKING:
    from dedup.runner import Stop


class Flow:
    """Lets files begin one by one, and their bytes through no faster than they may."""

    def __init__(
        self,
        stop: Stop,
        pace: Pace | None = None,
        bytes_per_s: float | None = None,
        now: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """Without `pace` files begin at any time; without `bytes_per_s` bytes are not counted."""
        self.stop, self.pace, self._bytes_per_s = stop, pace, bytes_per_s
        self._now, self._wait = now, wait or stop.event.wait
        self._free_at = now()

    def begin(self) -> None:
        """Returns when the next file may begin. Raises StoppedError, WriteError."""
        self.require_time()
        if self.pace is not None:
            self.pace.take()

    def passed(self, n_bytes: int) -> None:
        """Counts bytes that came, and waits until more may come. Raises StoppedError."""
        self.require_time()
        if self._bytes_per_s is not None:
            now = self._now()
            self._free_at = max(self._free_at, now) + n_bytes / self._bytes_per_s
            if self._free_at > now:
                self._wait(self._free_at - now)

    def hold(self, seconds: float) -> None:
        """Lets nothing begin for so long, as the source asks. Raises StoppedError."""
        if self.pace is not None:
            self.pace.hold(seconds)
        self._wait(seconds)
        self.require_time()

    def require_time(self) -> None:
        """Raises StoppedError if the run is to stop."""
        if self.stop.requested:
            raise StoppedError
