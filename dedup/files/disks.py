"""How many files are read from one disk at the same time: heads that jump between files read none of them fast."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from dedup.runner import Runner

READ_AHEAD_BYTES = 256 << 20
"""Bytes that are read ahead at most: more would push other files out of the system's cache."""

_PIECE = 1 << 20


class Disks:
    """Gives each disk its limit of concurrent readers."""

    def __init__(self, runner: Runner, reads_per_disk: int | None) -> None:
        """`reads_per_disk`: None means 1 for a disk that is known to rotate, and no limit for any other."""
        self._runner, self._reads_per_disk = runner, reads_per_disk
        self._limits: dict[int, AbstractContextManager[Any]] = {}

    def reading_file(self, path: bytes) -> AbstractContextManager[Any]:
        """The context that a task enters to read this file; none if the file cannot be found."""
        try:
            return self.reading(os.stat(path).st_dev)
        except OSError:
            return nullcontext()  # whoever reads it reports that

    def reading(self, device: int) -> AbstractContextManager[Any]:
        """The context that a task enters to read from the disk with this `st_dev`."""
        if device not in self._limits:
            n = self._reads_per_disk or (1 if is_rotating(device) else None)
            limit = nullcontext() if n is None else self._runner.limit(f"disk {device:x}, {n}", n)
            self._limits[device] = limit
        return self._limits[device]


def is_rotating(device: int, sys_folder: str = "/sys") -> bool:
    """Whether the disk with this `st_dev` is known to have moving heads. Known on Linux only, and not for network
    mounts and volumes of several disks."""
    device %= 1 << 64  # the catalog stores it signed
    place = f"{sys_folder}/dev/block/{os.major(device)}:{os.minor(device)}"
    for folder in (place, f"{place}/.."):  # a partition shares the queue of its disk
        try:
            with open(f"{folder}/queue/rotational", encoding="ascii") as file:
                return file.read().strip() == "1"
        except OSError:
            continue
    return False


def read_ahead(path: bytes, reading: AbstractContextManager[Any]) -> None:
    """Brings a file into the system's cache in one sequential pass, during its turn on the disk, so that the seconds of
    decoding that follow do not need the disk. Raises OSError."""
    if isinstance(reading, nullcontext):
        return
    piece = bytearray(_PIECE)
    with reading, open(path, "rb", buffering=0) as file:
        while file.tell() < READ_AHEAD_BYTES and file.readinto(piece):
            pass
