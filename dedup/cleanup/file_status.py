"""What a file system stores about a file besides its bytes, read from an open file and given to another."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass

_MUST_STAY = ("user.", "system.posix_acl_access")
"""Beginnings of the attributes that a new version of a file must have as well: what the user put there, and who may
read it."""


@dataclass(frozen=True)
class Status:
    """What a file system stores about a file besides its bytes."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    attributes: dict[str, str]
    """Values of extended attributes, in hex, by name; empty if the system has none."""

    @staticmethod
    def of(descriptor: int) -> Status:
        """That of an open file or folder."""
        status = os.stat(descriptor)
        attributes = {}
        if hasattr(os, "listxattr"):
            with contextlib.suppress(OSError):  # a file system without them
                attributes = {name: os.getxattr(descriptor, name).hex() for name in os.listxattr(descriptor)}
        return Status(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, attributes)

    def give(self, descriptor: int) -> None:
        """Gives all of it to an open file or folder, as far as its file system can hold it: the owner only if that is
        allowed, and first, since a change of owner may clear bits of the mode."""
        with contextlib.suppress(PermissionError):
            os.chown(descriptor, self.uid, self.gid)
        with contextlib.suppress(PermissionError):  # FAT knows no mode
            os.chmod(descriptor, self.mode)
        for name, value in self.attributes.items():
            with contextlib.suppress(OSError):  # of the system's own name spaces some may not be set
                os.setxattr(descriptor, name, bytes.fromhex(value))
        os.utime(descriptor, ns=(os.stat(descriptor).st_atime_ns, self.mtime_ns))

    def lacking(self, other: Status) -> list[str]:
        """Names of the user's attributes, and of the access list, that the other does not have as this one does."""
        here = {name: value for name, value in self.attributes.items() if name.startswith(_MUST_STAY)}
        return sorted(name for name, value in here.items() if other.attributes.get(name) != value)
