"""Where a path lies on its file system, wherever that is mounted. If a folder is mounted in a second place (a bind
mount), its path there does not show what else it is part of."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from dedup.files.paths import holds

MOUNTS = "/proc/self/mountinfo"
_ESCAPE = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """A part of a file system, and where it is mounted."""

    device: bytes
    root: bytes
    """Path on the file system."""
    point: bytes
    """Path at which it is mounted."""


def mounts() -> list[Mount]:
    """All mounts, in the order in which they were made; none on a system without Linux's table of mounts."""
    try:
        with open(MOUNTS, "rb") as file:
            lines = [line.split(b" ") for line in file.read().splitlines()]
    except OSError:
        return []
    return [Mount(words[2], _unescaped(words[3]), _unescaped(words[4])) for words in lines if len(words) > 4]


def place_of(path: bytes, known: list[Mount]) -> tuple[bytes, bytes] | None:
    """Device of what `path` leads to, and path on it; None if no mount holds it. The file need not exist."""
    real = os.path.realpath(path)
    found = max((m for m in reversed(known) if holds(m.point, real)), key=lambda m: len(m.point), default=None)
    if found is None:
        return None
    return found.device, os.path.normpath(os.path.join(found.root, os.path.relpath(real, found.point)))


def _unescaped(text: bytes) -> bytes:
    return _ESCAPE.sub(lambda found: bytes([int(found[1], 8)]), text)
