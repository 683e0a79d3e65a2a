"""A plugin for beets: before a file is imported, Reprise's gate says whether the library has the recording already.

What is new is imported, a duplicate is left out with the reason, and about a better file beets asks, unless the gate
has a policy. If no gate answers, everything is imported, with a warning. Needs nothing of Reprise in beets' own Python:
it talks to `reprise gate serve`, or runs `reprise gate check`."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beets import config, ui
from beets.importer import ImportSession, ImportTask
from beets.plugins import BeetsPlugin
from beets.util import displayable_path

Decision = dict[str, Any]
"""A decision as Reprise writes it: docs/gate.md."""

PLACED = ("item_moved", "item_copied", "item_linked", "item_hardlinked", "item_reflinked")
CALL_S = 10.0
"""Seconds for the gate to take a question; the answer may take longer."""
MOST_AT_ONCE = 200
"""Files of one run of the command: a command line is not endless."""


class NoGateError(Exception):
    """Nobody answers."""


class ReprisePlugin(BeetsPlugin):
    """Asks about each file of a task when it is made, and tells the gate where beets has put what it imported."""

    def __init__(self) -> None:
        super().__init__()
        self.config.add({"store": "", "socket": "", "port": 0, "command": "reprise", "wait": 120.0})
        self._ids: dict[bytes, int] = {}
        """The gate's number of the question about a file that is on its way in, by its present path."""
        self.register_listener("import_begin", self._begin)
        self.register_listener("import_task_created", self._created)
        self.register_listener("import_task_files", self._imported)
        for event in PLACED:
            self.register_listener(event, self._placed)

    def _begin(self, session: ImportSession) -> None:  # noqa: ARG002
        if not config["import"]["quiet"]:
            config["threaded"] = False  # two stages of the import must not ask at the same time

    def _created(self, session: ImportSession, task: ImportTask) -> list[ImportTask] | None:  # noqa: ARG002
        """Leaves out of a task what is not to be imported; an empty list drops the task."""
        items = list(task.items)
        if not items:
            return None
        try:
            decisions = self._ask([item.path for item in items])
        except NoGateError as error:
            self._log.warning("nobody says whether the library has it, so it is imported: {}: {}", _named(items), error)
            return None
        wanted = [item for item in items if self._is_wanted(item.path, decisions.get(item.path))]
        if len(wanted) == len(items):
            return None
        task.items = wanted
        return None if wanted else []

    def _is_wanted(self, path: bytes, decision: Decision | None) -> bool:
        name = displayable_path(path)
        if decision is None or decision["answer"] is None:
            self._log.warning("{}: imported, since the gate has not answered in time", name)
            return True
        answer, why, deed = decision["answer"], decision["why"], decision.get("do", "ask")
        if answer == "unusable":
            self._log.warning("{}: imported, but nobody can compare it: {}", name, why)
            return True
        if deed == "reject" or (deed == "ask" and not self._may_be_imported(name, answer, why)):
            self._log.warning("{}: not imported, {}: {}", name, answer, why)
            return False
        self._log.info("{}: {}: {}", name, answer, why)
        if "id" in decision and deed != "nothing":
            self._ids[path] = decision["id"]
        return True

    def _may_be_imported(self, name: str, answer: str, why: str) -> bool:
        """Asks, or if beets is to be quiet, does what it does then with what it is not sure of."""
        if config["import"]["quiet"]:
            return bool(config["import"]["quiet_fallback"].get() == "asis")
        return bool(ui.input_yn(f"{name}\n{answer}: {why}\nImport it (Y/n)?"))

    # ---- after the import ----

    def _placed(self, item: Any, source: bytes, destination: bytes) -> None:  # noqa: ARG002
        if source in self._ids:
            self._ids[destination] = self._ids.pop(source)

    def _imported(self, session: ImportSession, task: ImportTask) -> None:  # noqa: ARG002
        """Says where the files are, once tags are written."""
        for item in task.imported_items():
            id_ = self._ids.pop(item.path, None)
            if id_ is not None:
                try:
                    self._call("POST", "/v1/imported", {"id": id_, **_as_json(item.path)})
                except NoGateError as error:
                    self._log.warning("the gate does not know yet where {} is: {}", displayable_path(item.path), error)

    # ---- who answers ----

    def _ask(self, paths: Sequence[bytes]) -> dict[bytes, Decision]:
        """The decisions by path, all asked for at once. Raises NoGateError."""
        try:
            asked = [self._call("POST", "/v1/check", {**_as_json(path), "wait_s": 0}) for path in paths]
        except NoGateError as error:
            return self._check(paths, error)
        wait_s = self.config["wait"].as_number()
        said = [each if each["answer"] else self._call("GET", _waiting(each, wait_s), wait_s=wait_s) for each in asked]
        return dict(zip(paths, said, strict=True))

    def _call(self, method: str, address: str, body: Any = None, wait_s: float = 0.0) -> Any:
        """What an open gate answers. Raises NoGateError."""
        port, headers = self.config["port"].get(int), {}
        try:
            if port:
                token = (self._store() / "gate" / "token").read_text().strip()
                headers = {"Authorization": f"Bearer {token}"}
            connection = _Connection(port, self._socket(), CALL_S + wait_s)
            try:
                connection.request(method, address, None if body is None else json.dumps(body), headers)
                answer = connection.getresponse()
                said = json.loads(answer.read())
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NoGateError(f"the gate does not answer ({error})") from error
        if answer.status not in (200, 202):
            raise NoGateError(f"the gate refuses: {said.get('error', answer.status)}")
        return said

    def _check(self, paths: Sequence[bytes], down: NoGateError) -> dict[bytes, Decision]:
        """The decisions by the command, which needs no open gate. Raises NoGateError."""
        words = shlex.split(self.config["command"].as_str())
        if not words:
            raise down
        store = ["--store", str(self._store())] if self.config["store"].get() else []
        found: dict[bytes, Decision] = {}
        for start in range(0, len(paths), MOST_AT_ONCE):
            some = paths[start : start + MOST_AT_ONCE]
            command = [*words, "gate", "check", "--json", *store, "--", *some]
            try:
                done = subprocess.run(
                    command, stdin=subprocess.DEVNULL, capture_output=True, timeout=self._limit_s(some), check=False
                )
                told = [json.loads(line) for line in done.stdout.splitlines()]
                found |= {_path(each): each for each in told if each["event"] == "decision"}
            except (OSError, subprocess.TimeoutExpired, ValueError, KeyError) as error:
                raise NoGateError(f"{down}; {words[0]}: {error}") from error
            if not told:
                last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
                raise NoGateError(f"{down}; {words[0]}: {' '.join(last) or f'exit code {done.returncode}'}")
        return found

    def _limit_s(self, paths: Sequence[bytes]) -> float:
        return float(self.config["wait"].as_number()) * max(1, len(paths))

    def _store(self) -> Path:
        """The store's folder."""
        if self.config["store"].get():
            return Path(self.config["store"].as_filename())
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Application Support" / "reprise"
        return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "reprise"

    def _socket(self) -> str:
        named = self.config["socket"].get()
        return self.config["socket"].as_filename() if named else str(self._store() / "gate" / "socket")


class _Connection(http.client.HTTPConnection):
    """A connection to a port of this machine, or to a Unix socket."""

    def __init__(self, port: int, name: str, timeout_s: float) -> None:
        super().__init__("127.0.0.1", port or 80, timeout=timeout_s)
        self._name = "" if port else name

    def connect(self) -> None:
        if not self._name:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._name)


def _waiting(asked: Decision, wait_s: float) -> str:
    return f"/v1/decisions/{asked['id']}?wait_s={min(wait_s, 300):g}"


def _as_json(path: bytes) -> dict[str, str]:
    try:
        return {"path": path.decode()}
    except UnicodeDecodeError:
        return {"path_hex": path.hex()}


def _path(decision: Decision) -> bytes:
    return bytes.fromhex(decision["path_hex"]) if "path_hex" in decision else os.fsencode(decision["path"])


def _named(items: Sequence[Any]) -> str:
    more = f" and {len(items) - 1} more" if len(items) > 1 else ""
    return displayable_path(items[0].path) + more
