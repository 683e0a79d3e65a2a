"""Files beside a piece of music that belong to it: they have its name, and another ending. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from dedup.files.paths import extension_of
from dedup.playlists.moves import without_case
from dedup.settings import DEFAULT_EXTENSIONS, UNFINISHED_EXTENSIONS

LYRICS = frozenset({"lrc"})
"""Endings of those that a kept file takes over, if it has none and both start at the same moment."""

NEVER = DEFAULT_EXTENSIONS | UNFINISHED_EXTENSIONS
"""Endings of files that belong to no other: music, and downloads that are not whole."""


@dataclass(frozen=True)
class _Folder:
    """Names in a folder, by stems as disks see them that ignore case and Unicode's forms."""

    by_stem: dict[bytes, list[bytes]] = field(default_factory=dict)
    """What may be side-cars, by each of their stems: "a.en.srt" has two."""
    music: dict[bytes, list[bytes]] = field(default_factory=dict)
    """Pieces of music by their whole names and by their stems."""


class Sidecars:
    """Side-cars by folder; each folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[bytes, _Folder] = {}

    def of(self, path: bytes) -> list[bytes]:
        """Paths of the side-cars of a file, in order: "a.lrc", "a.mp3.lrc" and "a.de.lrc" of "a.mp3", but none whose
        name begins with the longer name of another piece of music."""
        folder, _, name = path.rpartition(b"/")
        listed = self._in(folder or b"/")
        if not listed.by_stem:
            return []
        own = set(_names(name))
        found = {
            each
            for key in own
            for each in listed.by_stem.get(key, ())
            if each != name and next(stem for stem in _stems(each) if stem in own or stem in listed.music) in own
        }
        return [os.path.join(folder, each) for each in sorted(found)]

    def others(self, sidecar: bytes, path: bytes) -> list[bytes]:
        """Paths of the other pieces of music to which a side-car of a file belongs as well, such as "a.ogg"."""
        (folder, name), music = os.path.split(sidecar), self._in(os.path.dirname(path)).music
        owners = next((music[stem] for stem in _stems(name) if stem in music), [])
        return [other for each in owners if (other := os.path.join(folder, each)) != path]

    def _in(self, folder: bytes) -> _Folder:
        if folder not in self._folders:
            self._folders[folder] = listed = _Folder()
            for name in _list(folder):
                if extension_of(name) in DEFAULT_EXTENSIONS:
                    for key in _names(name):
                        listed.music.setdefault(key, []).append(name)
                elif extension_of(name) not in NEVER:
                    for key in _stems(name):
                        listed.by_stem.setdefault(key, []).append(name)
        return self._folders[folder]


def _list(folder: bytes) -> list[bytes]:
    try:
        return os.listdir(folder)
    except OSError:  # a folder that is away has no side-cars now
        return []


def _names(name: bytes) -> tuple[bytes, bytes]:
    """The name of a piece of music, and its stem."""
    return without_case(name), without_case(os.path.splitext(name)[0])


def _stems(name: bytes) -> Iterator[bytes]:
    """The name without its last ending, without the last two, and so on."""
    while (stem := os.path.splitext(name)[0]) != name:
        yield without_case(stem)
        name = stem


def renamed(sidecar: bytes, path: bytes, new: bytes) -> bytes:
    """The name of a side-car of the file at `path` as one of the file at `new`. Raises ValueError if it is none."""
    whole, stem = _names(os.path.basename(path))
    rest, name = b"", os.path.basename(sidecar)
    while without_case(name) not in (whole, stem):
        name, ending = os.path.splitext(name)
        if not ending:
            raise ValueError(f"{sidecar!r} is no side-car of {path!r}")
        rest = ending + rest
    return (new if without_case(name) == whole else os.path.splitext(new)[0]) + rest
