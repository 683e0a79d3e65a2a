"""AcoustID and MusicBrainz on loopback, for tests: a server that answers as they document it, with the errors that they
give, and remembers who asked for what and when."""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

KEY = "k3y"
Trouble = Literal["busy", "wait", "gone", "malformed", "cut", "slow"]


def mbid(kind: str, number: int) -> str:
    """An identifier that looks like one of MusicBrainz."""
    return f"{sum(kind.encode()):08x}-0000-4000-8000-{number:012x}"


@dataclass
class Services:
    """What both services know, and what they were asked."""

    sounds: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Results of AcoustID by fingerprint, as text."""
    releases: dict[str, dict[str, Any]] = field(default_factory=dict)
    recordings: dict[str, dict[str, Any]] = field(default_factory=dict)
    unreadable: dict[str, int] = field(default_factory=dict)
    """Fingerprints for which a request is refused, with the code of the error."""
    troubles: deque[Trouble] = field(default_factory=deque)
    """What becomes of the next requests instead of an answer."""
    now: Callable[[], float] = time.time
    url: str = ""
    asked: list[str] = field(default_factory=list)
    """Fingerprints that were answered, in order."""
    looked_at: list[str] = field(default_factory=list)
    """Paths of MusicBrainz that were answered, in order."""
    times: dict[str, list[float]] = field(default_factory=lambda: {"lookup": [], "ws": []})
    """When each service was asked, answered or not."""
    agents: set[str] = field(default_factory=set)

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if path == "/v2/lookup":
            return self._look_up(form)
        _, _, _, kind, id_ = path.split("/")
        known = {"release": self.releases, "recording": self.recordings}[kind].get(id_)
        self.looked_at.append(f"{kind}/{id_}")
        return (200, known) if known is not None else (404, {"error": "Not Found", "help": "For usage, see …"})

    def _look_up(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if form.get("client") != KEY:
            return 400, {"status": "error", "error": {"code": 4, "message": "invalid API key"}}
        assert form["format"] == "json"
        assert form["batch"] == "1"
        assert set(form["meta"].split()) == {"recordings", "releases", "sources"}
        codes = [self.unreadable[text] for text in form.values() if text in self.unreadable]
        if codes:
            return 400, {"status": "error", "error": {"code": codes[0], "message": "invalid"}}
        found = []
        for name, text in form.items():
            if name.startswith("fingerprint."):
                at = name.partition(".")[2]
                assert int(form[f"duration.{at}"]) > 0
                self.asked.append(text)
                found.append({"index": int(at), "results": self.sounds.get(text, [])})
        assert len(found) <= 20
        return 200, {"status": "ok", "fingerprints": found}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body of an answer go out together
    services: Services

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(dict(urllib.parse.parse_qsl(data.decode())))

    def _answer(self, form: dict[str, str]) -> None:
        services, path = self.services, urllib.parse.urlsplit(self.path).path
        services.times["lookup" if path.endswith("lookup") else "ws"].append(services.now())
        services.agents.add(self.headers["User-Agent"])
        trouble = services.troubles.popleft() if services.troubles else None
        match trouble:
            case "busy":
                self._send(503, b'{"error": "Your requests are exceeding the allowable rate limit."}')
            case "wait":
                self._send(429, b"slow down", {"Retry-After": "90"})
            case "malformed":
                self._send(200, b"<html>not what you think</html>")
            case "cut":
                self._send(200, b'{"status": "ok", "finger', {"Content-Length": "4096"})
                self.close_connection = True
            case "gone":
                self.close_connection = True
            case _:
                if trouble == "slow":
                    time.sleep(0.3)
                status, answer = services.answer(path, form)
                self._send(status, json.dumps(answer).encode())

    def _send(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(data)
            self.wfile.flush()
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Silent."""


@contextmanager
def served(services: Services) -> Iterator[Services]:
    """The services at an address of this machine."""
    handler = type("Handler", (_Handler,), {"services": services})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    services.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield services
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
