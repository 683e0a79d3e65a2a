"""Where a path lies on its file system, wherever that is mounted. If a folder is mounted in a second place (a bind
mount), its path there does not show what else it is part of."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from dedup.files.paths import holds

MOUNTS = "/proc/self/mountinfo"
_ESCAPE = re.compile(rb"\\([0-7]{3})")

NETWORK = frozenset(
    b"nfs nfs4 cifs smb3 smbfs 9p afs ceph glusterfs lustre beegfs davfs "
    b"fuse.sshfs fuse.glusterfs fuse.ceph fuse.rclone fuse.davfs2 fuse.smbnetfs".split()
)
"""Types of file systems on other hosts."""


@dataclass(frozen=True)
class Mount:
    """A part of a file system, and where it is mounted."""

    device: bytes
    root: bytes
    """Path on the file system."""
    point: bytes
    """Path at which it is mounted."""
    kind: bytes = b""
    """Type of the file system, such as ext4 or nfs4."""

    @property
    def is_network(self) -> bool:
        """Whether other hosts may write to it too."""
        return self.kind in NETWORK


def mounts() -> list[Mount]:
    """All mounts, in the order in which they were made; none on a system without Linux's table of mounts."""
    try:
        with open(MOUNTS, "rb") as file:
            lines = [line.split(b" ") for line in file.read().splitlines()]
    except OSError:
        return []
    return [
        Mount(words[2], _unescaped(words[3]), _unescaped(words[4]), _kind(words)) for words in lines if len(words) > 4
    ]


def _kind(words: list[bytes]) -> bytes:
    """The type, which follows a hyphen behind fields whose number varies."""
    after = words[words.index(b"-", 6) + 1 :] if b"-" in words[6:] else []
    return after[0] if after else b""


def mount_of(path: bytes, known: list[Mount]) -> Mount | None:
    """The mount that holds what `path` leads to; None if none does. The file need not exist."""
    real = os.path.realpath(path)
    return max((m for m in reversed(known) if holds(m.point, real)), key=lambda m: len(m.point), default=None)


def place_of(path: bytes, known: list[Mount]) -> tuple[bytes, bytes] | None:
    """Device of what `path` leads to, and path on it; None if no mount holds it. The file need not exist."""
    real, found = os.path.realpath(path), mount_of(path, known)
    if found is None:
        return None
    return found.device, os.path.normpath(os.path.join(found.root, os.path.relpath(real, found.point)))


def _unescaped(text: bytes) -> bytes:
    return _ESCAPE.sub(lambda found: bytes([int(found[1], 8)]), text)
