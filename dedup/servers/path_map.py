"""Paths as a server names them, and the local paths of the same files."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Sequence

Folders = Sequence[tuple[str, bytes]]


class PathMap:
    """The folders of one server, the longest first."""

    def __init__(self, folders: Folders) -> None:
        """`folders`: each as the server names it, with the local one, absolute. A relative name counts from "/", as
        some servers name files by their place below the music folder."""
        pairs = [(absolute(theirs), local) for theirs, local in folders]
        self._folders = sorted(pairs, key=lambda pair: -len(pair[0]))

    def local(self, theirs: str) -> bytes | None:
        """The local path of a file; None if it is below no folder of the map, or no path could be meant."""
        if not theirs or "\0" in theirs:
            return None
        path = absolute(theirs)
        for folder, local in self._folders:
            below = path.removeprefix(folder if folder.endswith("/") else f"{folder}/")
            if below != path and below:
                try:
                    return b"/".join((local.rstrip(b"/"), below.encode("utf-8", "surrogateescape")))
                except UnicodeEncodeError:
                    return None
        return None


def absolute(theirs: str) -> str:
    """A server's path from "/" on, without "..", with the slashes of Unix: a server on Windows writes others."""
    slashes = theirs.replace("\\", "/") if "/" not in theirs and "\\" in theirs else theirs
    return "/" + posixpath.normpath(f"/{slashes}").lstrip("/")


def normal(path: bytes) -> bytes:
    """A local path in the form in which paths are looked up: servers and file systems write accents as one character or
    as two. Paths that are equal in it are those of one file, or look the same."""
    if path.isascii():
        return path
    text = path.decode("utf-8", "surrogateescape")
    return unicodedata.normalize("NFC", text).encode("utf-8", "surrogateescape")
