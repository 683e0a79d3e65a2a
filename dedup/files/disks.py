"""How many files are read from one disk at the same time: heads that jump between files read none of them fast."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from dedup.runner import Runner

READ_AHEAD_BYTES = 256 << 20
"""Of a larger file no more is read ahead: it would drive others out of the system's cache."""

_PIECE = 1 << 20


class Disks:
    """Gives each disk its limit of concurrent readers."""

    def __init__(self, runner: Runner, reads_per_disk: int | None) -> None:
        """`reads_per_disk`: None is 1 where a disk is known to rotate, else no limit."""
        self._runner, self._reads_per_disk = runner, reads_per_disk
        self._limits: dict[int, AbstractContextManager[Any]] = {}

    def reading_file(self, path: bytes) -> AbstractContextManager[Any]:
        """The same of the disk that this file is on."""
        try:
            return self.reading(os.stat(path).st_dev)
        except OSError:
            return nullcontext()  # whoever reads it says so

    def reading(self, device: int) -> AbstractContextManager[Any]:
        """What a task enters to read from the disk with this `st_dev`."""
        if device not in self._limits:
            n = self._reads_per_disk or (1 if is_rotating(device) else None)
            limit = nullcontext() if n is None else self._runner.limit(f"disk {device:x}, {n}", n)
            self._limits[device] = limit
        return self._limits[device]


def is_rotating(device: int, sys_folder: str = "/sys") -> bool:
    """Whether the disk with this `st_dev` is known to have heads that move: on Linux, and where one disk is behind
    it (not so of network mounts and volumes of many disks)."""
    device %= 1 << 64  # the catalog keeps it with a sign
    place = f"{sys_folder}/dev/block/{os.major(device)}:{os.minor(device)}"
    for folder in (place, f"{place}/.."):  # a partition's queue is that of its disk
        try:
            with open(f"{folder}/queue/rotational", encoding="ascii") as file:
                return file.read().strip() == "1"
        except OSError:
            continue
    return False


def read_ahead(path: bytes, reading: AbstractContextManager[Any]) -> None:
    """Brings a file into the system's cache, from its beginning to its end, while it has its turn on the disk: what is
    then decoded for seconds needs the disk no more. Raises OSError."""
    if isinstance(reading, nullcontext):
        return
    piece = bytearray(_PIECE)
    with reading, open(path, "rb", buffering=0) as file:
        while file.tell() < READ_AHEAD_BYTES and file.readinto(piece):
            pass
