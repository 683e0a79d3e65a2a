"""What a file's status says about it, as the catalog keeps it, and when a time of change is reliable. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable

COARSE_NS, FINE_NS = 2 * 10**9, 20 * 10**6
"""Spans in which a second change can leave the same time of change: on file systems that keep whole seconds (FAT only
every other one), and on the others, which take the time of the kernel's last tick."""


def size_and_time(status: os.stat_result) -> tuple[int, int]:
    """Size and time of change in ns, which show whether a file is still as the catalog knows it."""
    return status.st_size, as_int64(status.st_mtime_ns)


def device_and_inode(status: os.stat_result) -> tuple[int, int]:
    """The identity of a file, whatever its name."""
    return as_int64(status.st_dev), as_int64(status.st_ino)


def as_int64(number: int) -> int:
    """The number as SQLite can keep it, one to one: inodes of network and union file systems are unsigned 64-bit
    numbers, and a wrong clock or a broken header gives times of change beyond the year 2262."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def settling_s(mtimes_ns: Iterable[int], now_ns: int) -> float:
    """Seconds to wait before reading files with these times of change, at most 4; 0 unless one has just changed.

    A file that is read within the tick of its last change may change again in the same tick: its size and time stay the
    same, and the file counts as unchanged for ever. If it is read after that tick, every later change shows. A time
    that lies further ahead comes from another clock and is ignored."""
    recent = (mtime for mtime in mtimes_ns if abs(now_ns - mtime) < tick_ns(mtime))
    return (max((mtime + tick_ns(mtime) for mtime in recent), default=now_ns) - now_ns) / 1e9


def tick_ns(mtime_ns: int) -> int:
    """Longest time for which the file system that gave this time of change may repeat it."""
    return FINE_NS if mtime_ns % 10**9 else COARSE_NS


def ownership(path: bytes) -> tuple[object, ...]:
    """Owner, group, mode and access list of a file. Raises OSError."""
    status = os.stat(path)
    try:
        access = os.getxattr(path, b"system.posix_acl_access") if hasattr(os, "getxattr") else b""
    except OSError:  # none, or a file system without
        access = b""
    return status.st_uid, status.st_gid, status.st_mode & 0o7777, access
