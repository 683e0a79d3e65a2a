"""The log of commits beside the catalog (`catalog.db-wal`), as a killed writer leaves it. SQLite takes in the commits
before the first that is damaged, and says nothing of those behind it; this does."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import NamedTuple

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_PAGE_BYTES = 4096
_ENTERED_AT = 16
"""Where SQLite's index of the log (`catalog.db-shm`) has the number of frames that count."""


class Lost(NamedTuple):
    """Commits in the log that SQLite does not take in."""

    n_commits: int
    is_last_alone: bool
    """Whether it is only the last one: it may be damaged, or a power failure came before it was done."""

    def __str__(self) -> str:
        if self.is_last_alone:
            return "the last commit in its log is not whole: it is lost, or a power failure came before it was done"
        return f"its log of commits is damaged: the last {self.n_commits:,} commits are lost"


def log_of(catalog: Path) -> Path:
    return catalog.with_name(f"{catalog.name}-wal")


def has_log(catalog: Path) -> bool:
    """Whether there is a log with anything in it: a reader makes an empty one."""
    try:
        return log_of(catalog).stat().st_size > 0
    except OSError:
        return False


def lost_commits(catalog: Path) -> Lost | None:
    """What the log holds and SQLite does not take in; None if that is nothing. Only while no writer has the store, and
    after the catalog was opened and read."""
    try:
        log = log_of(catalog).open("rb")
    except OSError:
        return None
    with log:
        head = log.read(_HEADER.size)
        if len(head) < _HEADER.size:
            return None
        *_, salt_1, salt_2, _, _ = _HEADER.unpack(head)
        salts = (salt_1, salt_2) if _is_sound(head) else None
        n_lost, was_commit, number = 0, False, 0
        n_entered = _n_entered(catalog)
        while len(frame := log.read(_FRAME.size)) == _FRAME.size:
            number += 1
            _, n_pages, *of_frame = _FRAME.unpack(frame)
            salts = salts or (of_frame[0], of_frame[1])
            if (of_frame[0], of_frame[1]) == salts:
                was_commit = n_pages != 0
                n_lost += was_commit and number > n_entered
            log.seek(_PAGE_BYTES, 1)
    return Lost(n_lost, n_lost == 1 and was_commit) if n_lost else None


def _is_sound(head: bytes) -> bool:
    """Whether the head of the log matches its checksum."""
    order = ">" if head[3] & 1 else "<"
    words = struct.unpack(f"{order}6I", head[:24])
    a = b = 0
    for one, other in zip(words[::2], words[1::2], strict=True):
        a = (a + one + b) & 0xFFFFFFFF
        b = (b + other + a) & 0xFFFFFFFF
    return struct.unpack(">2I", head[24:32]) == (a, b)


def _n_entered(catalog: Path) -> int:
    try:
        index = catalog.with_name(f"{catalog.name}-shm").read_bytes()[: _ENTERED_AT + 4]
    except OSError:
        return 0
    return int.from_bytes(index[_ENTERED_AT:], sys.byteorder)
