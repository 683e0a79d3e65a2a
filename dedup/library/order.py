"""The order in which files are read: fast and slow formats evenly mixed, each in the order on the disk."""

from __future__ import annotations

import heapq
import os
import struct
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeVar

from dedup.files.paths import extension_of
from dedup.library.discover import Candidate

T = TypeVar("T")

_FS_IOC_FIEMAP = 0xC020660B
_FIEMAP = struct.Struct("=QQLLLL")
_EXTENT = struct.Struct("=QQQQQLLLL")
_LOCATION_UNKNOWN = 0x0002
_ASKED_BEFORE_GIVING_UP = 64
_LAST_FILES = 16
"""Files at the end of the order that come by size, the largest first: so no core waits long for the one with the last
file. More would be read out of the order on the disk."""


def scan_order(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates in reading order: one class per file extension, interleaved in proportion, so that the rate of
    the first minutes holds for the rest; within a class by place on the disk, so that a spinning disk seeks little. The
    last few come by size, the largest first, so that all cores end at nearly the same time.
    Reads the block map of each file if the file system has one, and no file's content."""
    positions = _disk_positions(candidates)
    classes: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in sorted(candidates, key=lambda candidate: positions[candidate.path]):
        classes[extension_of(candidate.path)].append(candidate)
    order = interleave(classes)
    return order[:-_LAST_FILES] + sorted(order[-_LAST_FILES:], key=lambda candidate: -candidate.size)


def interleave(classes: Mapping[str, Sequence[T]]) -> list[T]:
    """Every element once, each class in its own order, the classes mixed in proportion to their lengths.

    After any number of elements each class is less than one element away from its share, so any window is
    less than two away. That is the chairman assignment problem: element k (from 1) of a class of c among n
    belongs into places floor((k - 1)·n / c) + 1 to ceil(k·n / c), and earliest deadline first meets all of
    those windows (Tijdeman 1980, Steiner and Yeomans 1993). Ties go by class name, so the order of `classes`
    does not matter."""
    total = sum(map(len, classes.values()))
    waiting = [(1, name, 0) for name, members in classes.items() if members]
    heapq.heapify(waiting)
    ready: list[tuple[int, str, int]] = []
    order: list[T] = []
    for place in range(1, total + 1):
        while waiting and waiting[0][0] <= place:
            _, name, index = heapq.heappop(waiting)
            deadline = -(-(index + 1) * total // len(classes[name]))
            heapq.heappush(ready, (deadline, name, index))
        _, name, index = heapq.heappop(ready)
        members = classes[name]
        order.append(members[index])
        if index + 1 < len(members):
            heapq.heappush(waiting, ((index + 1) * total // len(members) + 1, name, index + 1))
    return order


def first_extent(path: bytes) -> int | None:
    """Byte offset of the file's first block on its device; None if the file system does not report it, the file has no
    block or cannot be opened, or the system is not Linux. Never blocks, and leaves the access time alone if it may."""
    if sys.platform != "linux":
        return None
    try:
        descriptor = _open_quietly(path)
    except OSError:
        return None
    try:
        return _fiemap(descriptor)
    except OSError:  # the file system has no such map
        return None
    finally:
        os.close(descriptor)


def _disk_positions(candidates: Sequence[Candidate]) -> dict[bytes, tuple[int, bool, int, bytes]]:
    """Sort key of each path. If the first files of a device all have no known place, the device is not asked again:
    over a network each question is a round trip."""
    told: set[int] = set()
    silent: dict[int, int] = defaultdict(int)
    positions = {}
    for candidate in sorted(candidates, key=lambda candidate: candidate.path):
        device, extent = candidate.device, None
        if device in told or silent[device] < _ASKED_BEFORE_GIVING_UP:
            extent = first_extent(candidate.path)
            if extent is None:
                silent[device] += 1
            else:
                told.add(device)
        positions[candidate.path] = _position(candidate, extent)
    return positions


def _position(candidate: Candidate, extent: int | None) -> tuple[int, bool, int, bytes]:
    """Sort key for the order on the disk: by device, then by place if it is known, the others last by inode."""
    place = candidate.inode if extent is None else extent
    return candidate.device, extent is None, place, candidate.path


def _open_quietly(path: bytes) -> int:
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:  # O_NOATIME is for the file's owner
        return os.open(path, flags)


def _fiemap(descriptor: int) -> int | None:
    import fcntl

    request = bytearray(_FIEMAP.pack(0, 2**64 - 1, 0, 0, 1, 0) + bytes(_EXTENT.size))
    fcntl.ioctl(descriptor, _FS_IOC_FIEMAP, request)
    if _FIEMAP.unpack_from(request)[3] == 0:
        return None
    extent = _EXTENT.unpack_from(request, _FIEMAP.size)
    physical: int = extent[1]
    return None if extent[5] & _LOCATION_UNKNOWN else physical
