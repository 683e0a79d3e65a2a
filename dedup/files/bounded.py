"""Limits on what one file may cost whoever reads its headers and tags: bytes and memory. A file that exceeds them has
tags that nobody has read, and no more."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import sys
import threading
from collections.abc import Iterator
from typing import BinaryIO

MOST_BYTES = 64 << 20
"""Bytes of tags and covers that are read of a file. Covers have 16 MiB at most, and a booklet of such scans fits."""

MOST_MEMORY = 512 << 20
"""Bytes of memory that reading the headers and tags of a file may take: a compressed frame, or a million small ones,
come to far more than they take up in the file. Tags of `MOST_BYTES` take less than half of it."""

_SMALL = 1 << 16
"""Reads of this size and less do not count: parsers of Ogg go through a whole file page by page and keep nothing. What
they do keep is held by `MOST_MEMORY`."""

_limiting = threading.RLock()


class TooMuchError(Exception):
    """The tags of a file have more than `MOST_BYTES`."""


class Bounded:
    """An open file for a parser that believes what the file says of its sizes: no read is larger than what is left of
    the file, and all together are no more than `MOST_BYTES`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._size = file, os.fstat(file.fileno()).st_size
        self._left = MOST_BYTES
        self.is_exceeded = False
        """Whether a read was refused; parsers swallow exceptions."""

    @property
    def name(self) -> str | bytes | int:
        return self._file.name

    def read(self, size: int | None = -1) -> bytes:
        """At most `size` bytes, all that are left by default. Raises TooMuchError."""
        left = max(0, self._size - self._file.tell())
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > _SMALL:
            if wanted > self._left:
                self.is_exceeded = True
                raise TooMuchError(f"more than {MOST_BYTES >> 20} MiB of tags")
            self._left -= wanted
        return self._file.read(wanted)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()


@contextlib.contextmanager
def bounded_memory(n_bytes: int = MOST_MEMORY) -> Iterator[None]:
    """Within it this process may take `n_bytes` more than it has: beyond that an allocation fails, and Python raises
    MemoryError. It counts for all threads, so keep it short. Only Linux knows the limit."""
    taken = _address_space()
    if not taken:
        yield
        return
    with _limiting:
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = taken + n_bytes
        if soft != resource.RLIM_INFINITY:
            limit = min(soft, limit)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def unbounded() -> Iterator[None]:
    """For a block that starts a process while other threads read files: no `bounded_memory` of theirs is in force,
    which the process would keep for good."""
    with _limiting:
        yield


def is_too_much(error: BaseException) -> bool:
    """Whether an exception says that a file exceeds a limit. FFmpeg has an error number in place of MemoryError."""
    return isinstance(error, (TooMuchError, MemoryError)) or getattr(error, "errno", None) == errno.ENOMEM


def _address_space() -> int:
    """Bytes of address space that this process has; 0 where the system does not limit it."""
    if sys.platform != "linux":
        return 0
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0
