"""Paths as a server names them, and the local paths of the same files."""

from __future__ import annotations

import os
import posixpath
import re
import stat
import unicodedata
from collections.abc import Iterable, Sequence

Folders = Sequence[tuple[str, bytes]]

_WINDOWS = re.compile(r"[A-Za-z]:|.*\\", re.DOTALL)
"""How a folder of a server on Windows begins."""


class PathMap:
    """The folders of one server, the longest first."""

    def __init__(self, folders: Folders) -> None:
        """`folders`: each as the server names it, with the local one, absolute. A relative name counts from "/", as
        some servers name files by their place below the music folder. A folder with a drive letter or a backslash is
        one of Windows: below it, a backslash is a slash; elsewhere it is part of a name."""
        rules = [(absolute(theirs, is_windows(theirs)), is_windows(theirs), local) for theirs, local in folders]
        self._folders = sorted(rules, key=lambda rule: -len(rule[0]))

    def local(self, theirs: str) -> bytes | None:
        """The local path of a file; None if it is below no folder of the map, or no path could be meant."""
        if not theirs or "\0" in theirs:
            return None
        for folder, of_windows, local in self._folders:
            path = absolute(theirs, of_windows)
            below = path.removeprefix(folder if folder.endswith("/") else f"{folder}/")
            if below != path and below:
                try:
                    return b"/".join((local.rstrip(b"/"), below.encode("utf-8", "surrogateescape")))
                except UnicodeEncodeError:
                    return None
        return None


def is_windows(folder: str) -> bool:
    """Whether a folder of a map is one of Windows."""
    return _WINDOWS.match(folder) is not None


def absolute(theirs: str, of_windows: bool) -> str:
    """A server's path from "/" on, without "..", with the slashes of Unix."""
    slashes = theirs.replace("\\", "/") if of_windows else theirs
    return "/" + posixpath.normpath(f"/{slashes}").lstrip("/")


def normal(path: bytes) -> bytes:
    """A local path in the form in which paths are compared: servers and file systems write accents as one character or
    as two. Paths that are equal in it are those of one file, or look the same."""
    if path.isascii():
        return path
    text = path.decode("utf-8", "surrogateescape")
    return unicodedata.normalize("NFC", text).encode("utf-8", "surrogateescape")


class Places:
    """Where local paths really lead, each folder looked at once."""

    def __init__(self) -> None:
        self._folders: dict[bytes, bytes] = {b"/": b"/"}
        self._names: dict[bytes, dict[bytes, bytes]] = {}

    def key(self, path: bytes) -> bytes:
        """The form in which a file is looked up: `normal`, below the real path of its folder."""
        folder, name = os.path.split(path)
        return normal(os.path.join(self.folder(folder), name))

    def folder(self, path: bytes) -> bytes:
        """The real path of a folder; of one that is not there, below that of the last that is."""
        known = self._folders.get(path)
        if known is None:
            above, name = os.path.split(path)
            known = self._folders[path] = os.path.realpath(self._named(self.folder(above), name)) if name else above
        return known

    def song(self, path: bytes) -> tuple[bytes, bool]:
        """The `key` of the file at a path that a server names, through links, and whether the file is there."""
        folder, name = os.path.split(path)
        found = os.path.join(self.folder(folder), name)
        try:
            mode = os.lstat(found).st_mode
        except OSError:
            found = self._named(self.folder(folder), name)
            return normal(found), os.path.exists(found)
        if stat.S_ISLNK(mode):
            found = os.path.realpath(found)
            return normal(found), os.path.exists(found)
        return normal(found), True

    def _named(self, folder: bytes, name: bytes) -> bytes:
        """What is called that in a folder, whichever way its accents are written."""
        path = os.path.join(folder, name)
        if name.isascii() or os.path.lexists(path):
            return path
        if folder not in self._names:
            self._names[folder] = {normal(each): each for each in _listed(folder)}
        return os.path.join(folder, self._names[folder].get(normal(name), name))


def _listed(folder: bytes) -> Iterable[bytes]:
    try:
        return os.listdir(folder)
    except OSError:  # nothing is there by any name
        return ()
