"""When a run is to stop by itself: `--until` a time of day, `--max-hours` after its start, or the earlier of both."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType

from dedup.runner import Stop

LOOK_EVERY_S = 20.0
"""How often the clock is looked at: a machine that slept, or whose clock was set, stops late by no more than this."""


def next_time(clock: str, now: float) -> float:
    """Seconds since the epoch of the next local time `clock` ("HH:MM") after `now`. Of a time that the clock shows
    twice, when it is set back, the next one; where it is skipped, as much after the gap."""
    hour, minute = map(int, clock.split(":"))
    today = datetime.fromtimestamp(now).replace(hour=hour, minute=minute, second=0, microsecond=0)
    found = []
    for n_days in range(3):  # the day after tomorrow, lest an odd time zone find none
        day = today + timedelta(days=n_days)
        first, second = (day.replace(fold=fold).timestamp() for fold in (0, 1))
        found += [first, second] if second > first else [first]
    return min(at for at in found if at > now)


class Deadline:
    """A context manager: inside, `stop` is requested once the time is up, and `announce` told."""

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
        """Why it asked for a stop: "time is up: it is 06:30"; empty as long as it has not."""

    def __enter__(self) -> Deadline:
        if self._left() is not None:
            self._look()  # a time that is up already is up before anything begins
            self._thread.start()
        return self

    def __exit__(self, *exception: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.end()

    def end(self) -> None:
        """From here on it asks for no stop any more. May be called again."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _left(self) -> float | None:
        """Seconds until the earlier of both; None where there is neither."""
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
