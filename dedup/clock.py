"""The time as it is recorded: in stores, journals, plans and logs."""

from __future__ import annotations

import time


def utc_now() -> str:
    """The time now, such as "2026-02-28T21:30:00Z"."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
