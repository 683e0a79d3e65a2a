"""Servers that stand in for what does not run in a test: they follow the documented interfaces of Subsonic, with what
Supysonic lacks (tokens, bookmarks, shares, play counts), and of Jellyfin."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

USER, PASSWORD = "anna", "her secret"


@dataclass
class Model:
    """What a server has, whichever language it speaks."""

    songs: dict[str, dict[str, Any]]
    """By id: path, starred, rating (of 5) and plays."""
    playlists: dict[str, tuple[str, list[str], str]] = field(default_factory=dict)
    """By id: name, songs, owner."""
    bookmarks: dict[str, tuple[int, str]] = field(default_factory=dict)
    shares: dict[str, tuple[str, str, list[str]]] = field(default_factory=dict)
    """By id: description, end, songs."""
    loved: dict[str, tuple[str, str, list[str]]] = field(default_factory=dict)
    """Favourites as a whole, by id: "album" or "artist", name, songs."""
    asked: list[str] = field(default_factory=list)
    """The calls that came."""
    troubles: list[tuple[int, bytes]] = field(default_factory=list)
    """Statuses and bodies with which the next calls are answered instead."""
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def scan(self) -> None:
        self.asked.append("scan")

    def forget(self, id_: str) -> None:
        """Drops a song and all that leads to it, as a scan does when its file is gone."""
        del self.songs[id_]
        self.bookmarks.pop(id_, None)
        for songs in (*(each[1] for each in self.playlists.values()), *(each[2] for each in self.shares.values())):
            songs[:] = [song for song in songs if song != id_]

    def new_id(self) -> str:
        return f"n{next(self._ids)}"


Form = dict[str, list[str]]
Answer = tuple[int, Any]


class Subsonic:
    """Answers by a model, as the documentation of Subsonic's API says."""

    def __init__(self, model: Model, takes_tokens: bool = True, finds_all: bool = True) -> None:
        """`finds_all`: whether an empty search finds all songs."""
        self.model, self.takes_tokens, self.finds_all = model, takes_tokens, finds_all

    def __call__(self, method: str, path: str, query: Form, body: bytes, headers: Any) -> Answer:  # noqa: ARG002
        assert method == "POST" and not query, "secrets belong into the body"
        form = parse_qs(body.decode(), keep_blank_values=True)
        name = path.removeprefix("/rest/").removesuffix(".view")
        self.model.asked.append(name)
        refused = self._refused(form)
        call: Callable[[Form], dict[str, Any]] | None = getattr(self, f"_{name}", None)
        if call is None:
            return 404, {}
        said = {"status": "failed", "error": refused} if refused else {"status": "ok", **call(form)}
        return 200, {"subsonic-response": {"version": "1.16.1", "type": "standin", "serverVersion": "1.0", **said}}

    def _refused(self, form: Form) -> dict[str, Any] | None:
        if "t" in form and not self.takes_tokens:
            return {"code": 41, "message": "no tokens"}
        salted = hashlib.md5((PASSWORD + form.get("s", [""])[0]).encode()).hexdigest()
        is_let_in = form.get("t") == [salted] or form.get("p") == [f"enc:{PASSWORD.encode().hex()}"]
        return None if is_let_in else {"code": 40, "message": "Wrong username or password"}

    def _song_of(self, id_: str) -> dict[str, Any]:
        song = self.model.songs[id_]
        said: dict[str, Any] = {"id": id_, "path": song["path"], "playCount": song["plays"]}
        said |= {"starred": "2026-01-01T00:00:00Z"} if song["starred"] else {}
        return said | ({"userRating": song["rating"]} if song["rating"] else {})

    def _ping(self, form: Form) -> dict[str, Any]:  # noqa: ARG002
        return {}

    def _getUser(self, form: Form) -> dict[str, Any]:  # noqa: ARG002, N802
        return {"user": {"username": USER, "adminRole": True}}

    def _getStarred2(self, form: Form) -> dict[str, Any]:  # noqa: ARG002, N802
        found = self.model.loved.items()
        kinds = ("album", "artist")
        return {
            "starred2": {
                kind: [{"id": id_, "name": each[1]} for id_, each in found if each[0] == kind] for kind in kinds
            }
        }

    def _getArtist(self, form: Form) -> dict[str, Any]:  # noqa: N802
        return {"artist": {"album": [{"id": form["id"][0]}]}}  # of one album, for which its id stands

    def _search3(self, form: Form) -> dict[str, Any]:
        first, count = int(form["songOffset"][0]), int(form["songCount"][0])
        some = list(self.model.songs)[first : first + count]
        return {"searchResult3": {"song": [self._song_of(id_) for id_ in some]} if some and self.finds_all else {}}

    def _getAlbumList2(self, form: Form) -> dict[str, Any]:  # noqa: N802
        first, count = int(form["offset"][0]), min(2, int(form["size"][0]))
        albums = [{"id": f"album of {id_}"} for id_ in self.model.songs]
        return {"albumList2": {"album": albums[first : first + count]}}

    def _getAlbum(self, form: Form) -> dict[str, Any]:  # noqa: N802
        if form["id"][0] in self.model.loved:
            return {"album": {"song": [*map(self._song_of, self.model.loved[form["id"][0]][2])]}}
        return {"album": {"song": self._song_of(form["id"][0].removeprefix("album of "))}}  # one, not a list of one

    def _getSong(self, form: Form) -> dict[str, Any]:  # noqa: N802
        return {"song": self._song_of(form["id"][0])}

    def _getPlaylists(self, form: Form) -> dict[str, Any]:  # noqa: ARG002, N802
        return {"playlists": {"playlist": [{"id": id_, "name": each[0]} for id_, each in self.model.playlists.items()]}}

    def _getPlaylist(self, form: Form) -> dict[str, Any]:  # noqa: N802
        id_ = form["id"][0]
        name, songs, owner = self.model.playlists[id_]
        entries = list(map(self._song_of, songs))
        return {"playlist": {"id": id_, "name": name, "owner": owner, "songCount": len(entries), "entry": entries}}

    def _createPlaylist(self, form: Form) -> dict[str, Any]:  # noqa: N802
        id_ = form["playlistId"][0]
        name, _, owner = self.model.playlists[id_]
        self.model.playlists[id_] = name, form.get("songId", []), owner
        return {}

    def _getBookmarks(self, form: Form) -> dict[str, Any]:  # noqa: ARG002, N802
        found = [
            {"position": position, "comment": comment, "entry": self._song_of(id_)}
            for id_, (position, comment) in self.model.bookmarks.items()
        ]
        return {"bookmarks": {"bookmark": found}}

    def _createBookmark(self, form: Form) -> dict[str, Any]:  # noqa: N802
        self.model.bookmarks[form["id"][0]] = int(form["position"][0]), form["comment"][0]
        return {}

    def _deleteBookmark(self, form: Form) -> dict[str, Any]:  # noqa: N802
        del self.model.bookmarks[form["id"][0]]
        return {}

    def _getShares(self, form: Form) -> dict[str, Any]:  # noqa: ARG002, N802
        found = [
            {"id": id_, "username": USER, "description": told, "expires": end, "entry": [*map(self._song_of, songs)]}
            for id_, (told, end, songs) in self.model.shares.items()
        ]
        return {"shares": {"share": found}}

    def _createShare(self, form: Form) -> dict[str, Any]:  # noqa: N802
        expires = "2030-01-01T00:00:00Z" if form.get("expires") == ["1893456000000"] else ""
        self.model.shares[self.model.new_id()] = form["description"][0], expires, form["id"]
        return {}

    def _deleteShare(self, form: Form) -> dict[str, Any]:  # noqa: N802
        del self.model.shares[form["id"][0]]
        return {}

    def _star(self, form: Form) -> dict[str, Any]:
        self.model.songs[form["id"][0]]["starred"] = True
        return {}

    def _unstar(self, form: Form) -> dict[str, Any]:
        self.model.songs[form["id"][0]]["starred"] = False
        return {}

    def _setRating(self, form: Form) -> dict[str, Any]:  # noqa: N802
        self.model.songs[form["id"][0]]["rating"] = int(form["rating"][0])
        return {}

    def _startScan(self, form: Form) -> dict[str, Any]:  # noqa: ARG002, N802
        self.model.scan()
        return {}

    def _getScanStatus(self, form: Form) -> dict[str, Any]:  # noqa: ARG002, N802
        return {"scanStatus": {"scanning": False}}


