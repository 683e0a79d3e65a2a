"""Asks an open gate of this machine: for commands that need no library of their own to answer."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
from pathlib import Path
from typing import Any, NamedTuple

from dedup.errors import GateBusyError, GateClosedError, UsageError
from dedup.files.paths import json_path
from dedup.store.layout import Layout

CALL_S = 30.0
"""Seconds for the gate to take a question; the answer may take longer."""
MOST_WAIT_S = 300.0
"""Most seconds for which one request waits for an answer."""


class Address(NamedTuple):
    """Where a gate is reached."""

    store: Path
    port: int | None = None
    socket: Path | None = None
    """The socket; None for the one in the store."""

    @property
    def name(self) -> str:
        return os.fspath(self.socket or Layout(self.store).gate / "socket")


class GateClient:
    """An open gate."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def ask(self, paths: list[bytes], wait_s: float) -> list[dict[str, Any]]:
        """The gate's decisions on files at absolute paths, asked about at once; `answer` is None for one that is not
        there after `wait_s`. Raises GateClosedError, UsageError."""
        asked = [self._call("POST", "/v1/check", {**json_path(path), "wait_s": 0}) for path in paths]
        return [each if each["answer"] is not None else self._awaited(each["id"], wait_s) for each in asked]

    def imported(self, path: bytes, id_: int | None = None) -> int:
        """Says that a file is imported, and where it is now; gives the number of the question. Raises GateClosedError,
        UsageError."""
        told = json_path(path) if id_ is None else {**json_path(path), "id": id_}
        return int(self._call("POST", "/v1/imported", told)["id"])

    def _awaited(self, id_: int, wait_s: float) -> dict[str, Any]:
        while True:
            part_s = min(wait_s, MOST_WAIT_S)
            found: dict[str, Any] = self._call("GET", f"/v1/decisions/{id_}?wait_s={part_s:g}", None, part_s)
            wait_s -= part_s
            if found["answer"] is not None or wait_s <= 0:
                return found

    def _call(self, method: str, path: str, body: Any, wait_s: float = 0.0) -> Any:
        address, headers = self._address, {"Content-Type": "application/json"}
        where = address.name if address.port is None else f"127.0.0.1:{address.port}"
        try:
            if address.port is not None:
                token = (Layout(address.store).gate / "token").read_text(encoding="ascii").strip()
                headers["Authorization"] = f"Bearer {token}"
            with contextlib.closing(_Connection(address, CALL_S + wait_s)) as connection:
                connection.request(method, path, None if body is None else json.dumps(body), headers)
                answer = connection.getresponse()
                said = json.loads(answer.read())
        except (TimeoutError, BlockingIOError) as error:  # the latter: as many as may wait do so already
            found = f"it is open, but gave no answer in {CALL_S + wait_s:.0f} s"
            raise GateBusyError(f"gate {where}", found, remedy="Ask again later: it is busy") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            remedy = "Open it with `reprise gate serve`"
            raise GateClosedError(f"gate {where}", f"it does not answer: {error}", remedy=remedy) from error
        if answer.status not in (200, 202):
            raise UsageError(f"gate {where}", str(said.get("error", answer.status)))
        return said


class _Connection(http.client.HTTPConnection):
    """A connection to a port of this machine, or to a Unix socket."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        super().__init__("127.0.0.1", address.port or 80, timeout=timeout_s)
        self._name = address.name if address.port is None else ""

    def connect(self) -> None:
        if not self._name:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._name)
