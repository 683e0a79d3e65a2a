"""Services that stand in for those that no test may reach: a Subsonic server that lies and breaks off, and Yandex Music
as the package `yandex-music` documents its protocol."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import requests
from requests.adapters import HTTPAdapter

Trouble = Literal["cut", "short", "long", "busy", "gone", "page", "slow", "packed", "wait for ever", "silence", "drip"]
TOKEN, UID = "y0_secret", 1130


@dataclass
class Reply:
    """An answer."""

    body: bytes
    kind: str = "application/octet-stream"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    promised: int | None = None
    """Bytes that the header tells, if they are not those that come."""
    pause_s: float = 0.0
    """Seconds between two halves of the body."""


def of_json(value: Any, status: int = 200) -> Reply:
    return Reply(json.dumps(value).encode(), "application/json", status)


class Form(dict[str, str]):
    """What was sent: query and form, the last of each name; and the headers."""

    headers: Any = None


Answer = Callable[[str, Form], Reply | None]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answer: Answer

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        said = parse_qs(parts.query) | parse_qs(body.decode())
        form = Form({name: ",".join(values) for name, values in said.items()})
        form.headers = self.headers
        reply = type(self).answer(parts.path, form)
        if reply is None:
            self.close_connection = True
            return
        self.send_response(reply.status)
        length = len(reply.body) if reply.promised is None else reply.promised
        for name, value in {"Content-Type": reply.kind, "Content-Length": str(length), **reply.headers}.items():
            if name == "X-Slow":
                self.flush_headers()
                for letter in f"{name}: {value}":
                    self.wfile.write(letter.encode())
                    time.sleep(0.05)
            self.send_header(name, value)
        self.end_headers()
        half = len(reply.body) // 2
        for piece in (reply.body[:half], reply.body[half:]):
            self.wfile.write(piece)
            self.wfile.flush()
            time.sleep(reply.pause_s)
        self.close_connection = reply.promised is not None

    def log_message(self, *_: object) -> None:
        """Silent."""


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """The address of a server on this machine."""
    handler = type("Handler", (_Handler,), {"answer": staticmethod(answer)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that goes away
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


_PAGE = b"<html>log in</html>"


@dataclass
class Files:
    """A Subsonic server of some files, with troubles."""

    songs: dict[str, tuple[dict[str, Any], bytes]]
    """What it says of each song, by id, and its bytes."""
    troubles: deque[Trouble] = field(default_factory=deque)
    """What becomes of the next downloads."""
    ranges: list[str] = field(default_factory=list)
    """What of the files was asked for."""
    takes_ranges: bool = True
    versions: deque[str] = field(default_factory=deque)
    """What the next answers call the version of the file."""
    known_versions: list[str] = field(default_factory=list)
    """Versions of which a rest was asked for."""
    is_behind_login: bool = False
    """Whether it has nothing but a page for whoever is not logged in."""
    is_away: bool = False
    """Whether it closes each connection without a word."""

    def __call__(self, path: str, form: Form) -> Reply | None:
        if self.is_away:
            return None
        if self.is_behind_login:
            return Reply(_PAGE, "text/html; charset=utf-8")
        call = path.removeprefix("/rest/").removesuffix(".view")
        if call == "download":
            self.known_versions.append(form.headers.get("If-Range", ""))
            reply = self._file(form["id"], form.headers.get("Range", ""))
            if reply is not None and self.versions:
                reply.headers["ETag"] = self.versions.popleft()
            return reply
        said: dict[str, Any] = {}
        if call == "search3" and form["songOffset"] == "0":
            said = {"searchResult3": {"song": [{"id": id_, **each} for id_, (each, _) in self.songs.items()]}}
        return of_json({"subsonic-response": {"status": "ok", "version": "1.16.1", **said}})

    def _file(self, id_: str, asked: str) -> Reply | None:
        data = self.songs[id_][1]
        self.ranges.append(asked)
        trouble = self.troubles.popleft() if self.troubles else None
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.takes_ranges else 0
        reply = Reply(data[start:], "audio/flac")
        if start:
            reply.status, reply.headers = 206, {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        match trouble:
            case "cut":
                reply.promised, reply.body = len(reply.body), reply.body[: len(reply.body) // 2]
            case "short":
                reply.body = reply.body[: len(reply.body) // 2]
            case "long":
                reply.body += b"more"
            case "busy":
                return Reply(b"later", "text/plain", 503, {"Retry-After": "7"})
            case "wait for ever":
                return Reply(b"later", "text/plain", 429, {"Retry-After": "99999"})
            case "gone":
                error = {"code": 70, "message": "not\x1b[2J here"}
                return of_json({"subsonic-response": {"status": "failed", "error": error}})
            case "page":
                return Reply(_PAGE, "text/html; charset=utf-8")
            case "silence":
                return None
            case "drip":
                reply.headers["X-Slow"] = "x" * 1000
            case "slow":
                reply.pause_s = 0.3
            case "packed":
                reply.headers["Content-Encoding"] = "gzip"
        return reply


@dataclass
class YandexService:
    """Yandex Music, and the hosts of its files and pictures."""

    tracks: dict[str, dict[str, Any]]
    files: dict[str, bytes]
    likes: list[str] = field(default_factory=list)
    playlists: dict[int, tuple[str, list[str]]] = field(default_factory=dict)
    previews: set[str] = field(default_factory=set)
    picture: bytes = b""
    url: str = ""
    troubles: deque[int] = field(default_factory=deque)
    """Statuses of the next answers."""
    tokens: set[str | None] = field(default_factory=set)
    """Tokens that came with what the hosts of files were asked for."""

    def __call__(self, path: str, form: Form) -> Reply:
        if path.startswith("/storage/"):
            self.tokens.add(form.headers.get("Authorization"))
            return self._stored(path)
        if self.troubles:
            return of_json({"error": {"name": "x", "message": "x"}}, self.troubles.popleft())
        if path.startswith("/info/"):
            return self._link(path.removeprefix("/info/"))
        if form.headers.get("Authorization") != f"OAuth {TOKEN}":
            return of_json({"error": {"name": "session-expired", "message": "no"}}, 401)
        return of_json({"invocationInfo": {}, "result": self._result(path, form)})

    def _result(self, path: str, form: Form) -> Any:
        if path == "/account/status":
            return {
                "account": {"now": "", "serviceAvailable": True, "uid": UID},
                "permissions": {"until": "", "values": [], "default": []},
            }
        if path == f"/users/{UID}/likes/tracks":
            liked = [{"id": id_, "albumId": "9", "timestamp": "2026-01-01T00:00:00+00:00"} for id_ in self.likes]
            return {"library": {"uid": UID, "revision": 1, "tracks": liked}}
        if path == f"/users/{UID}/playlists/list":
            listed = self.playlists.items()
            return [{"uid": UID, "kind": kind, "title": title, "cover": {}} for kind, (title, _) in listed]
        if path.startswith(f"/users/{UID}/playlists/"):
            kind = int(path.rsplit("/", 1)[1])
            title, ids = self.playlists[kind]
            tracks = [{"id": id_, "timestamp": ""} for id_ in ids]
            return {"kind": kind, "title": title, "cover": {}, "tracks": tracks}
        if path == "/tracks":
            return [self.tracks[id_] for id_ in form["track-ids"].split(",")]
        id_ = path.removeprefix("/tracks/").removesuffix("/download-info")
        info = {"gain": False, "direct": False, "downloadInfoUrl": f"{self.url}/info/{id_}"}
        kinds = [("aac", 64), ("mp3", 192), ("mp3", 320), ("odd", 999)]
        return [
            {**info, "codec": codec, "bitrateInKbps": rate, "preview": id_ in self.previews} for codec, rate in kinds
        ]

    def _link(self, id_: str) -> Reply:
        said = {"host": "storage", "path": f"/file/{id_}", "ts": "0005", "region": "-1", "s": "salt"}
        xml = "".join(f"<{name}>{value}</{name}>" for name, value in said.items())
        return Reply(f"<download-info>{xml}</download-info>".encode(), "text/xml")

    def _stored(self, path: str) -> Reply:
        if path.startswith("/storage/picture"):
            return Reply(self.picture, "image/jpeg")
        id_ = path.rsplit("/", 1)[1]
        sign = hashlib.md5(f"XGRlBW9FXlekgbPrRHuSiAfile/{id_}salt".encode()).hexdigest()
        if not path.startswith(f"/storage/get-mp3/{sign}/0005/"):
            return Reply(b"", status=403)
        return Reply(self.files[id_], "audio/mpeg")


class ToHere(HTTPAdapter):
    """Takes what goes to any host by https to a server on this machine, below the name of the host."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        parts = urlsplit(request.url or "")
        request.url = f"{self._url}/{parts.netloc}{parts.path}"
        return super().send(request, *args, **more)
