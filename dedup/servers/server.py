"""What every kind of media server offers: one Protocol. A module a kind implements it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dedup.errors import ServerError
from dedup.servers.attention import Bookmark, Loved, Share


class RefusedError(ServerError):
    """The server answers, and refuses this one thing: it cannot do it, or the user may not."""


class MissingError(RefusedError):
    """The server answers that what it was asked for is not there."""


@dataclass(frozen=True)
class Feature:
    """One thing that a server may be asked for."""

    name: str
    """"favourites", "ratings", "plays", "playlists", "bookmarks", "shares" or "rescan"."""
    problem: str = ""
    """Why it cannot be used; empty if it can."""


@dataclass(frozen=True)
class About:
    """What a server says of itself and of what its user may do."""

    product: str
    """Its name, as far as it tells: "navidrome"."""
    version: str
    features: tuple[Feature, ...] = ()


@dataclass(frozen=True, slots=True)
class Song:
    """A file as a server knows it."""

    id: str
    path: str
    """Its path there, absolute or below a music folder; empty if the server does not tell."""
    starred: bool = False
    rating: int = 0
    """Stars from 1 to 5; 0 if it is not rated."""
    plays: int = 0


@dataclass(frozen=True)
class Playlist:
    """A playlist and the songs in it."""

    id: str
    name: str
    songs: tuple[str, ...]
    """Ids, in their order; one may occur more than once."""
    owner: str = ""
    """Whose it is, if the user may not change it; else empty."""
    is_whole: bool = True
    """Whether these are all of its songs: some servers hide those whose files are gone."""


class Server(Protocol):
    """A connection to a server as one of its users. Every method raises ServerError if the server cannot be reached, or
    refuses. What changes something may be called again: it looks at what is there first."""

    moves_plays: bool
    """Whether `set_plays` works."""

    def about(self) -> About:
        """Which server it is, and what it can and may do."""

    def songs(self) -> Iterator[Song]:
        """Every song that the user may hear."""

    def song(self, id_: str) -> Song:
        """One song as it is now."""

    def loved_together(self) -> Sequence[tuple[Loved, tuple[str, ...]]]:
        """Albums, artists and folders that are favourites, with their songs."""

    def playlists(self) -> Sequence[Playlist]:
        """The playlists that a person keeps: not those that follow a rule."""

    def playlist(self, id_: str) -> Playlist | None:
        """One playlist as it is now; None if it is gone."""

    def bookmarks(self) -> Mapping[str, Bookmark]:
        """Bookmarks by song; nothing if it has none to offer."""

    def shares(self) -> Sequence[tuple[Share, tuple[str, ...]]]:
        """Shares with their songs; nothing if it has none to offer."""

    def star(self, song: str, is_starred: bool) -> None:
        """Makes a song a favourite, or no favourite."""

    def rate(self, song: str, rating: int) -> None:
        """Gives a song 1 to 5 stars; 0 takes them away."""

    def set_plays(self, song: str, plays: int) -> None:
        """Sets how often a song was played."""

    def set_songs(self, playlist: Playlist, songs: Sequence[str]) -> None:
        """Makes these the songs of a playlist."""

    def set_bookmark(self, song: str, bookmark: Bookmark | None) -> None:
        """Sets the bookmark of a song; None removes it."""

    def add_share(self, songs: Sequence[str], share: Share) -> None:
        """Shares songs by a new link, with the description and the end of another."""

    def drop_share(self, id_: str) -> None:
        """Removes a link."""

    def start_scan(self) -> None:
        """Asks it to look for new and changed files."""

    def is_scanning(self) -> bool:
        """Whether it is looking for files now."""
