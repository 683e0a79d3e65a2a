"""Servers that speak Subsonic or OpenSubsonic: Navidrome, gonic, Airsonic, LMS, Nextcloud Music, supysonic and others.
Everything is sent as a form, so that no log of the server has passwords or tokens."""

from __future__ import annotations

import datetime
import functools
import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import requests

from dedup.errors import ServerError
from dedup.net.download import DownloadError, Manner
from dedup.net.http import TooLargeError, whole
from dedup.net.sink import Sink
from dedup.plain_text import visible
from dedup.servers.answers import new_on_pages, number, table, tables, text
from dedup.servers.attention import Bookmark, Loved, Share
from dedup.servers.http import Http, Values
from dedup.servers.secret import Secret
from dedup.servers.server import About, Feature, MissingError, Playlist, RefusedError, Song
from dedup.servers.settings import ServerSettings

CLIENT, API_VERSION = "reprise", "1.16.1"
PAGE = 500
"""Songs or albums of one answer."""

_MISSING_PARAMETER, _NO_TOKENS = 10, (41, 42)
_NOT_LET_IN = (40, 43, 44)
_DEEPEST = 16
"""Folders in folders of a favourite that are looked into."""
_TOO_OLD, _NOT_ALLOWED, _NOT_FOUND = 30, 50, 70
_NO_FILE, _LONGEST_ERROR = ("json", "xml", "html"), 1 << 16
"""In content types of answers that are no file, and bytes that such an answer has at most."""
_NOT_OFFERED = re.compile(r"not (yet )?(supported|implemented|available|enabled)|unsupported|disabled", re.IGNORECASE)


