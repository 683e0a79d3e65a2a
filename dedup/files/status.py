"""What a file's status tells of it, as the catalog keeps it; and when a time of change can be relied on. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable

COARSE_NS, FINE_NS = 2 * 10**9, 20 * 10**6
"""Within such a time after a change a second one may leave the same time of change: on file systems that keep whole
seconds (FAT every other one), and on others, whose times are those of the kernel's last tick."""


def size_and_time(status: os.stat_result) -> tuple[int, int]:
    """Size and time of change in ns: what tells whether a file is as it was remembered."""
    return status.st_size, as_int64(status.st_mtime_ns)


def device_and_inode(status: os.stat_result) -> tuple[int, int]:
    """What a file is, whatever it is called."""
    return as_int64(status.st_dev), as_int64(status.st_ino)


def as_int64(number: int) -> int:
    """The number as SQLite can keep it, one to one: inodes of network and union file systems are of 64 bits without a
    sign, and a wrong clock or a broken header makes times of change that lie beyond the year 2262."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def settling_s(mtimes_ns: Iterable[int], now_ns: int) -> float:
    """Seconds to wait before files with these times of change are read, at most 4; 0 but for those changed just now.

    Who reads a file within the tick of its last change does not see it when the same tick brings another: size and
    time stay what they were, and for ever after the file is taken to be unchanged. Read after that tick, every later
    change shows. A time that lies further ahead is another clock's, and tells nothing."""
    recent = (mtime for mtime in mtimes_ns if abs(now_ns - mtime) < tick_ns(mtime))
    return (max((mtime + tick_ns(mtime) for mtime in recent), default=now_ns) - now_ns) / 1e9


def tick_ns(mtime_ns: int) -> int:
    """Least time that the file system which gave this time of change may need to give another one."""
    return FINE_NS if mtime_ns % 10**9 else COARSE_NS
