"""The gate's server: its API at a socket of this user, or at a port of this machine for whoever has the token."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedup.cleanup.arrivals import NOWHERE, Arrivals, Places
from dedup.errors import UsageError, writing
from dedup.files.paths import json_path, path_from_json, printable
from dedup.gate.inbox import REST_S, Inbox
from dedup.gate.keeper import Keeper, Terms
from dedup.store.layout import PRIVATE_FOLDER, Layout, private_opener
from dedup.store.store import require_store
from jobs.serve.gate_app import Entry, application
from jobs.serve.gate_uploads import Uploads
from jobs.serve.listening import serve_at
from jobs.session.output import OutputClosedError
from jobs.show.gate import answer_line

if TYPE_CHECKING:
    from jobs.session.run import Run

LONGEST_SOCKET = 100
"""Bytes of a socket's name, of which systems take 104 to 108."""

CLOSED = "the gate is closed; what was asked and not answered is answered when it is opened again"


@dataclass(frozen=True)
class Door:
    """Where the API is reached."""

    port: int | None = None
    """Port of this machine; 0 for any that is free, None for a socket."""
    socket: Path | None = None
    """The socket; None for the one in the store."""
    places: Places = NOWHERE
    """Folders whose files are asked about when they are whole, and where they go then."""
    rest_s: float = REST_S
    """Seconds for which such a file must not have changed."""


def serve_gate(run: Run, door: Door, terms: Terms) -> None:
    """Prints the address and answers until the run is to stop. Raises StoreMissingError, StoreLockedError if
    the gate of this store is open already, WriteError, and UsageError for an address that cannot be had."""
    layout = Layout(Path(run.settings.store))
    require_store(layout)
    is_told = threading.Event()

    uploads = Uploads(layout)

    def tell(told: dict[str, Any]) -> None:
        uploads.drop(path_from_json(told))
        is_told.wait()  # the address comes first
        _tell(run, told)

    def tell_moved(moved: dict[str, Any]) -> None:
        is_told.wait()
        _tell_moved(run, moved)

    door.places.check()
    keeper = Keeper(layout.folder, terms, tell)
    with contextlib.ExitStack() as opened:
        opened.enter_context(keeper.opened())
        uploads.tidy([each.path for each in keeper.questions.unanswered()])
        opened.callback(is_told.set)  # before the keeper is closed, which may wait to tell
        listening, address, entry = opened.enter_context(_listening(layout, door))
        opened.enter_context(_watched(keeper, door, terms, layout, tell_moved))
        run.observer.close()
        run.output.result({"event": "gate", "address": address})
        if not run.output.as_json:
            run.output.text(f"The gate is open at {address}")
        run.output.flush()
        is_told.set()
        run.last_words = run.words_at_once = CLOSED
        serve_at(listening, Entry(application(keeper, uploads), *entry), stop=run.stop.event)


def _tell(run: Run, told: dict[str, Any]) -> None:
    """Shows an answer to whoever runs the gate."""
    with contextlib.suppress(OutputClosedError):  # nobody looks any more
        run.output.result({"event": "decision", **told})
        if not run.output.as_json:
            run.output.note(answer_line(told, run.output.look))


def _tell_moved(run: Run, moved: dict[str, Any]) -> None:
    """Shows that a file was moved, and by which clean-up."""
    known = {"event": "moved", **json_path(moved["path"]), "to": json_path(moved["to"])}
    with contextlib.suppress(OutputClosedError):
        run.output.result({**known, "id": moved["id"], "cleanup": moved["cleanup"]})
        if not run.output.as_json:
            run.output.note(f"moved to {printable(moved['to'])}")


@contextlib.contextmanager
def _watched(
    keeper: Keeper, door: Door, terms: Terms, layout: Layout, tell: Callable[[dict[str, Any]], None]
) -> Iterator[None]:
    """Asks about what arrives in the inbox."""
    places = door.places
    if not places.inboxes:
        yield
        return
    arrivals, stop = Arrivals(layout.folder, keeper, places, tell), threading.Event()
    own = [os.fsencode(layout.folder), *filter(None, (places.accept, places.reject))]

    def is_known(path: bytes, moment: float) -> bool:
        return arrivals.is_left(path) or keeper.is_asked_since(path, moment)

    inbox = Inbox(places.inboxes, terms.scan.discover, own, is_known, keeper.ask, door.rest_s, arrivals.settle)
    work = partial(arrivals.work, stop.is_set)
    thread = threading.Thread(target=inbox.run, args=(stop, work), name="inbox", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def _listening(layout: Layout, door: Door) -> Iterator[tuple[socket.socket, str, tuple[str, list[str]]]]:
    """The open socket, its address, and what `Entry` asks for: a token, and the names of the server."""
    if door.port is None:
        name = os.path.abspath(door.socket or layout.gate / "socket")
        with _named(name) as listening:
            yield listening, f"unix:{name}", ("", [])
        return
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", door.port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        remedy = "Give another port, or 0 for any that is free"
        raise UsageError(f"--port {door.port}", error.strerror or str(error), remedy=remedy) from error
    port = listening.getsockname()[1]
    with contextlib.closing(listening):
        hosts = [f"{name}:{port}" for name in ("127.0.0.1", "localhost")]
        yield listening, f"http://127.0.0.1:{port}", (_token(layout), hosts)


@contextlib.contextmanager
def _named(name: str) -> Iterator[socket.socket]:
    """A socket that only this user can open. The gate's lock is held, so one that is there was left by a kill."""

    def refusal(found: str) -> UsageError:
        return UsageError(f"socket {name}", found, remedy="Give another name with --socket")

    if len(os.fsencode(name)) > LONGEST_SOCKET:
        raise refusal("its name is too long for a socket")
    if os.path.lexists(name):
        if not Path(name).is_socket():
            raise refusal("there is something else of that name")
        os.unlink(name)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o177)
        try:
            listening.bind(name)
        finally:
            os.umask(before)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise refusal(error.strerror or str(error)) from error
    with contextlib.closing(listening):
        try:
            yield listening
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)


def _token(layout: Layout) -> str:
    """The token that callers send, kept in the store; made if there is none."""
    path = layout.gate / "token"
    with contextlib.suppress(FileNotFoundError):
        if found := path.read_text(encoding="ascii").strip():
            return found
    token = secrets.token_urlsafe(32)
    with writing(f"file {path}"):
        path.parent.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        with open(path, "w", encoding="ascii", opener=private_opener) as file:
            file.write(token + "\n")
    return token
