"""When a run stops by itself: at the time `--until`, `--max-hours` after its start, or at the earlier of the two."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType

from dedup.runner import Stop

LOOK_EVERY_S = 20.0
"""Seconds between two looks at the clock: if the machine slept, or its clock was set, the run stops no later than this
after its time."""


def next_time(clock: str, now: float) -> float:
    """Seconds since the epoch of the next local time `clock` ("HH:MM") after `now`. If clocks are set back and show the
    time twice, both count; if clocks skip the time, it is as far after the gap as it lies in it."""
    hour, minute = map(int, clock.split(":"))
    today = datetime.fromtimestamp(now).replace(hour=hour, minute=minute, second=0, microsecond=0)
    found = []
    for n_days in range(3):  # up to the day after tomorrow, as an odd time zone may have none before
        day = today + timedelta(days=n_days)
        first, second = (day.replace(fold=fold).timestamp() for fold in (0, 1))
        found += [first, second] if second > first else [first]
    return min(at for at in found if at > now)


class Deadline:
    """A context manager: inside it, once the time is up, `stop` is requested and `announce` gets the reason."""

    def __init__(
        self,
        stop: Stop,
        announce: Callable[[str], None],
        until: str | None = None,
        max_hours: float | None = None,
    ) -> None:
        self._stop, self._announce = stop, announce
        self._until = None if until is None else next_time(until, time.time())
        self._seconds = None if max_hours is None else 3600 * max_hours
        self._until_text, self._hours_text = f"it is {until}", f"it ran for {max_hours:g} h" if max_hours else ""
        self._began = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="deadline")
        self.reason = ""
        """Reason for the stop, such as "time is up: it is 06:30"; empty until the stop is requested."""

    def __enter__(self) -> Deadline:
        if self._left() is not None:
            self._look()  # a time that has passed already stops the run before anything begins
            self._thread.start()
        return self

    def __exit__(self, *exception: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.end()

    def end(self) -> None:
        """From here on no stop is requested. Can be called again."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _left(self) -> float | None:
        """Seconds until the earlier limit; None if there is no limit."""
        left = [] if self._until is None else [self._until - time.time()]
        if self._seconds is not None:
            left.append(self._began + self._seconds - time.monotonic())
        return min(left, default=None)

    def _look(self) -> bool:
        left = self._left()
        if left is None or left > 0:
            return False
        by_clock = self._until is not None and self._until <= time.time()
        self.reason = f"time is up: {self._until_text if by_clock else self._hours_text}"
        if not self._stop.requested:
            self._stop.request(self.reason, time_is_up=True)
            self._announce(f"{self.reason}; finishing what is in flight")
        return True

    def _watch(self) -> None:
        while not self._look():
            if self._over.wait(min(max(self._left() or 0.0, 0.0), LOOK_EVERY_S)):
                return
