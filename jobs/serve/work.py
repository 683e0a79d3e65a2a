"""Runs on the store: what goes on now, whoever began it; and runs that the page begins and stops.

A run is a process of its own, in a session of its own: it outlives the server, and is what the same words on a terminal
would be. The store's lock says who runs, `progress.json` what it does, and what the page's run printed is kept in the
store's folder `page`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dedup import settings as domain
from dedup.declaration import settings_of
from dedup.errors import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_NOTHING_TO_DO,
    EXIT_SOME_FAILED,
    EXIT_TIME_UP,
    InputError,
    StoreLockedError,
    writing,
)
from dedup.files.bounded import unbounded
from dedup.store.layout import PRIVATE_FOLDER, Layout, holder, private_opener
from jobs.session.again import given_words, same_program

if TYPE_CHECKING:
    from jobs.session.configuration import Configuration

Name = Literal["full", "apply", "undo", "cover"]

PRINTED = "{}.jsonl"
"""File in the folder `page` with what the last run of a command printed for programs."""
COMPLAINED = "{}.err"
"""The same with what it printed for people."""
MOST_READ, LAST_READ = 1 << 20, 1 << 16
"""Most bytes of what a run printed that are read, from the start and from the end: refusals between are in the log."""
MOST_SHOWN = 200
"""Most refusals that a page shows."""
RESULTS = {"apply": "apply", "undo": "undo", "cover": "covers"}
"""Commands of which the page shows what they print, each with the event that says what was done; what others did is in
the store."""
FINE = (EXIT_DONE, EXIT_SOME_FAILED, EXIT_NOTHING_TO_DO, EXIT_INTERRUPTED, EXIT_TIME_UP)
WAIT = "Wait for it to end, or stop it"


@dataclass
class _Child:
    """A run that the page began."""

    name: Name
    process: subprocess.Popen[bytes]
    is_stopping: bool = False
    has_begun: bool = False
    """Whether it has held the store."""


class Work:
    """The runs on one store; safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder)
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._ended: dict[str, Any] | None = None
        self._stopped: set[tuple[int, str]] = set()
        """Runs that were asked to stop, by process and beginning: asked twice, a run stops at once."""

    # ---- looking ----

    def record(self) -> dict[str, Any]:
        """What goes on: `job`, null if nothing does; and how the page's last run ended, `ended`."""
        with self._lock:
            job = self._job()
            return {"job": job, "ended": self._ended}

    def _job(self) -> dict[str, Any] | None:
        child = self._reaped()
        found = holder(self.layout)
        is_run = found is not None and found.get("pid") != os.getpid() and not found.get("short")
        if found is not None and is_run:  # whoever has it only for a moment keeps nobody waiting
            return self._running(found, child)
        if child is not None:
            state = "stopping" if child.is_stopping else "running" if child.has_begun else "starting"
            can_stop = state == "starting"
            return {"state": state, "name": child.name, "where": "", "mine": True, "can_stop": can_stop}
        return None

    def _running(self, found: dict[str, Any], child: _Child | None) -> dict[str, Any]:
        told = self._progress(found)
        is_here = found.get("host") == socket.gethostname()
        is_mine = child is not None and child.process.pid == found.get("pid")
        if child is not None and is_mine:
            child.has_begun = True
        asked = (told or {}).get("stopping") or _key(found) in self._stopped
        return {
            "state": "stopping" if asked else "running",
            "name": str(found.get("purpose", "another run")).removeprefix("reprise "),
            "since": str(found.get("since", "")),
            "where": "" if is_here else str(found.get("host")),
            "mine": is_mine,
            "can_stop": is_here and not asked,
            **(told or {}),
        }

    def _progress(self, found: dict[str, Any]) -> dict[str, Any] | None:
        """What the holder of the store says that it does; None if it does not say, or if a kill left the file."""
        try:
            told = json.loads(self.layout.progress.read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(told, dict) or told.get("pid") != found.get("pid"):
            return None
        return {name: told.get(name) for name in ("stage", "folder", "problems", "recent", "stopping", "started")}

    def _reaped(self) -> _Child | None:
        """The page's run, if it still goes on; notes how it ended if it has."""
        child = self._child
        if child is None or child.process.poll() is None:
            return child
        self._ended = self._how_it_ended(child)
        self._child = None
        return None

    def _how_it_ended(self, child: _Child) -> dict[str, Any]:
        records = list(self._printed(child.name))
        code = child.process.returncode
        done = next((each for each in records if each.get("event") == RESULTS.get(child.name)), None)
        error = next((str(each.get("message")) for each in records if each.get("event") == "error"), "")
        if not error and code < 0:
            error = f"It was killed by {signal.Signals(-code).name}."
        if not error and code not in FINE:
            error = self._complaint(child.name)
        refused = [each for each in records if each.get("event") in ("refused", "failed") and "reason" in each]
        n_refused = int((done or {}).get("refused", (done or {}).get("failed", len(refused))))
        return {
            "name": child.name,
            "pid": child.process.pid,
            "exit_code": code,
            "stopped": code in (EXIT_INTERRUPTED, EXIT_TIME_UP),
            "error": error,
            "done": done,
            "refused": refused[:MOST_SHOWN],
            "n_more": max(0, n_refused - MOST_SHOWN),
        }

    def _printed(self, name: str) -> Iterator[dict[str, Any]]:
        lines: list[bytes] = []
        with contextlib.suppress(OSError), open(self.layout.page / PRINTED.format(name), "rb") as file:
            lines = file.read(MOST_READ).splitlines()
            if (size := file.seek(0, os.SEEK_END)) > MOST_READ:
                file.seek(max(MOST_READ, size - LAST_READ))
                lines += file.read().splitlines()
        for line in lines:
            with contextlib.suppress(ValueError):  # cut in two
                record = json.loads(line)
                if isinstance(record, dict):
                    yield record

    def _complaint(self, name: str) -> str:
        with contextlib.suppress(OSError):
            lines = (self.layout.page / COMPLAINED.format(name)).read_text("utf-8", "replace").strip().splitlines()
            if lines:
                return lines[-1].removeprefix("reprise: ")
        return "It ended without a word; the log of the store may say why."

    # ---- beginning and stopping ----

    def begin(self, name: Name, words: Sequence[str]) -> None:
        """Begins a run of a command with these words. Raises StoreLockedError if another goes on, WriteError."""
        with self._lock:
            job = self._job()
            if job is not None:
                raise StoreLockedError(f"store {self.layout.folder}", f"{job['name']} goes on", remedy=WAIT)
            self._ended = None
            self._child = _Child(name, self._started(name, words))

    def _started(self, name: Name, words: Sequence[str]) -> subprocess.Popen[bytes]:
        page, (program, environment) = self.layout.page, same_program()
        is_counted = name in RESULTS
        with writing(f"folder {page}"):
            page.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
            with (
                open(page / PRINTED.format(name), "wb", opener=private_opener) as out,
                open(page / COMPLAINED.format(name), "wb", opener=private_opener) as err,
                unbounded(),
            ):
                return subprocess.Popen(
                    [*program, name, *(["--json"] if is_counted else []), "--quiet", *words],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out if is_counted else subprocess.DEVNULL,
                    stderr=err,
                    start_new_session=True,
                )

    def stop(self) -> None:
        """Asks the run that goes on to finish what is in flight. Raises InputError if there is none, if it was asked
        before, or if it cannot be asked from here."""
        with self._lock:
            job, found = self._job(), holder(self.layout)
            if job is None:
                raise InputError("the run", "has ended already", remedy="Look at the page again")
            if job["state"] == "stopping":
                raise InputError("the run", "is already finishing what is in flight", remedy="Wait for it to end")
            if job["state"] == "starting" and self._child is not None:
                self._child.is_stopping = True
                self._child.process.terminate()
                return
            if found is None:
                raise InputError("the run", "is just ending", remedy="Wait for it to end")
            if not job["can_stop"]:
                raise InputError("the run", f"goes on at {job['where']}", remedy="Stop it there")
            interrupt(self.layout, int(found["pid"]))
            self._stopped.add(_key(found))


def words_for(settings: Configuration, name: Name) -> list[str]:
    """Options that give a command the store and the settings of this server."""
    match = {each.name for each in settings_of(domain.MatchSettings)}
    keep = {each.name for each in settings_of(domain.KeepSettings)}
    cleanup = {each.name for each in settings_of(domain.PlanSettings)}
    taken: dict[str, set[str]] = {
        "full": match | keep | cleanup,
        "apply": match | {"protect", "let-go", "break-albums", "to"},
        "undo": set(),
        "cover": {"protect"},
    }
    return given_words(settings, {"profile", *taken[name]})


def _key(found: dict[str, Any]) -> tuple[int, str]:
    return int(found.get("pid", 0)), str(found.get("since"))


def interrupt(layout: Layout, pid: int) -> None:
    """Sends the process that holds the store what Ctrl-C sends. Raises InputError if it is somebody else's, or is not
    the holder any more."""
    try:
        with _handle_of(pid) as send:
            if not _has_open(pid, layout.lock):
                raise InputError(f"process {pid}", "does not hold the store any more", remedy="Look at the page again")
            send(signal.SIGINT)
    except ProcessLookupError:
        raise InputError(f"process {pid}", "has just ended", remedy="Look at the page again") from None
    except PermissionError:
        raise InputError(f"process {pid}", "is another user's", remedy="Ask that user to stop it") from None


@contextlib.contextmanager
def _handle_of(pid: int) -> Any:
    """A function that sends signals to the process that has this id now, and to no later one that gets the same."""
    if not hasattr(os, "pidfd_open"):
        yield lambda number: os.kill(pid, number)
        return
    descriptor = os.pidfd_open(pid)
    try:
        yield lambda number: signal.pidfd_send_signal(descriptor, number)
    finally:
        os.close(descriptor)


def _has_open(pid: int, path: Path) -> bool:
    """Whether a process has a file open. Where the system does not say, the lock's text is believed. Raises
    PermissionError for another user's process."""
    if not os.path.isdir("/proc/self/fd"):
        return True
    wanted = path.stat()
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except FileNotFoundError:
        raise ProcessLookupError from None
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(f"/proc/{pid}/fd/{name}")
            if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                return True
    return False
