"""Jellyfin, by its documented API (10.9 or later). The secret is the password of the user whose favourites and
playlists count: with a key of the API, which belongs to no user, playlists cannot be changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from dedup.errors import ServerError
from dedup.plain_text import visible
from dedup.servers.answers import new_on_pages, number, table, tables, text
from dedup.servers.attention import Bookmark, Loved, Share
from dedup.servers.http import Http, Method, Values
from dedup.servers.secret import Secret
from dedup.servers.server import About, Feature, MissingError, Playlist, RefusedError, Song
from dedup.servers.settings import ServerSettings

PAGE = 500
TICKS_PER_MS = 10_000
_CLIENT = 'MediaBrowser Client="Reprise", Device="Reprise", DeviceId="reprise", Version="1"'
"""How a program presents itself: one device, so that the list of devices does not grow."""
_SCAN = "RefreshLibrary"
"""Key of the task that looks for files."""


class Jellyfin:
    """A connection for one user."""

    moves_plays = True

    def __init__(self, settings: ServerSettings, secret: Secret, why_end: Callable[[], str] = str) -> None:
        self._name, self._secret = settings.user, secret
        self._http = Http(settings.name, settings.url, settings.insecure, why_end)
        if not self._http.is_private:
            found = "its address is not https: the password would go unencrypted"
            raise ServerError(self._http.where, found, remedy="Use https, or write insecure = true if you mean it")
        self._user_id = ""

    @property
    def _user(self) -> str:
        """Id of the user. Logs in first, if nobody has. Raises ServerError if the server does not let the user in."""
        if not self._user_id:
            self._http.headers = {"Authorization": _CLIENT}
            body = {"Username": self._name, "Pw": self._secret.reveal()}
            said = self._http.ask("POST", "Users/AuthenticateByName", body=body)
            token, id_ = text(table(said), "AccessToken"), text(table(said, "User"), "Id")
            if not token or not id_:
                raise ServerError(
                    self._http.where, "its answer to the login is none of Jellyfin's", remedy="Correct url"
                )
            self._http.headers = {"Authorization": f'{_CLIENT}, Token="{token}"'}
            self._user_id = id_
        return self._user_id

    def _ask(self, method: Method, path: str, query: Values | None = None, body: Any = None) -> Any:
        """What the server answers to the user. Raises RefusedError, ServerError."""
        return self._http.ask(method, path, query={"userId": self._user, **(query or {})}, body=body)

    # ---- what it is ----

    def about(self) -> About:
        said = table(self._http.ask("GET", "System/Info/Public"))
        self._items({"includeItemTypes": "Audio", "limit": 1}, 0)
        scan = ""
        try:
            self.is_scanning()
        except RefusedError as error:
            scan = error.found
        features = tuple(Feature(each) for each in ("favourites", "ratings", "playlists", "bookmarks", "plays"))
        shares = Feature("shares", "Jellyfin has none")
        version = visible(text(said, "Version"))
        return About(
            visible(text(said, "ProductName")) or "jellyfin", version, (*features, shares, Feature("rescan", scan))
        )

    # ---- reading ----

    def songs(self) -> Iterator[Song]:
        for item in self._all({"includeItemTypes": "Audio", "fields": "Path", "enableUserData": "true"}):
            data = table(item, "UserData")
            yield Song(
                id=text(item, "Id"),
                path=text(item, "Path"),
                starred=data.get("IsFavorite") is True,
                rating=_stars(data),
                plays=number(data, "PlayCount"),
            )

    def song(self, id_: str) -> Song:
        item = table(self._ask("GET", f"Items/{quote(id_, safe='')}"))
        data = table(item, "UserData")
        if text(item, "Id") != id_:
            raise ServerError(self._http.where, f"song {visible(id_)} cannot be understood", remedy="")
        starred, plays = data.get("IsFavorite") is True, number(data, "PlayCount")
        return Song(id_, text(item, "Path"), starred, _stars(data), plays)

    def loved_together(self) -> Sequence[tuple[Loved, tuple[str, ...]]]:
        found = []
        for kind, by in (("album", "albumIds"), ("artist", "artistIds")):
            types = "MusicAlbum" if kind == "album" else "MusicArtist"
            for item in self._all({"includeItemTypes": types, "filters": "IsFavorite"}):
                songs = self._all({"includeItemTypes": "Audio", by: text(item, "Id")})
                loved = Loved(kind, text(item, "Id"), text(item, "Name"))
                found.append((loved, tuple(text(song, "Id") for song in songs)))
        return found

    def bookmarks(self) -> Mapping[str, Bookmark]:
        """The places at which the user stopped."""
        found: dict[str, Bookmark] = {}
        for item in self._all({"includeItemTypes": "Audio", "enableUserData": "true", "filters": "IsResumable"}):
            position_ms = number(table(item, "UserData"), "PlaybackPositionTicks") // TICKS_PER_MS
            if position_ms:
                found[text(item, "Id")] = Bookmark(position_ms)
        return found

    def playlists(self) -> Sequence[Playlist]:
        listed = self._all({"includeItemTypes": "Playlist"})
        found = (self.playlist(text(each, "Id")) for each in listed)
        return [playlist for playlist in found if playlist is not None]

    def playlist(self, id_: str) -> Playlist | None:
        try:
            said = table(self._ask("GET", f"Items/{quote(id_, safe='')}"))
            songs, total = self._songs_in(id_)
        except MissingError:
            return None
        if len(songs) < total or not all(songs):
            raise ServerError(self._http.where, f"playlist {visible(id_)} cannot be understood", remedy="")
        may_change = said.get("CanDelete") is not False
        return Playlist(id_, text(said, "Name"), songs, "" if may_change else "another user")

    def _songs_in(self, playlist: str) -> tuple[tuple[str, ...], int]:
        """Songs of a playlist, and how many it says to have."""
        said = table(self._ask("GET", f"Playlists/{quote(playlist, safe='')}/Items"))
        return tuple(text(item, "Id") for item in tables(said, "Items")), number(said, "TotalRecordCount")

    def shares(self) -> Sequence[tuple[Share, tuple[str, ...]]]:
        return ()

    def _all(self, query: Mapping[str, str | int]) -> Iterator[Mapping[str, Any]]:
        return new_on_pages(lambda start: self._items(query, start), "Id")

    def _items(self, query: Mapping[str, str | int], start: int) -> list[Mapping[str, Any]]:
        whole: Values = {
            "recursive": "true",
            "sortBy": "DateCreated,SortName",
            "limit": PAGE,
            **query,
            "startIndex": start,
        }
        return tables(table(self._ask("GET", "Items", whole)), "Items")

    # ---- writing ----

    def star(self, song: str, is_starred: bool) -> None:
        method: Method = "POST" if is_starred else "DELETE"
        self._ask(method, f"UserFavoriteItems/{quote(song, safe='')}")

    def rate(self, song: str, rating: int) -> None:
        if rating:
            self._set(song, {"Rating": 2.0 * rating})
        else:  # among the data of an item, no rating means the rating that is there
            self._ask("DELETE", f"UserItems/{quote(song, safe='')}/Rating")

    def set_plays(self, song: str, plays: int) -> None:
        self._set(song, {"PlayCount": plays, "Played": plays > 0})

    def set_bookmark(self, song: str, bookmark: Bookmark | None) -> None:
        self._set(song, {"PlaybackPositionTicks": bookmark.position_ms * TICKS_PER_MS if bookmark else 0})

    def _set(self, song: str, data: Mapping[str, Any]) -> None:
        path = f"UserItems/{quote(song, safe='')}/UserData"
        self._ask("POST", path, body=data)

    def set_songs(self, playlist: Playlist, songs: Sequence[str]) -> None:
        self._ask("POST", f"Playlists/{quote(playlist.id, safe='')}", body={"Ids": list(songs)})

    def add_share(self, songs: Sequence[str], share: Share) -> None:  # noqa: ARG002
        raise RefusedError(self._http.where, "Jellyfin has no shares", remedy="")

    def drop_share(self, id_: str) -> None:  # noqa: ARG002
        raise RefusedError(self._http.where, "Jellyfin has no shares", remedy="")

    def start_scan(self) -> None:
        self._ask("POST", "Library/Refresh")

    def is_scanning(self) -> bool:
        tasks = tables({"tasks": self._ask("GET", "ScheduledTasks")}, "tasks")
        return any(text(task, "Key") == _SCAN and text(task, "State") != "Idle" for task in tasks)


def _stars(data: Mapping[str, Any]) -> int:
    """Stars from 1 to 5: Jellyfin has ratings from 0 to 10."""
    rating = data.get("Rating")
    if isinstance(rating, bool) or not isinstance(rating, (int, float)) or not 0 < rating <= 10:
        return 0
    return max(1, round(rating / 2))
