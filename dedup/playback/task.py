"""What a decoding process is asked for: the sound of a file, or the difference of two."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from dedup.files.status import size_and_time
from dedup.playback.lanes import REFERENCE, Place

if TYPE_CHECKING:
    from dedup.store.tracks import HeardTrack

PLAYBACK_VERSION = 1
"""Counts the ways in which sounds are made; cached ones of another version are not used. Raise it with any change to
the samples, the outline or the facts of a sound."""


class File(NamedTuple):
    """A file as the store knows it."""

    path: bytes
    size: int
    mtime_ns: int
    inode: int = 0
    device: int = 0

    @classmethod
    def of(cls, track: HeardTrack[Any]) -> File:
        return cls(track.path, track.size, track.mtime_ns, track.inode, track.device)

    def is_as_known(self) -> bool:
        """Whether it still has that size and time of change. Raises OSError."""
        return size_and_time(os.stat(self.path)) == (self.size, self.mtime_ns)


class Task(NamedTuple):
    """What to make: the sound of a file, or the difference of two."""

    files: tuple[File, ...]
    """One file, or the two whose difference is asked for."""
    place: Place = REFERENCE
    """Of two files, about where the first lies on the axis of the second."""
    most_memory: int = 1 << 30
    """Bytes of memory that may be taken."""

    @property
    def key(self) -> str:
        """What the sound is called in the cache: equal for equal bytes of the files, as far as their status tells."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (str(PLAYBACK_VERSION), self.to_json()):
            digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
        return digest.hexdigest()

    def to_json(self) -> str:
        files = [[os.fsdecode(each.path), *each[1:]] for each in self.files]
        return json.dumps({"files": files, "place": list(self.place), "most_memory": self.most_memory})


def task_of(text: str) -> Task:
    values = json.loads(text)
    files = tuple(File(os.fsencode(path), *numbers) for path, *numbers in values["files"])
    return Task(files, Place(*values["place"]), values["most_memory"])
