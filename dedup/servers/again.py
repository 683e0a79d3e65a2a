"""Gives files whose paths are others what listeners did with them: for the server they may be new songs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from dedup.errors import ServerError
from dedup.servers.attention import NONE, Attention
from dedup.servers.link import Link


class Marked(NamedTuple):
    """A file that has another path now, and what was done with it before."""

    path: bytes
    said: Attention
    was: str
    """Id of its song before; empty if it is unknown."""


def give_again(link: Link, files: Iterable[Marked]) -> Iterator[tuple[Marked, str]]:
    """Gives each file what it lacks of what it had, and its places in playlists; yields it with the reason if that
    failed, else with "". May be called again. Raises ServerError if the server does not answer for its playlists."""
    done: dict[Marked, str] = {}
    for marked in files:
        try:
            song = link.song(marked.path)
            link.give(replace(marked.said, playlists=()), NONE, b"", marked.path, [])
            done[marked] = song
        except ServerError as error:
            yield marked, str(error)
    _fill_playlists(link, done)
    for marked in done:
        yield marked, ""


def take_out(link: Link, songs: Collection[str]) -> None:
    """Takes songs out of the playlists that the user may write: some servers fail for a playlist with a song whose file
    is gone. `give_again` puts them back, by the places that they had. Raises ServerError."""
    for playlist in link.server.playlists() if songs else ():
        left = [song for song in playlist.songs if song not in songs]
        if not playlist.owner and playlist.is_whole and len(left) < len(playlist.songs):
            link.server.set_songs(playlist, left)


def _fill_playlists(link: Link, songs: Mapping[Marked, str]) -> None:
    """Each playlist gets the songs that it had, where they were; what the listener changed of the others stays."""
    listed: dict[str, list[tuple[int, str]]] = {}
    for marked, song in songs.items():
        for each in marked.said.playlists:
            if not each.is_fixed:
                listed.setdefault(each.id, []).extend((at, song) for at in each.at)
    old = {marked.was for marked, song in songs.items() if marked.was != song}
    for id_, places in listed.items():
        playlist = link.server.playlist(id_)
        if playlist is None:  # somebody has removed it since
            continue
        present = set(playlist.songs)
        missing = sorted((at, song) for at, song in places if song not in present)
        found = [song for song in playlist.songs if song not in old]
        for at, song in missing:
            found.insert(min(at, len(found)), song)
        if found != list(playlist.songs):
            link.server.set_songs(playlist, found)
