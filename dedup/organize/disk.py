"""What is on the disk where files are to go: names, disks, and how long a name may be. Only looks."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable

from dedup.files.paths import and_above, compile_globs, holds
from dedup.files.safe_names import LONGEST_BYTES
from dedup.playlists.moves import without_case
from dedup.settings import DiscoverSettings

SHORTEST_BYTES = 60
"""A file system that says less for a name does not know."""


def as_library_names(folder: bytes, roots: Iterable[bytes]) -> bytes:
    """A folder by the name that a library has for it, whose roots may be links; else its real path. What was imported
    has no root."""
    real = os.path.realpath(folder)
    for root in sorted(filter(None, roots), key=len, reverse=True):
        if holds(real_root := os.path.realpath(root), real):
            return os.path.normpath(os.path.join(root, os.path.relpath(real, real_root)))
    return real


class Scans:
    """Which paths of a root a scan with these settings looks at."""

    def __init__(self, settings: DiscoverSettings) -> None:
        self._settings = settings
        self._included, self._excluded = compile_globs(settings.include or ("**",)), compile_globs(settings.exclude)

    def missing(self, path: bytes, root: bytes) -> str:
        """Why a scan would not find a file below a root; empty if it would."""
        *folders, name = path[len(root) :].lstrip(b"/").split(b"/")
        above = [b"/".join(folders[: number + 1]) for number in range(len(folders))]
        whole = b"/".join((*folders, name))
        if any(folder.startswith(b".") for folder in folders) and not self._settings.hidden:
            return "and no scan looks into hidden folders"
        if self._excluded(whole, False) or any(self._excluded(folder, True) for folder in above):
            return "which scans exclude"
        if not self._included(whole, False):
            return "which scans do not include"
        if self._settings.max_depth is not None and len(folders) > self._settings.max_depth:
            return "deeper than scans go"
        return ""


class Disk:
    """Folders as they were when they were first looked at."""

    def __init__(self) -> None:
        self._listed: dict[bytes, dict[bytes, list[bytes]]] = {}
        self._spelled: dict[bytes, bytes] = {}

    def names(self, folder: bytes) -> dict[bytes, list[bytes]]:
        """The names in a folder, by what disks make of them that ignore case and Unicode's forms; none if there is no
        such folder."""
        if folder not in self._listed:
            listed: dict[bytes, list[bytes]] = {}
            try:
                for name in os.listdir(folder):
                    listed.setdefault(without_case(name), []).append(name)
            except OSError:  # not there, or a file
                listed = {}
            self._listed[folder] = listed
        return self._listed[folder]

    def alike(self, path: bytes) -> list[bytes]:
        """The paths in its folder that a disk which ignores case takes for the same."""
        folder, name = os.path.split(path)
        return [os.path.join(folder, each) for each in self.names(folder).get(without_case(name), ())]

    def spelled(self, folder: bytes, top: bytes) -> bytes:
        """A folder below `top` as its names are written on a disk that ignores case, where they are there already."""
        if folder == top or folder in self._spelled:
            return self._spelled.get(folder, folder)
        above, name = os.path.split(folder)
        path = os.path.join(self.spelled(above, top), name)
        alike = self.alike(path)
        if alike and path not in alike and os.path.lexists(path):
            path = alike[0]
        self._spelled[folder] = path
        return path

    @functools.cache  # noqa: B019 - as long as this lives
    def nearest(self, folder: bytes) -> bytes:
        """The folder, or the nearest above it that is there."""
        return next(filter(os.path.lexists, and_above(folder)), b"/")

    @functools.cache  # noqa: B019 - as long as this lives
    def device(self, folder: bytes) -> int:
        """The disk that a folder is or would be on. Raises OSError, NotADirectoryError if a file is in the way."""
        nearest = self.nearest(folder)
        if not os.path.isdir(nearest):
            raise NotADirectoryError(nearest)
        return os.stat(nearest).st_dev

    @functools.cache  # noqa: B019 - as long as this lives
    def longest_name(self, folder: bytes) -> int:
        """Most bytes of a name in a folder that is or would be there."""
        try:
            longest = os.statvfs(self.nearest(folder)).f_namemax
        except OSError:
            return LONGEST_BYTES
        return min(longest, LONGEST_BYTES) if longest >= SHORTEST_BYTES else LONGEST_BYTES

    @functools.cache  # noqa: B019 - as long as this lives
    def is_behind_link(self, folder: bytes, top: bytes) -> bool:
        """Whether a folder below `top` is reached through a link."""
        below = os.path.relpath(folder, top)
        return os.path.realpath(folder) != os.path.normpath(os.path.join(os.path.realpath(top), below))
