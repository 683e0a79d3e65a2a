"""A real Subsonic server for tests: Supysonic, with its daemon, which scans."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

USER, PASSWORD = "anna", "a secret of hers"

_WEB = """
import sys
from supysonic.config import IniConfig
from supysonic.managers.folder import FolderManager
from supysonic.managers.user import UserManager
from supysonic.web import create_application
from werkzeug.serving import make_server
config, port, user, password, music = sys.argv[1:]
application = create_application(IniConfig(config))
if music:
    UserManager.add(user, password, admin=True)
    UserManager.add("bert", password)
    FolderManager.add("music", music)
make_server("127.0.0.1", int(port), application, threaded=True).serve_forever()
"""
"""Serves the API; makes users and the folder first, if one is named."""

_DAEMON = """
import sys
from supysonic.config import IniConfig
IniConfig.from_common_locations = classmethod(lambda cls: cls(sys.argv[1]))
from supysonic.daemon import main
main()
"""


class Supysonic:
    """A server that plays one folder, and calls of its API for tests to look at it."""

    def __init__(self, home: Path, music: Path) -> None:
        """Sets it up in `home`, which must be a short path: the daemon has a socket there. Starts nothing."""
        home.mkdir()
        self.config = home / "conf"
        self.config.write_text(
            f"[base]\ndatabase_uri = sqlite:///{home}/db\n[webapp]\ncache_dir = {home}/cache\nmount_webui = no\n"
            f"[daemon]\nsocket = {home}/s\nrun_watcher = no\n"
        )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._home, self._music = home, str(music)
        self._web: subprocess.Popen[bytes] | None = None
        self._daemon: subprocess.Popen[bytes] | None = None

    def _run(self, program: str, *args: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        with open(self._home / "log", "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", program, str(self.config), *args], env=environment, stdout=log, stderr=log
            )

    def start(self) -> None:
        """Starts the server, then its daemon, as both would make the database; waits until each answers."""
        self._web = self._run(_WEB, str(self.port), USER, PASSWORD, self._music)
        self._music = ""
        self._wait_for("ping")
        self._daemon = self._daemon or self._run(_DAEMON)
        self._wait_for("getScanStatus")

    def _wait_for(self, call: str) -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(requests.ConnectionError):
                if self.call(call)["status"] == "ok":
                    return
            time.sleep(0.02)
        raise AssertionError((self._home / "log").read_text()[-3000:])

    def stop(self) -> None:
        """Stops the server; its daemon goes on."""
        _end(self._web)

    def end(self) -> None:
        _end(self._web)
        _end(self._daemon)

    def call(self, call: str, user: str = USER, **form: Any) -> dict[str, Any]:
        """What the API answers."""
        sent = {"u": user, "p": PASSWORD, "v": "1.12.0", "c": "tests", "f": "json", **form}
        answer: dict[str, Any] = requests.post(f"{self.url}/rest/{call}.view", data=sent, timeout=10).json()
        return answer["subsonic-response"]

    def scan(self) -> None:
        """Lets it look for files, and waits until that is over."""
        self.call("startScan")
        while self.call("getScanStatus")["scanStatus"]["scanning"]:
            time.sleep(0.02)

    def songs(self, user: str = USER) -> dict[str, dict[str, Any]]:
        """Its songs, by path below its folder."""
        found = self.call("search3", user, query="", songCount=500)["searchResult3"].get("song", [])
        return {song["path"]: song for song in found}

    def make_playlist(self, name: str, *songs: str) -> str:
        """Makes a playlist of songs with these ids, and gives its id."""
        self.call("createPlaylist", name=name, songId=songs)
        listed = self.call("getPlaylists")["playlists"]["playlist"]
        return str(next(each["id"] for each in listed if each["name"] == name))

    def playlist(self, id_: str) -> list[str]:
        """The songs of a playlist, by path."""
        return [entry["path"] for entry in self.call("getPlaylist", id=id_)["playlist"].get("entry", [])]


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.kill()
        process.wait(10)


@contextlib.contextmanager
def supysonic(home: Path, music: Path) -> Iterator[Supysonic]:
    """A running server that plays the folder `music`, scanned."""
    server = Supysonic(home, music)
    try:
        server.start()
        server.scan()
        yield server
    finally:
        server.end()
