"""The time as it is recorded: in stores, journals, plans and logs."""

from __future__ import annotations

import time
from calendar import timegm

_FORM = "%Y-%m-%dT%H:%M:%SZ"


def utc_now() -> str:
    """The time now, such as "2026-02-28T21:30:00Z"."""
    return utc_at(time.time())


def utc_at(seconds: float) -> str:
    """A time in seconds since 1970 as it is recorded, to the second."""
    return time.strftime(_FORM, time.gmtime(seconds))


def seconds_of(when: str) -> float:
    """Seconds since 1970 of a recorded time. Raises ValueError for anything else."""
    return timegm(time.strptime(when, _FORM))
