"""Where the songs of one server are on this disk by its map, and whether the map can be right: if it is not, nobody
knows which files the server means, and what it does not know may be loved all the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from dedup.errors import ServerError
from dedup.files.paths import holds, printable
from dedup.plain_text import visible
from dedup.servers.path_map import PathMap, Places, normal
from dedup.servers.settings import ServerSettings


class Placing:
    """The songs of one server, as they are placed one by one."""

    def __init__(self, settings: ServerSettings, tracks: Callable[[], Iterable[bytes]] | None = None) -> None:
        """`tracks`: paths of the library, if they are known."""
        self._settings, self._tracks = settings, tracks
        self._where = f"server {settings.name}"
        self._map = PathMap(settings.map)
        self._is_looked_at = False
        self.problem: ServerError | None = None
        """Why the folders of the map cannot be those of the server, as far as that was looked at. Then its files may be
        anywhere."""
        self.begin()

    def begin(self) -> None:
        """Forgets the songs that were placed, and where folders lead."""
        self._places = Places()
        self._right: set[bytes] = set()
        """Folders of the map in which the file of a song is."""
        self._astray: dict[bytes, bytes] = {}
        """By folder of the map, where a song leads to no file."""
        self.n_songs = self.n_unmapped = self.n_nowhere = 0
        """Songs; those whose path is below no folder of the map; those that lead to no file by the map, or whose path
        the server does not tell."""
        self.unmapped = ""
        """The path of one that is below no folder of the map, as the server names it."""
        self.nowhere = b""
        """Where one leads that leads to no file."""

    def key(self, path: bytes) -> bytes:
        """The form in which a local file is looked up."""
        return self._places.key(path)

    def place(self, theirs: str) -> bytes | None:
        """The key of the file of a song, by the path that the server names; None if that is below no folder of the
        map."""
        self.n_songs += 1
        path = self._map.local(theirs)
        if path is None:
            self.n_unmapped += 1
            self.n_nowhere += not theirs
            self.unmapped = self.unmapped or theirs
            return None
        key, is_there = self._places.song(path)
        folder = max((each for each in self._settings.folders if holds(each, path)), key=len, default=b"")
        if is_there:
            self._right.add(folder)
        else:
            self.n_nowhere += 1
            self.nowhere = self.nowhere or path
            self._astray.setdefault(folder, path)
        return key

    def plays(self, path: bytes) -> bool:
        """Whether a local file is in a folder of the map."""
        key, folder = self._places.key(path), self._places.folder
        return any(holds(normal(folder(each)), key) for each in self._settings.folders)

    def may_play(self, path: bytes) -> bool:
        """Whether a local file is, or may be, in a folder that the server plays."""
        if not self._is_looked_at:
            self.look_at_folders()
        return self.problem is not None or self.plays(path)

    def require_folders(self) -> None:
        """Raises ServerError if a folder of the map is not there, or holds no track of the library."""
        self.look_at_folders()
        if self.problem is not None:
            raise self.problem

    def look_at_folders(self) -> None:
        """Finds out the same, and keeps it in `problem`."""
        self._is_looked_at = True
        self.problem = self._misplaced()

    def _misplaced(self) -> ServerError | None:
        for theirs, local in self._settings.map:
            if not os.path.isdir(local):
                found = f"has {visible(theirs)} at {printable(local)} by its map, and no such folder is there"
                return ServerError(
                    self._where, found, remedy="Mount the folder, or correct the map in the settings file"
                )
        if self._tracks is None:
            return None
        places = Places()
        keys = {places.key(path) for path in self._tracks()}
        for theirs, local in self._settings.map if keys else ():
            folder = normal(places.folder(local))
            if not any(holds(folder, key) for key in keys):
                found = f"has {visible(theirs)} at {printable(local)} by its map, which holds no track of the library"
                return ServerError(
                    self._where, found, remedy="Correct the map in the settings file, or scan the folder"
                )
        return None

    def require_songs(self) -> None:
        """Raises ServerError if the server has no songs, or those of a folder are not where the map leads."""
        if not self.n_songs:
            remedy = "See whether its music folder is mounted, and let it scan"
            raise ServerError(self._where, "names no song at all", remedy=remedy)
        found = "has no song in a folder of its map" if self.n_songs == self.n_unmapped else ""
        for folder, path in self._astray.items():
            if folder not in self._right:
                found = f"has songs such as {printable(path)} by its map, and none of these files is there"
        if found:
            remedy = "Correct its map in the settings file: on the left a folder as the server names it"
            self.problem = ServerError(self._where, found, remedy=remedy)
            raise self.problem