class Jellyfin:
    """Answers by a model, as the documentation of Jellyfin's API says."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def __call__(self, method: str, path: str, query: Form, body: bytes, headers: Any) -> Answer:
        self.model.asked.append(f"{method} {path}")
        said = json.loads(body) if body else {}
        match path.strip("/").split("/"):
            case ["System", "Info", "Public"]:
                return 200, {"ProductName": "Jellyfin Server", "Version": "10.10.7"}
            case ["Users", "AuthenticateByName"]:
                is_let_in = said == {"Username": USER, "Pw": PASSWORD}
                return (200, {"AccessToken": "tok", "User": {"Id": "u1"}}) if is_let_in else (401, {})
        if 'Token="tok"' not in headers.get("Authorization", "") or query.get("userId") != ["u1"]:
            return 401, {}
        return self._answer(method, path.strip("/").split("/"), query, said)

    def _answer(self, method: str, path: list[str], query: Form, said: Any) -> Answer:  # noqa: PLR0911
        songs = self.model.songs
        match method, *path:
            case "GET", "Items":
                return 200, {"Items": self._items(query)}
            case "GET", "Items", id_ if id_ in songs:
                return 200, self._item(id_)
            case "GET", "Items", id_:
                name, _, owner = self.model.playlists[id_]
                return 200, {"Id": id_, "Name": name, "CanDelete": owner == USER}
            case "GET", "Playlists", id_, "Items":
                held = self.model.playlists[id_][1]
                return 200, {"Items": [{"Id": each} for each in held], "TotalRecordCount": len(held)}
            case "POST", "Playlists", id_:
                name, _, owner = self.model.playlists[id_]
                self.model.playlists[id_] = name, said["Ids"], owner
                return 204, None
            case (("POST" | "DELETE"), "UserFavoriteItems", id_):
                songs[id_]["starred"] = method == "POST"
                return 200, {}
            case "DELETE", "UserItems", id_, "Rating":
                songs[id_]["rating"] = 0
                return 200, {}
            case "POST", "UserItems", id_, "UserData":
                self._set(id_, said)
                return 200, {}
            case "POST", "Library", "Refresh":
                self.model.scan()
                return 204, None
            case "GET", "ScheduledTasks":
                return 200, [{"Key": "RefreshLibrary", "State": "Idle"}]
        return 404, {}

    def _items(self, query: Form) -> list[dict[str, Any]]:
        first, count = int(query["startIndex"][0]), int(query["limit"][0])
        if query["includeItemTypes"] == ["Playlist"]:
            return [{"Id": id_} for id_ in list(self.model.playlists)[first : first + count]]
        kind = query["includeItemTypes"][0].removeprefix("Music").lower()
        if kind in ("album", "artist"):
            loved = [{"Id": id_, "Name": each[1]} for id_, each in self.model.loved.items() if each[0] == kind]
            return loved[first : first + count]
        for by in ("albumIds", "artistIds"):
            if by in query:
                return [self._item(id_) for id_ in self.model.loved[query[by][0]][2][first : first + count]]
        resumed = query.get("filters") == ["IsResumable"]
        some = [id_ for id_ in self.model.songs if not resumed or id_ in self.model.bookmarks]
        return [self._item(id_) for id_ in some[first : first + count]]

    def _item(self, id_: str) -> dict[str, Any]:
        song = self.model.songs[id_]
        data = {"IsFavorite": song["starred"], "PlayCount": song["plays"]}
        data |= {"Rating": 2.0 * song["rating"]} if song["rating"] else {}
        data["PlaybackPositionTicks"] = self.model.bookmarks.get(id_, (0, ""))[0] * 10_000
        return {"Id": id_, "Path": song["path"], "UserData": data}

    def _set(self, id_: str, said: dict[str, Any]) -> None:
        song = self.model.songs[id_]
        if said.get("Rating") is not None:  # Jellyfin passes over what is null
            song["rating"] = int(said["Rating"] / 2)
        if "PlayCount" in said:
            song["plays"] = said["PlayCount"]
        if "PlaybackPositionTicks" in said:
            self.model.bookmarks.pop(id_, None)
            if said["PlaybackPositionTicks"]:
                self.model.bookmarks[id_] = said["PlaybackPositionTicks"] // 10_000, ""


@contextlib.contextmanager
def serving(model: Model, answer: Callable[..., Answer]) -> Iterator[str]:
    """Serves on a port of this machine, and gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if model.troubles:
                status, data = model.troubles.pop(0)
            else:
                status, said = answer(self.command, parts.path, parse_qs(parts.query), body, self.headers)
                data = b"" if said is None else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_DELETE = do_POST  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Writes nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
