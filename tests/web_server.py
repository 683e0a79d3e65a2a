"""A real `reprise serve` in a process of its own, and a client that asks it as a browser does."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

REPO = Path(__file__).resolve().parent.parent
WAIT_S = 60.0


@dataclass
class Answer:
    """What the server answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    """A server that runs."""

    process: subprocess.Popen[bytes]
    address: str
    """As printed, with the token."""
    port: int
    cookie: str = ""
    hosts: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str | None] | None = None
    ) -> Answer:
        """Asks as this server's page would; `headers` change that, None leaves one out."""
        sent: dict[str, str | None] = {"Host": self.host, "Cookie": self.cookie or None}
        if method != "GET":
            sent |= {"Origin": f"http://{self.host}", "Content-Type": "application/json"}
        sent |= headers or {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True)
            if body is not None and "Content-Length" not in sent and "Transfer-Encoding" not in sent:
                sent["Content-Length"] = str(len(body))
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())

    def say(self, path: str, **said: Any) -> Any:
        """Posts a JSON object and gives what the server says to it; it must not refuse."""
        answer = self.ask(path, "POST", json.dumps(said).encode())
        assert answer.status == 200, answer.text
        return answer.json()

    def enter(self) -> Answer:
        """Opens the printed address and keeps the cookie."""
        split = urlsplit(self.address)
        answer = self.ask(f"{split.path}?{split.query}")
        self.cookie = (answer.headers["Set-Cookie"] or "").partition(";")[0]
        return answer

    def end(self, number: int = signal.SIGINT) -> int:
        """Sends a signal and gives the exit code."""
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


@contextlib.contextmanager
def serving(store: Path, *options: str, enter: bool = True) -> Iterator[Served]:
    """A server of the store at any free port, ended at the end."""
    process = start(store, *options)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read().decode() if process.stderr else ""
        address = json.loads(line)["address"]
        served = Served(process, address, urlsplit(address).port or 0)
        if enter:
            served.enter()
        yield served
    finally:
        process.kill()
        process.wait(WAIT_S)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def start(store: Path, *options: str) -> subprocess.Popen[bytes]:
    """Starts `reprise serve --json`."""
    command = [sys.executable, "-m", "jobs", "serve", "--json", "--store", str(store)]
    command += ["--port", "0"] if "--port" not in options else []
    return subprocess.Popen(
        [*command, *options], cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)
    )