class Subsonic:
    """A connection as one user."""

    moves_plays = False

    def __init__(self, settings: ServerSettings, secret: Secret, why_end: Callable[[], str] = str) -> None:
        self._user, self._secret = settings.user, secret
        self._http = Http(settings.name, settings.url, settings.insecure, why_end)
        self._has_tokens: bool | None = None
        """Whether it takes salted tokens; None until it was asked."""

    # ---- what it is ----

    def about(self) -> About:
        said = self._call("ping")
        user = table(self._call("getUser", {"username": self._user}), "user")
        is_admin = user.get("adminRole") is True
        scan = self._problem("getScanStatus") or ("" if is_admin else "only an administrator may ask for a scan")
        features = (
            Feature("favourites", self._problem("getStarred2")),
            Feature("ratings"),
            Feature("playlists", self._problem("getPlaylists")),
            Feature("bookmarks", self._problem("getBookmarks")),
            Feature("shares", self._problem("getShares")),
            Feature("rescan", scan),
            Feature("plays", "no call of Subsonic's API moves them to another file"),
        )
        product = text(said, "type") or "subsonic"
        version = text(said, "serverVersion") or f"API {text(said, 'version')}"
        return About(visible(product), visible(version), features)

    def _problem(self, call: str) -> str:
        try:
            self._call(call)
        except RefusedError as error:
            return error.found
        return ""

    # ---- reading ----

    def songs(self) -> Iterator[Song]:
        return map(_song, self.records())

    def records(self) -> Iterator[Mapping[str, Any]]:
        """Every song that the user may hear, with all that the server says of it."""
        found = False
        for song in self._found():
            found = True
            yield song
        if not found:
            yield from self._of_albums()

    def _found(self) -> Iterator[Mapping[str, Any]]:
        """Songs by an empty search, which most servers take for all songs."""
        counts: dict[str, str | int | Sequence[str]] = {
            "query": "",
            "artistCount": 0,
            "albumCount": 0,
            "songCount": PAGE,
        }

        def page(offset: int) -> list[Mapping[str, Any]]:
            said = self._call("search3", {**counts, "songOffset": offset})
            return tables(table(said, "searchResult3"), "song")

        yield from new_on_pages(page, "id")

    def _of_albums(self) -> Iterator[Mapping[str, Any]]:
        """Songs album by album, for servers that find nothing by an empty search."""

        def page(offset: int) -> list[Mapping[str, Any]]:
            said = self._call("getAlbumList2", {"type": "alphabeticalByName", "size": PAGE, "offset": offset})
            return tables(table(said, "albumList2"), "album")

        for album in new_on_pages(page, "id"):
            yield from tables(table(self._call("getAlbum", {"id": text(album, "id")}), "album"), "song")

    def loved_together(self) -> Sequence[tuple[Loved, tuple[str, ...]]]:
        by_tags = table(self._offered("getStarred2"), "starred2")
        by_folders = table(self._offered("getStarred"), "starred")
        found = [(Loved("album", id_, name), self._album(id_)) for id_, name in _named(by_tags, "album")]
        for id_, name in _named(by_tags, "artist"):
            albums = tables(table(self._offered("getArtist", {"id": id_}), "artist"), "album")
            songs = (song for album in albums for song in self._album(text(album, "id")))
            found.append((Loved("artist", id_, name), tuple(songs)))
        known = {loved.id for loved, _ in found}
        for id_, name in (*_named(by_folders, "album"), *_named(by_folders, "artist")):
            if id_ not in known:
                found.append((Loved("folder", id_, name), tuple(self._below(id_, _DEEPEST))))
        return found

    def _album(self, id_: str) -> tuple[str, ...]:
        """Songs of an album."""
        songs = tables(table(self._offered("getAlbum", {"id": id_}), "album"), "song")
        return tuple(text(song, "id") for song in songs)

    def _below(self, folder: str, depth: int) -> Iterator[str]:
        """Songs of a folder and of those in it, down to a depth."""
        for child in tables(table(self._offered("getMusicDirectory", {"id": folder}), "directory"), "child"):
            if child.get("isDir") is not True:
                yield text(child, "id")
            elif depth:
                yield from self._below(text(child, "id"), depth - 1)

    def playlists(self) -> Sequence[Playlist]:
        listed = tables(table(self._call("getPlaylists"), "playlists"), "playlist")
        found = (self.playlist(text(each, "id")) for each in listed if each.get("readonly") is not True)
        return [playlist for playlist in found if playlist is not None]

    def playlist(self, id_: str) -> Playlist | None:
        try:
            said = table(self._call("getPlaylist", {"id": id_}), "playlist")
        except MissingError:
            return None
        songs = tuple(text(entry, "id") for entry in tables(said, "entry"))
        if not all(songs) or text(said, "id") != id_:
            raise ServerError(self._http.where, f"playlist {visible(id_)} cannot be understood", remedy="")
        owner = text(said, "owner")
        is_whole = "songCount" not in said or number(said, "songCount") == len(songs)
        return Playlist(id_, text(said, "name"), songs, "" if self._is_own(owner) else owner, is_whole)

    def _is_own(self, owner: str) -> bool:
        """Whether something is the user's: servers take names in any case, and may not name an owner at all."""
        return owner.casefold() in ("", self._user.casefold())

    def bookmarks(self) -> Mapping[str, Bookmark]:
        said = tables(table(self._offered("getBookmarks"), "bookmarks"), "bookmark")
        return {
            text(table(each, "entry"), "id"): Bookmark(number(each, "position"), text(each, "comment")) for each in said
        }

    def shares(self) -> Sequence[tuple[Share, tuple[str, ...]]]:
        found = []
        for each in tables(table(self._offered("getShares"), "shares"), "share"):
            if self._is_own(text(each, "username")):
                share = Share(text(each, "id"), text(each, "description"), text(each, "expires"))
                found.append((share, tuple(text(entry, "id") for entry in tables(each, "entry"))))
        return found

    def _offered(self, call: str, form: Values | None = None) -> Mapping[str, Any]:
        """What a call says that not every server has, or that not every user may use; nothing then. Any other refusal
        passes, such as one of a database that is locked: nobody knows what is there. Raises ServerError."""
        try:
            return self._call(call, form)
        except RefusedError as error:
            if isinstance(error, MissingError) or (isinstance(error, _CodeError) and error.is_lasting):
                return {}
            raise

    # ---- files ----

    def require_there(self) -> None:
        """Raises ServerError unless the server answers, and lets us in."""
        self._require_api()

    def download(self, call: str, id_: str, into: Sink, manner: Manner) -> None:
        """Fetches what a call gives that answers with a file: "download" for a song as it is on the server's disk,
        "getCoverArt" for a picture. Raises DownloadError, NoFileError; RefusedError, ServerError."""
        if self._has_tokens is None:
            self._require_api()
        sent = {**self._login(self._has_tokens is True), "v": API_VERSION, "c": CLIENT, "f": "json", "id": id_}
        self._http.download(f"rest/{call}.view", sent, into, manner, functools.partial(self._require_file, call))

    def _require_file(self, call: str, answer: requests.Response) -> None:
        """Raises what an answer says that is no file."""
        kind = answer.headers.get("Content-Type", "").lower()
        if not any(word in kind for word in _NO_FILE):
            return
        try:
            said = json.loads(whole(answer, _LONGEST_ERROR, lambda: False))
        except (ValueError, RecursionError, TooLargeError):
            said = None
        error = table(said, "subsonic-response", "error")
        if not error:
            raise NoFileError(f"the server gives something other than a file for {call}")
        raise self._error(call, number(error, "code"), visible(text(error, "message"))[:200].rstrip(". "))

    # ---- writing ----

    def star(self, song: str, is_starred: bool) -> None:
        if self._now(song).starred != is_starred:
            self._call("star" if is_starred else "unstar", {"id": song})

    def rate(self, song: str, rating: int) -> None:
        if self._now(song).rating != rating:
            self._call("setRating", {"id": song, "rating": rating})

    def _now(self, song: str) -> Song:
        return _song(table(self._call("getSong", {"id": song}), "song"))

    def song(self, id_: str) -> Song:
        found = self._now(id_)
        if found.id != id_:
            raise ServerError(self._http.where, f"song {visible(id_)} cannot be understood", remedy="")
        return found

    def set_plays(self, song: str, plays: int) -> None:  # noqa: ARG002
        raise RefusedError(self._http.where, "no call of Subsonic's API moves plays", remedy="")

    def set_songs(self, playlist: Playlist, songs: Sequence[str]) -> None:
        if not playlist.is_whole:
            found = f"hides songs of the playlist {visible(playlist.name)}: written anew, it would lose them"
            raise ServerError(self._http.where, found, remedy="Let it find their files, or take them out")
        self._call("createPlaylist", {"playlistId": playlist.id, "songId": list(songs)})

    def set_bookmark(self, song: str, bookmark: Bookmark | None) -> None:
        if bookmark is not None:
            form: dict[str, str | int | Sequence[str]] = {
                "id": song,
                "position": bookmark.position_ms,
                "comment": bookmark.comment,
            }
            self._call("createBookmark", form)
        elif song in self.bookmarks():
            self._call("deleteBookmark", {"id": song})

    def add_share(self, songs: Sequence[str], share: Share) -> None:
        form: dict[str, str | int | Sequence[str]] = {"id": list(songs), "description": share.description}
        if share.expires:
            form["expires"] = _milliseconds(share.expires)
        self._call("createShare", form, is_repeatable=False)

    def drop_share(self, id_: str) -> None:
        self._call("deleteShare", {"id": id_})

    def start_scan(self) -> None:
        self._call("startScan")

    def is_scanning(self) -> bool:
        return table(self._call("getScanStatus"), "scanStatus").get("scanning") is True

    # ---- one call ----

    def _call(self, name: str, form: Values | None = None, is_repeatable: bool = True) -> Mapping[str, Any]:
        """What the server answers. Raises RefusedError, ServerError."""
        if self._has_tokens is None:
            self._require_api()
        return self._asked(name, form or {}, self._login(self._has_tokens is True), is_repeatable)

    def _takes_tokens(self) -> bool:
        try:
            self._asked("ping", {}, self._login(True), True)
        except _CodeError as error:
            if error.code != _MISSING_PARAMETER and error.code not in _NO_TOKENS:
                raise
        else:
            return True
        self._asked("ping", {}, self._login(False), True)
        return False

    def _require_api(self) -> None:
        """Finds out whether it takes tokens. Raises ServerError if nothing of Subsonic's answers there."""
        try:
            self._has_tokens = self._takes_tokens()
        except MissingError:
            ends = self._http.url.endswith("/rest")
            remedy = "Write its url without /rest" if ends else "Correct its url: it ends before /rest"
            raise ServerError(self._http.where, "has no Subsonic API there", remedy=remedy) from None

    def _login(self, has_tokens: bool) -> dict[str, str]:
        if has_tokens:
            salt = secrets.token_hex(8)
            digest = hashlib.md5((self._secret.reveal() + salt).encode(), usedforsecurity=False).hexdigest()
            return {"u": self._user, "t": digest, "s": salt}
        if not self._http.is_private:
            found = "takes no tokens, and its address is not https: the password would go unencrypted"
            raise ServerError(self._http.where, found, remedy="Use https, or write insecure = true if you mean it")
        return {"u": self._user, "p": f"enc:{self._secret.reveal().encode().hex()}"}

    def _asked(self, name: str, form: Values, login: Mapping[str, str], is_repeatable: bool) -> Mapping[str, Any]:
        sent: Values = {**login, "v": API_VERSION, "c": CLIENT, "f": "json", **form}
        said = self._http.ask("POST", f"rest/{name}.view", form=sent, is_repeatable=is_repeatable)
        response = table(said, "subsonic-response")
        if response.get("status") == "ok":
            return response
        error = table(response, "error")
        if not error:
            found = "its answer is none of Subsonic's API"
            raise ServerError(self._http.where, found, remedy="Correct its url: it ends before /rest")
        raise self._error(name, number(error, "code"), visible(text(error, "message"))[:200].rstrip(". "))

    def _error(self, name: str, code: int, message: str) -> ServerError:
        where = self._http.where
        if code in _NOT_LET_IN:
            return ServerError(where, f"does not let {self._user} in: {message}", remedy="Correct user and password")
        if code == _NOT_ALLOWED:
            remedy = "Ask as another user"
            return _CodeError(where, f"{self._user} may not ask for {name}: {message}", code, remedy)
        if code == _NOT_FOUND:
            return MissingError(where, f"has nothing for {name}: {message}", remedy="")
        return _CodeError(where, f"{name} refused: {message} (error {code})", code)


