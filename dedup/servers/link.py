"""One server as the library sees it: its songs by local path, what listeners did with each, and how that goes from one
file to another."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from dedup.errors import ServerError
from dedup.files.paths import holds, printable
from dedup.servers.attention import NONE, Attention, Heard, Listed, Share, both
from dedup.servers.path_map import PathMap, normal
from dedup.servers.server import About, RefusedError, Server, Song
from dedup.servers.settings import ServerSettings

POLL_S = 0.5
"""Pause between two looks at whether a scan is over."""
MOST_LOOKS = 100
"""Songs of a folder of which one must be there, or the map is wrong."""
LOOK_S = 5.0
"""Longest pause between two looks at all songs; the first is as short as `POLL_S`, each further one twice as long."""


class Link:
    """A server with the map of its folders. What it said is kept until it is asked again."""

    def __init__(self, settings: ServerSettings, connect: Callable[[], Server]) -> None:
        """`connect` is called when the server is asked for the first time; it may raise ServerError."""
        self.settings = settings
        self._connect = connect
        self._server: Server | None = None
        self._map = PathMap(settings.map)
        self._songs: dict[bytes, list[Song]] = {}
        self._attention: dict[bytes, Attention] = {}
        self._lists: dict[str, Sequence[str]] = {}
        """Songs of each playlist, as they were seen or set last."""
        self._problem: ServerError | None = None
        """Why it said nothing when it was asked last."""
        self._is_asked = False
        self.n_songs = self.n_unmapped = 0
        """Songs of the server, and those whose path is below no folder of the map."""
        self.unmapped = ""
        """The path of one of the latter, as the server names it."""

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def server(self) -> Server:
        """The connection. Raises ServerError if there can be none."""
        if self._server is None:
            self._server = self._connect()
        return self._server

    def about(self) -> About:
        """What the server says of itself. Raises ServerError."""
        return self.server.about()

    # ---- reading ----

    def hear(self) -> Heard:
        """What the server says of all files, or why it says nothing that counts."""
        try:
            self.refresh()
            self.require_right_map()
        except ServerError as error:
            return Heard(self.name, self.settings.folders, problem=error.found)
        return Heard(self.name, self.settings.folders, self.server.moves_plays, attention=dict(self._attention))

    def refresh(self) -> None:
        """Asks the server for everything. Raises ServerError."""
        self._is_asked = True
        try:
            self._refresh()
            self._problem = None
        except ServerError as error:
            self._songs, self._attention, self._problem = {}, {}, error
            raise

    def require_right_map(self) -> None:
        """Raises ServerError if the songs of a folder are not where the map leads: then nobody knows which files they
        are, and what listeners did would protect none."""
        remedy = f"Correct its map: `reprise server check {self.name}` shows paths"
        if self.n_songs and not self._songs:
            raise ServerError(f"server {self.name}", "has no song in a folder of its map", remedy=remedy)
        for folder in self.settings.folders:
            below = (song for path, songs in self._songs.items() if holds(normal(folder), path) for song in songs)
            paths = (self._map.local(song.path) for song in below)
            some = list(itertools.islice(filter(None, paths), MOST_LOOKS))
            if some and not any(map(os.path.lexists, some)):
                found = f"has songs such as {printable(some[0])} by its map, and none of these files is there"
                raise ServerError(f"server {self.name}", found, remedy=remedy)

    def _refresh(self) -> None:
        server = self.server
        songs, self._songs, self._lists = defaultdict[bytes, list[Song]](list), {}, {}
        by_id: dict[str, Attention] = {}
        self.n_songs = self.n_unmapped = 0
        for song in server.songs():
            self.n_songs += 1
            path = self._map.local(song.path)
            if path is None:
                self.n_unmapped += 1
                self.unmapped = self.unmapped or song.path
                continue
            songs[normal(path)].append(song)
            by_id[song.id] = Attention(song.starred, song.rating, song.plays)
        self._add_links(server, by_id)
        self._songs, self._attention = dict(songs), {}
        for path, found in songs.items():
            said = NONE
            for song in found:
                said = both(said, by_id[song.id])
            if said:
                self._attention[path] = said

    def _add_links(self, server: Server, by_id: dict[str, Attention]) -> None:
        for playlist in server.playlists():
            self._lists[playlist.id] = playlist.songs
            places = defaultdict[str, list[int]](list)
            for at, song in enumerate(playlist.songs):
                places[song].append(at)
            for song in places.keys() & by_id.keys():
                listed = Listed(playlist.id, playlist.name, tuple(places[song]), playlist.owner)
                by_id[song] = replace(by_id[song], playlists=(*by_id[song].playlists, listed))
        for song, bookmark in server.bookmarks().items():
            if song in by_id:
                by_id[song] = replace(by_id[song], bookmark=bookmark)
        for share, shared in server.shares():
            for song in dict.fromkeys(shared):
                if song in by_id:
                    by_id[song] = replace(by_id[song], shares=(*by_id[song].shares, share))

    def of(self, path: bytes) -> Attention:
        """What was done with a file when the server was asked last; its places in playlists are those of now."""
        path = normal(path)
        said = self._attention.get(path, NONE)
        if not said.playlists:
            return said
        ids = {song.id for song in self._songs.get(path, ())}

        def places(listed: Listed) -> tuple[int, ...]:
            return tuple(at for at, song in enumerate(self._lists.get(listed.id, ())) if song in ids)

        return replace(said, playlists=tuple(replace(each, at=places(each)) for each in said.playlists))

    def note(self, path: bytes, attention: Attention) -> None:
        """Remembers what a file was given, until the server is asked again."""
        self._attention[normal(path)] = attention

    def sees(self, path: bytes) -> bool:
        """Whether a file is in a folder that the server plays."""
        return any(holds(folder, path) for folder in self.settings.folders)

    def knows(self, path: bytes) -> bool:
        """Whether the server had the file when it was asked last."""
        return normal(path) in self._songs

    def song(self, path: bytes) -> str:
        """The id of a file's song; asks the server first, if nobody has. Raises ServerError if there is none, or more
        than one."""
        if not self._is_asked:
            self.refresh()
        if self._problem is not None:
            raise self._problem
        songs = self._songs.get(normal(path), ())
        if len(songs) == 1:
            return songs[0].id
        if songs:
            found = f"has {len(songs)} songs that the map takes for {printable(path)}"
            raise ServerError(f"server {self.name}", found, remedy="Correct its map")
        remedy = "Let it scan its folders, then try again"
        raise ServerError(f"server {self.name}", f"does not know {printable(path)}", remedy=remedy)

    # ---- waiting ----

    def ask_for_scan(self) -> None:
        """Asks the server to look for new and changed files. It may refuse, as it does with those who may not ask: then
        it looks in its own time. Raises ServerError."""
        with contextlib.suppress(RefusedError):
            self.server.start_scan()

    def wait_for(self, paths: Collection[bytes], must_end: Callable[[], bool]) -> list[bytes]:
        """Asks for a scan and waits until it is over and the server knows these files, as long as the settings say, or
        until `must_end`. Returns the files that it does not know then. Raises ServerError if it did not answer in the
        end: some do not while they scan."""
        until = time.monotonic() + self.settings.wait_s
        self.ask_for_scan()
        pause_s = POLL_S
        while True:
            try:
                self._wait_for_scan(until, must_end)
                self.refresh()
                unknown = [path for path in paths if not self.knows(path)]
            except ServerError:
                if time.monotonic() >= until or must_end():
                    raise
                unknown = list(paths)
            left_s = until - time.monotonic()
            if not unknown or left_s <= 0 or must_end():
                return unknown
            _sleep(min(pause_s, left_s), must_end)
            pause_s = min(LOOK_S, 2 * pause_s)

    def _wait_for_scan(self, until: float, must_end: Callable[[], bool]) -> None:
        with contextlib.suppress(RefusedError):  # who may not ask how far it is looks at the songs alone
            while self.server.is_scanning() and time.monotonic() < until and not must_end():
                time.sleep(POLL_S)

    # ---- from one file to another ----

    def give(self, theirs: Attention, ours: Attention, gone: bytes, kept: bytes) -> None:
        """Gives the kept file what it lacks of what another had that goes (`theirs`, and `ours` before): it takes the
        other's place in playlists. May be called again. Raises ServerError."""
        given, song = theirs.lacking(ours), self.song(kept)
        old = self.song(gone) if self.knows(gone) else ""
        if given.starred:
            self.server.star(song, True)
        if given.rating:
            self.server.rate(song, given.rating)
        if given.plays and self.server.moves_plays:
            self.server.set_plays(song, given.plays)
        if given.bookmark:
            self.server.set_bookmark(song, given.bookmark)
        for listed in theirs.moved.playlists:
            self._replace(listed, old, song)
        for share in given.shares:
            self._share(share, old, song)

    def take(self, theirs: Attention, ours: Attention, gone: bytes, kept: bytes) -> None:
        """Takes back what `give` gave: the kept file has what it had before, and the other, which is there again, what
        it had. May be called again. Raises ServerError."""
        given, back, song = theirs.lacking(ours), self.song(gone), self.song(kept)
        self._restore(back, theirs)
        if given.starred:
            self.server.star(song, False)
        if given.rating:
            self.server.rate(song, ours.rating)
        if given.plays and self.server.moves_plays:
            self.server.set_plays(song, ours.plays)
        if given.bookmark:
            self.server.set_bookmark(song, ours.bookmark)
        new = {listed.id for listed in given.playlists}
        for listed in theirs.moved.playlists:
            self._replace(listed, song if listed.id in new else "", back)
        for share in given.shares:
            self._share(share, song, back)
            self._unshare(share, ours, song)

    def _restore(self, song: str, theirs: Attention) -> None:
        if theirs.starred:
            self.server.star(song, True)
        if theirs.rating:
            self.server.rate(song, theirs.rating)
        if theirs.plays and self.server.moves_plays:
            self.server.set_plays(song, theirs.plays)
        if theirs.bookmark:
            self.server.set_bookmark(song, theirs.bookmark)

    def _replace(self, listed: Listed, old: str, new: str) -> None:
        """Puts a song into a playlist in the place of another, which leaves it."""
        playlist = self.server.playlist(listed.id)
        if playlist is None:  # somebody has removed it since
            return
        songs = _in_place(playlist.songs, old, new, listed.at)
        if songs != list(playlist.songs):
            self.server.set_songs(playlist, songs)
        self._lists[listed.id] = songs

    def _share(self, share: Share, old: str, new: str) -> None:
        """Shares the new song with what was shared beside the old one, by a link of its own if there is none yet: a
        link cannot be given other songs."""
        there = self.server.shares()
        if any(new in songs and found.description == share.description for found, songs in there):
            return
        others: Iterable[str] = next((songs for found, songs in there if found.id == share.id), (old,))
        songs = [new if each == old else each for each in others if each]
        self.server.add_share(songs if new in songs else [*songs, new], share)

    def _unshare(self, share: Share, ours: Attention, song: str) -> None:
        """Removes the link that `_share` made for the kept file."""
        before = {each.id for each in ours.shares}
        for found, songs in self.server.shares():
            if song in songs and found.description == share.description and found.id not in before:
                self.server.drop_share(found.id)


def _in_place(songs: Sequence[str], old: str, new: str, at: Sequence[int]) -> list[str]:
    """Songs with the new one in the places of the old one; where the old one is not, at the places where it was."""
    if new in songs:
        return [song for song in songs if song != old]
    if old and old in songs:
        return [new if song == old else song for song in songs]
    found = list(songs)
    for place in sorted(at):
        found.insert(min(place, len(found)), new)
    return found


def _sleep(seconds: float, must_end: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while (left_s := until - time.monotonic()) > 0 and not must_end():
        time.sleep(min(POLL_S, left_s))


def open_links(servers: Iterable[ServerSettings]) -> Mapping[str, Link]:
    """Links to servers, by name. Nothing is asked yet."""
    from dedup.servers.connect import connect

    return {settings.name: Link(settings, _connecting(connect, settings)) for settings in servers}


def _connecting(connect: Callable[[ServerSettings], Server], settings: ServerSettings) -> Callable[[], Server]:
    return lambda: connect(settings)
