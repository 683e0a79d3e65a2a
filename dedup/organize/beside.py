"""What goes along when music moves: side-cars, which have the name of a file, and what belongs to an album as a whole:
covers and cue sheets, if all music in their folder goes to one other folder. Changes nothing."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dedup.files.paths import extension_of
from dedup.files.safe_names import safe_file
from dedup.files.status import size_and_time
from dedup.organize.disk import Disk
from dedup.organize.nouns import Beside, Staying
from dedup.playlists.sidecars import Sidecars, renamed
from dedup.settings import DEFAULT_EXTENSIONS

_COVER = re.compile(r"(cover|folder|front|back|albumart|album|artwork|inlay|booklet)\b.*|albumart.*", re.IGNORECASE)
_NUMBER = re.compile(rb" \(([1-9]\d{0,8})\)\Z")
_PICTURES = frozenset(("bmp", "gif", "jpeg", "jpg", "png", "tif", "tiff", "webp"))


def belongs_to_album(name: bytes) -> bool:
    """Whether a file in a folder of music belongs to the album: a cover by its name, or a cue sheet."""
    extension = extension_of(name)
    stem = os.path.splitext(os.fsdecode(name))[0]
    return extension == "cue" or (extension in _PICTURES and _COVER.fullmatch(stem) is not None)


@dataclass
class Along:
    """What lies beside the files that move."""

    disk: Disk
    staying: list[Staying] = field(default_factory=list)
    """What should go along and cannot."""
    _sidecars: Sidecars = field(default_factory=Sidecars)

    def own(self, path: bytes) -> list[bytes]:
        """Side-cars of one file alone."""
        return [each for each in self._sidecars.of(path) if not self._sidecars.others(each, path)]

    def shared(self, path: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
        """Side-cars that belong to other music as well, and the paths of all its owners, in order."""
        for sidecar in self._sidecars.of(path):
            if others := self._sidecars.others(sidecar, path):
                yield sidecar, sorted([path, *others])

    def room(self, path: bytes) -> int:
        """Bytes by which the longest name beside a file exceeds its own."""
        name = b"x" + os.path.splitext(path)[1]
        longer = (len(renamed(each, path, name)) - len(name) for each in self._sidecars.of(path))
        return max(0, *longer, 0)

    def targets(self, path: bytes, target: bytes) -> dict[bytes, bytes]:
        """Where a file's own side-cars go with it."""
        return {sidecar: renamed(sidecar, path, target) for sidecar in self.own(path)}

    def of_album(self, folder: bytes, placed: Mapping[bytes, bytes]) -> tuple[bytes, bytes, list[bytes]] | None:
        """Of a folder whose music all goes to one other folder: the first of its music, that folder, and the files
        that belong to the album as a whole. `placed`: targets of the music that moves."""
        listed = [os.path.join(folder, name) for names in self.disk.names(folder).values() for name in names]
        music = sorted(path for path in listed if extension_of(path) in DEFAULT_EXTENSIONS)
        to = {os.path.dirname(placed.get(path, path)) for path in music}
        if len(to) != 1 or folder in to:
            return None
        beside = {sidecar for path in music for sidecar in self._sidecars.of(path)}
        found = [path for path in listed if belongs_to_album(os.path.basename(path)) and path not in beside]
        return music[0], to.pop(), sorted(found)

    def as_it_is(self, path: bytes, target: bytes) -> Beside | None:
        """The file as it goes along; None for one that must stay, which is said."""
        try:
            status = os.lstat(path)
        except OSError as error:
            self.staying.append(Staying(path, f"cannot be looked at: {error.strerror or error}"))
            return None
        if kind := kind_of(status):
            self.staying.append(Staying(path, kind))
            return None
        return Beside(path, target, *size_and_time(status))


def kind_of(status: os.stat_result) -> str:
    """What a file is that is left alone: not a regular one with one name; empty for any other."""
    if stat.S_ISLNK(status.st_mode):
        return "it is a symbolic link"
    if not stat.S_ISREG(status.st_mode):
        return "it is not a regular file"
    return "it has other names, by hard links" if status.st_nlink > 1 else ""


def numbered(path: bytes, number: int, most_bytes: int) -> bytes:
    """The path with a number in its name, as `safe_file` writes it; as it is for 1."""
    if number == 1:
        return path
    folder, name = os.path.split(path)
    stem, ending = os.path.splitext(name)
    return os.path.join(folder, os.fsencode(safe_file(os.fsdecode(stem), os.fsdecode(ending), number, 0, most_bytes)))


def number_of(path: bytes) -> int:
    """The number that is in the name of a file; 1 for none."""
    found = _NUMBER.search(os.path.splitext(path)[0])
    return int(found[1]) if found else 1