class NoFileError(DownloadError):
    """An answer that is neither a file nor a refusal, such as the page of a proxy."""


class _CodeError(RefusedError):
    """A refusal with a number of Subsonic's API."""

    def __init__(self, where: str, found: str, code: int, remedy: str = "") -> None:
        super().__init__(where, found, remedy=remedy)
        self.code = code

    @property
    def is_lasting(self) -> bool:
        """Whether it is about what the server can do or the user may do, and not about this moment."""
        return self.code in (_TOO_OLD, _NOT_ALLOWED) or _NOT_OFFERED.search(self.found) is not None

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), (self.where, self.found, self.code, self.remedy)


def _named(said: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    """Ids and names of things; an album of folders has a title."""
    return [(text(each, "id"), text(each, "name") or text(each, "title")) for each in tables(said, name)]


def _song(said: Mapping[str, Any]) -> Song:
    return Song(
        id=text(said, "id"),
        path=text(said, "path"),
        starred=bool(text(said, "starred")),
        rating=min(5, number(said, "userRating")),
        plays=number(said, "playCount"),
    )


def _milliseconds(time: str) -> int:
    """A time of ISO 8601 in milliseconds since 1970; 0, which means never, if it is none."""
    try:
        return int(datetime.datetime.fromisoformat(time).timestamp() * 1000)
    except (ValueError, OverflowError):
        return 0
