"""One server as the library sees it: its songs by local path, what listeners did with each, and how that goes from one
file to another."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from dedup.errors import ServerError
from dedup.files.paths import printable
from dedup.servers.attention import NONE, Attention, Heard, Listed, Share, both
from dedup.servers.placing import Placing
from dedup.servers.server import About, RefusedError, Server, Song
from dedup.servers.settings import ServerSettings

POLL_S = 0.5
"""Pause between two looks at whether a scan is over."""
MOST_SONGS = 5_000_000
"""Songs after which a server that names more is asked no further."""
WHOLE_S = 1200.0
"""Longest time, in seconds, in which a server says everything."""
LOOK_S = 5.0
"""Longest pause between two looks at all songs; the first is as short as `POLL_S`, each further one twice as long."""


class Link:
    """A server with the map of its folders. What it said is kept until it is asked again."""

    def __init__(
        self,
        settings: ServerSettings,
        connect: Callable[[Callable[[], str]], Server],
        tracks: Callable[[], Iterable[bytes]] | None = None,
        fellows: Collection[str] = (),
        must_end: Callable[[], bool] = bool,
    ) -> None:
        """`connect` is called when the server is asked for the first time, with what says why nothing more is to be
        asked; it may raise ServerError. `tracks`: paths of the library, if they are known. `fellows`: other users of
        the same server that are asked too. `must_end`: whether the run is to end."""
        self.settings = settings
        self.placing = Placing(settings, tracks)
        """Where its songs are here."""
        self._fellows = {each.casefold() for each in fellows}
        self._must_end, self._until = must_end, float("inf")
        self._connect = connect
        self._server: Server | None = None
        self._songs: dict[bytes, list[Song]] = {}
        self._attention: dict[bytes, Attention] = {}
        self._lists: dict[str, Sequence[str]] = {}
        """Songs of each playlist, as they were seen or set last."""
        self._problem: ServerError | None = None
        """Why it said nothing when it was asked last."""
        self._is_asked = False

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def server(self) -> Server:
        """The connection. Raises ServerError if there can be none."""
        if self._server is None:
            self._server = self._connect(self._why_end)
        return self._server

    def _why_end(self) -> str:
        if self._must_end():
            return "was asked no further, as the run is stopped"
        if time.monotonic() > self._until:
            return f"does not come to an end within {WHOLE_S / 60:.0f} minutes"
        return ""

    def about(self) -> About:
        """What the server says of itself. Raises ServerError."""
        return self.server.about()

    # ---- reading ----

    def hear(self) -> Heard:
        """What the server says of all files, or why it says nothing that counts."""
        folders = self.settings.folders
        try:
            self.placing.require_folders()
            self.refresh()
            self.placing.require_songs()
        except ServerError as error:
            # Where the files of a folder are that is not where the map says, nobody knows: they may be anywhere.
            return Heard(self.name, folders if self.placing.problem is None else (b"/",), problem=error.found)
        known = self._attention
        if self.placing.n_nowhere:
            known = {path: self._attention.get(path, NONE) for path in self._songs}
        return Heard(
            self.name, folders, self.server.moves_plays, attention=dict(known), n_nowhere=self.placing.n_nowhere
        )

    def refresh(self) -> None:
        """Asks the server for everything. Raises ServerError."""
        self._is_asked, self._until = True, time.monotonic() + WHOLE_S
        try:
            self._refresh()
            self._problem = None
        except ServerError as error:
            self._songs, self._attention, self._problem = {}, {}, error
            raise
        finally:
            self._until = float("inf")

    def _refresh(self) -> None:
        server = self.server
        songs, self._songs, self._lists = defaultdict[bytes, list[Song]](list), {}, {}
        by_id: dict[str, Attention] = {}
        self.placing.begin()
        for song in server.songs():
            key = self.placing.place(song.path)
            if self.placing.n_songs > MOST_SONGS:
                endless = f"does not come to an end: it has named {self.placing.n_songs:,} songs"
                raise ServerError(f"server {self.name}", endless, remedy="Look at its own log")
            if key is not None:
                songs[key].append(song)
                by_id[song.id] = Attention(song.starred, song.rating, song.plays)
        self._add_links(server, by_id)
        self._songs, self._attention = dict(songs), {}
        for path, found in songs.items():
            said = NONE
            for each in found:
                said = both(said, by_id[each.id])
            if said:
                self._attention[path] = said

    def _add_links(self, server: Server, by_id: dict[str, Attention]) -> None:
        for playlist in server.playlists():
            if playlist.owner.casefold() in self._fellows:  # who is asked too, and may change it
                continue
            self._lists[playlist.id] = playlist.songs
            places = defaultdict[str, list[int]](list)
            for at, song in enumerate(playlist.songs):
                places[song].append(at)
            for song in places.keys() & by_id.keys():
                listed = Listed(playlist.id, playlist.name, tuple(places[song]), playlist.owner, playlist.is_whole)
                by_id[song] = replace(by_id[song], playlists=(*by_id[song].playlists, listed))
        for loved, together in server.loved_together():
            for song in by_id.keys() & set(together):
                by_id[song] = replace(by_id[song], loved=(*by_id[song].loved, loved))
        for song, bookmark in server.bookmarks().items():
            if song in by_id:
                by_id[song] = replace(by_id[song], bookmark=bookmark)
        for share, shared in server.shares():
            for song in dict.fromkeys(shared):
                if song in by_id:
                    by_id[song] = replace(by_id[song], shares=(*by_id[song].shares, share))

    def of(self, path: bytes) -> Attention:
        """What was done with a file when the server was asked last; its places in playlists are those of now."""
        path = self.placing.key(path)
        said = self._attention.get(path, NONE)
        if not said.playlists:
            return said
        ids = {song.id for song in self._songs.get(path, ())}

        def places(listed: Listed) -> tuple[int, ...]:
            return tuple(at for at, song in enumerate(self._lists.get(listed.id, ())) if song in ids)

        return replace(said, playlists=tuple(replace(each, at=places(each)) for each in said.playlists))

    def note(self, path: bytes, attention: Attention) -> None:
        """Remembers what a file was given, until the server is asked again."""
        self._attention[self.placing.key(path)] = attention

    def sees(self, path: bytes) -> bool:
        """Whether a file is, or may be, in a folder that the server plays."""
        return self.placing.may_play(path)

    def knows(self, path: bytes) -> bool:
        """Whether the server had the file when it was asked last."""
        return self.placing.key(path) in self._songs

    def song(self, path: bytes) -> str:
        """The id of a file's song; asks the server first, if nobody has. Raises ServerError if there is none, or more
        than one."""
        if not self._is_asked:
            self.refresh()
        if self._problem is not None:
            raise self._problem
        songs = self._songs.get(self.placing.key(path), ())
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

    def ask_again(self, path: bytes) -> Attention:
        """What was done with a file: star, rating and plays as they are now, which is asked song by song. Raises
        ServerError."""
        songs = [self.server.song(song.id) for song in self._songs.get(self.placing.key(path), ())]
        said = self.of(path)
        if songs:
            starred, rating = any(song.starred for song in songs), max(song.rating for song in songs)
            said = replace(said, starred=starred, rating=rating, plays=sum(song.plays for song in songs))
            self.note(path, said)
        return said

    def give(self, theirs: Attention, ours: Attention, gone: bytes, kept: bytes, made: list[str]) -> None:
        """Gives the kept file what it lacks of what another had that goes (`theirs`, and `ours` before): it takes the
        other's place in playlists. What the listener gave it meanwhile stays. Adds the ids of new shares to `made`. May
        be called again. Raises ServerError."""
        given, song = theirs.lacking(ours), self.song(kept)
        old = self.song(gone) if self.knows(gone) else ""
        now = self.server.song(song)
        if given.starred and not now.starred:
            self.server.star(song, True)
        if given.rating and not now.rating:
            self.server.rate(song, given.rating)
        if now.plays < given.plays and self.server.moves_plays:
            self.server.set_plays(song, given.plays)
        if given.bookmark and song not in self.server.bookmarks():
            self.server.set_bookmark(song, given.bookmark)
        for listed in theirs.moved.playlists:
            self._replace(listed, old, song)
        for share in given.shares:
            made += self._share(share, old, song)

    def made_for(self, theirs: Attention, ours: Attention, kept: bytes) -> list[str]:
        """Ids of the shares that `give` made for the kept file, as far as they can be told: those of the same
        description that it did not have before. Raises ServerError."""
        if not theirs.shares:
            return []
        song, told = self.song(kept), {share.description for share in theirs.shares}
        before = {share.id for share in ours.shares}
        return [
            share.id
            for share, songs in self.server.shares()
            if song in songs and share.description in told and share.id not in before
        ]

    def take(self, theirs: Attention, ours: Attention, gone: bytes, kept: bytes, made: Sequence[str]) -> None:
        """Takes back what `give` gave, and the shares that it `made`: the other file, which is there again, has what it
        had, and so has the kept file, apart from what the listener changed since. May be called again. Raises
        ServerError."""
        given, back, song = theirs.lacking(ours), self.song(gone), self.song(kept)
        now = self.server.song(song)
        self._restore(back, theirs)
        if given.starred and now.starred:
            self.server.star(song, False)
        if given.rating and now.rating == given.rating:
            self.server.rate(song, ours.rating)
        if given.bookmark and self.server.bookmarks().get(song) == given.bookmark:
            self.server.set_bookmark(song, ours.bookmark)
        new = {listed.id for listed in given.playlists}
        for listed in theirs.moved.playlists:
            self._replace(listed, song if listed.id in new else "", back, beside=song)
        for share in given.shares:
            self._share(share, song, back)
        if made:
            for share, _ in self.server.shares():
                if share.id in made:
                    self.server.drop_share(share.id)
        if given.plays and self.server.moves_plays:  # last, as it is not the same when it is done twice
            plays = min(now.plays, max(ours.plays, now.plays - theirs.plays))
            if plays != now.plays:
                self.server.set_plays(song, plays)

    def _restore(self, song: str, theirs: Attention) -> None:
        if theirs.starred:
            self.server.star(song, True)
        if theirs.rating:
            self.server.rate(song, theirs.rating)
        if theirs.plays and self.server.moves_plays and self.server.song(song).plays < theirs.plays:
            self.server.set_plays(song, theirs.plays)
        if theirs.bookmark:
            self.server.set_bookmark(song, theirs.bookmark)

    def _replace(self, listed: Listed, old: str, new: str, beside: str = "") -> None:
        """Puts a song into a playlist in the place of another, which leaves it; if `beside` is given, only where that
        song still is."""
        playlist = self.server.playlist(listed.id)
        if playlist is None or (beside and beside not in playlist.songs):  # somebody has removed it since
            return
        songs = _in_place(playlist.songs, old, new, listed.at)
        if songs != list(playlist.songs):
            self.server.set_songs(playlist, songs)
        self._lists[listed.id] = songs

    def _share(self, share: Share, old: str, new: str) -> list[str]:
        """Shares the new song with what was shared beside the old one, by a link of its own if there is none yet: a
        link cannot be given other songs. Returns the ids of links that were not there before."""
        there = self.server.shares()
        if any(new in songs and found.description == share.description for found, songs in there):
            return []
        others: Iterable[str] = next((songs for found, songs in there if found.id == share.id), (old,))
        songs = [new if each == old else each for each in others if each]
        self.server.add_share(songs if new in songs else [*songs, new], share)
        before = {found.id for found, _ in there}
        return [found.id for found, songs in self.server.shares() if new in songs and found.id not in before]


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


def open_links(
    servers: Iterable[ServerSettings],
    tracks: Callable[[], Iterable[bytes]] | None = None,
    must_end: Callable[[], bool] = bool,
) -> Mapping[str, Link]:
    """Links to servers, by name. Nothing is asked yet. `tracks`: paths of the library, if they are known. `must_end`:
    whether the run is to end."""
    known = list(servers)
    return {each.name: Link(each, _connecting(each), tracks, _fellows(each, known), must_end) for each in known}


def _fellows(settings: ServerSettings, known: Sequence[ServerSettings]) -> list[str]:
    """Other users of the same server, with the same map."""
    mine = settings.kind, settings.url, settings.map
    others = (each for each in known if (each.kind, each.url, each.map) == mine)
    return [each.user for each in others if each.user.casefold() != settings.user.casefold()]


def _connecting(settings: ServerSettings) -> Callable[[Callable[[], str]], Server]:
    from dedup.servers.connect import connect

    return lambda why_end: connect(settings, why_end)
