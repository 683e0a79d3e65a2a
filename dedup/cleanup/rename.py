"""The step that gives a file another path on its file system. Nothing is read, copied or overwritten, so it takes no
longer for a large file; the file stays the same one to the system, with its times, attributes and hard links."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from dedup.cleanup.moving import OccupiedError, rename_to_free
from dedup.cleanup.originals import ChangedSinceError
from dedup.cleanup.steps import NoWayBackError
from dedup.files.held import Reach
from dedup.files.paths import printable
from dedup.files.status import as_int64, size_and_time
from dedup.organize.order import is_hop

ELSEWHERE = "its new place is on another file system"


@dataclass(frozen=True)
class Rename:
    """A file that gets another path."""

    kind: ClassVar[str] = "rename"
    path: bytes
    target: bytes
    size: int
    mtime_ns: int
    inode: int
    origin: bytes = b""
    """Where it was before a step between; empty if this is its only one. So long as it is there, that one is taken
    back."""
    root: bytes = b""
    """Root of the library in which a piece of music is then; empty for what goes along with one."""

    @property
    def is_last(self) -> bool:
        """Whether it puts a piece of music where it is to be."""
        return bool(self.root) and not is_hop(self.target)

    def do(self, reach: Reach) -> None:
        with reach.spot(self.path) as source, reach.spot(self.target) as target:
            if not self._is_it(source.status()):
                raise ChangedSinceError(printable(self.path), "another file was put there meanwhile")
            try:
                rename_to_free(source, target)
            except OSError as error:
                if error.errno == errno.EXDEV:
                    raise OSError(errno.EXDEV, ELSEWHERE, self.path) from error
                raise

    def recover(self, reach: Reach) -> bool:
        """Done if the file has the new path; what reserved that goes if it has not."""
        there = _status(reach, self.target)
        if there is not None and self._is_very(there):
            return True
        if _status(reach, self.path) is None:
            return there is not None and self._is_it(there)
        if there is not None and stat.S_ISREG(there.st_mode) and there.st_size == 0:
            with reach.spot(self.target) as target:
                target.unlink()
        return False

    def undo(self, reach: Reach) -> None:
        """Renames it back. May be called again after a kill, when others that were taken back since have the names."""
        here, there = _status(reach, self.path), _status(reach, self.target)
        is_back = here is not None and self._is_very(here)
        if is_back or (here is None and self._is_at_origin(reach, self._is_very)):
            return
        if there is not None and self._is_very(there):
            if here is not None and not _is_reserved(here):
                raise OccupiedError(self.path)
            self._put_back(reach)
        elif here is not None and self._is_it(here):  # by another inode, as some file systems give them anew
            return
        elif here is None and there is not None and self._is_it(there):
            self._put_back(reach)
        elif here is None and there is None and self._is_at_origin(reach, self._is_it):
            return  # home already, and by another inode since its content was put back
        elif there is not None:
            raise ChangedSinceError(
                printable(self.target), "was changed since: undo that first, or move it back yourself"
            )
        else:
            raise NoWayBackError(
                printable(self.target), "is gone: if it was moved since, undo that first, or move it back"
            )

    def _put_back(self, reach: Reach) -> None:
        with reach.spot(self.target) as held, reach.spot(self.path, make=True) as back:
            if back.exists() and _is_reserved(back.status()):
                back.unlink()  # it was reserved when this was broken off
            rename_to_free(held, back)

    def _is_at_origin(self, reach: Reach, is_it: Callable[[os.stat_result], bool]) -> bool:
        status = _status(reach, self.origin) if self.origin else None
        return status is not None and is_it(status)

    def _is_very(self, status: os.stat_result) -> bool:
        """Whether it is the very file, by its inode, though it may have been written to."""
        return stat.S_ISREG(status.st_mode) and as_int64(status.st_ino) == self.inode

    def _is_it(self, status: os.stat_result) -> bool:
        """Whether it is as the file was."""
        return stat.S_ISREG(status.st_mode) and size_and_time(status) == (self.size, self.mtime_ns)


def _is_reserved(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_size == 0


def _status(reach: Reach, path: bytes) -> os.stat_result | None:
    """Status of what is at a path; None if nothing is, or its folder is gone."""
    with contextlib.suppress(FileNotFoundError), reach.spot(path) as spot:
        return spot.status()
    return None
