"""An open gate, in a process of its own, for tests that ask it over its API."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.web_server import REPO


class Served(NamedTuple):
    """A gate that is open."""

    process: subprocess.Popen[str]
    address: str

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON of the answer, or its text."""
        connection = _UnixConnection(self.address.removeprefix("unix:"))
        if not self.address.startswith("unix:"):
            connection = http.client.HTTPConnection(self.address.removeprefix("http://"), timeout=60)
        with contextlib.closing(connection):
            text = body if isinstance(body, (str, bytes)) else None if body is None else json.dumps(body)
            connection.request(method, path, text, headers)
            answer = connection.getresponse()
            data = answer.read()
            is_json = (answer.getheader("content-type") or "").startswith("application/json")
            return answer.status, json.loads(data) if is_json else data.decode()

    def check(self, path: Path, **more: Any) -> dict[str, Any]:
        status, answer = self.ask("POST", "/v1/check", {"path": str(path), **more})
        assert status == 200, answer
        return answer


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, name: str) -> None:
        super().__init__("gate", timeout=60)
        self._name = name

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60)
        self.sock.connect(self._name)


@contextlib.contextmanager
def served(store: Path, *options: str) -> Iterator[Served]:
    """The gate of a store, in a process of its own, with a short name for its socket."""
    command = [sys.executable, "-m", "jobs", "gate", "serve", "--json", "--no-varispeed", "--store", str(store)]
    process = subprocess.Popen(
        [*command, *options], cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield Served(process, json.loads(line)["address"])
    finally:
        process.kill()
        process.communicate()
