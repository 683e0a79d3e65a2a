"""The server: the pages behind their guard, at an address of this host."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import webbrowser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.place import CERTIFICATE_FILE, KEY_FILE
from dedup.errors import UsageError
from dedup.files.apart import end_all
from dedup.playback.cache import SoundCache
from dedup.store.layout import PRIVATE_FOLDER, Layout, private_opener
from dedup.store.store import require_store
from jobs.serve.app import application
from jobs.serve.clerk import Clerk
from jobs.serve.desk import Desk, Terms
from jobs.serve.guard import Guard, Key
from jobs.serve.listening import serve_at
from jobs.serve.naming import Names
from jobs.serve.passphrase import Passphrase
from jobs.serve.pictures import Pictures
from jobs.serve.site import Site
from jobs.serve.sound import Sounds
from jobs.serve.work import Work
from jobs.session.listeners import ask_servers

if TYPE_CHECKING:
    from jobs.session.progress import Progress
    from jobs.session.run import Run

PLAN_NAME = "review.json"
"""File in the store's folder that has the answers, unless another is named."""
CLOSED = "the page is closed"
"""Last words of a server: it ends at once, and has nothing to finish."""
NO_TLS = (
    "Whoever listens on the network reads all that is sent, even the passphrase: give --tls, or put a reverse proxy in "
    "front that adds TLS"
)


@dataclass(frozen=True)
class Place:
    """Where the page is served."""

    host: str
    port: int
    """0 for any that is free."""
    names: Sequence[str] = ()
    """Further names by which browsers may call it, with a port if that is not the server's own."""
    keys: Path | None = None
    """Folder of this host's TLS keys; None for plain HTTP."""

    @property
    def is_private(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host == "localhost" or _address(self.host).is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        raise UsageError(
            f"--host {host}", "not an address", remedy="Give an address of this machine, such as 0.0.0.0 for all"
        ) from None


def serve_pages(run: Run, place: Place, *, opens: bool, plan: bytes | None) -> None:
    """Prints the address and serves until the process is interrupted. Raises StoreMissingError, and UsageError for an
    address or a port that cannot be had, and for one that others can reach while no passphrase is set."""
    folder = Path(run.settings.store)
    require_store(Layout(folder))
    passphrase = None if place.is_private else Passphrase(Layout(folder).passphrase)
    secured = _secured(place.keys)
    ask_servers(run)
    listening = _listen(place)
    port = listening.getsockname()[1]
    key = Key(port)
    hosts = list(_hosts(place, port))
    desk, work = Desk(_terms(run, folder, plan)), Work(folder)
    sounds, pictures = SoundCache(), Pictures(Layout(folder).page)
    site = Site(
        desk, work, Clerk(desk, work, run.settings), run.settings, Sounds(sounds), pictures, Names(folder, desk.beside)
    )
    app = Guard(application(site), key, hosts, passphrase)
    address = f"{'https' if secured else 'http'}://{hosts[0]}/?token={key.token}"
    run.output.result({"event": "serve", "address": address})
    if not run.output.as_json:
        run.output.text(f"Reprise is at {address}")
    if passphrase is not None and not secured:
        run.observer.announce(NO_TLS)
    run.output.flush()
    run.words_at_once = CLOSED
    opened = _opened(Layout(folder), port, address, run.observer) if opens else contextlib.nullcontext()
    with contextlib.closing(sounds), contextlib.closing(pictures), opened:
        try:
            serve_at(listening, app, secured)
        finally:
            end_all()


@contextlib.contextmanager
def _opened(layout: Layout, port: int, address: str, observer: Progress) -> Iterator[None]:
    """Opens the address in the browser, by a file that only this user can read and that is there for the block: every
    user of the machine can read a browser's command line."""
    leading = layout.page / f"open-{port}.html"
    text = f'<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={address}">'
    try:
        leading.parent.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        leading.unlink(missing_ok=True)
        with open(leading, "x", encoding="ascii", opener=private_opener) as file:
            file.write(text)
        webbrowser.open(leading.absolute().as_uri())
    except OSError as error:
        observer.announce(f"The browser is not opened, as {leading} cannot be written: {error.strerror}")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            leading.unlink(missing_ok=True)


def _terms(run: Run, folder: Path, plan: bytes | None) -> Terms:
    return Terms(
        folder=folder,
        plan=plan or os.fsencode(folder / PLAN_NAME),
        match=run.settings.match(),
        keep=run.settings.keep(),
        settings=run.settings.cleanup(),
    )


def _secured(keys: Path | None) -> dict[str, Any]:
    """Options of uvicorn for TLS; none without keys. Raises UsageError if a file is missing."""
    if keys is None:
        return {}
    for name in (CERTIFICATE_FILE, KEY_FILE):
        if not (keys / name).is_file():
            raise UsageError(f"--tls {keys}", f"has no {name}", remedy="Make keys with `reprise cluster keys`")
    return {"ssl_certfile": str(keys / CERTIFICATE_FILE), "ssl_keyfile": str(keys / KEY_FILE)}


def _hosts(place: Place, port: int) -> Iterator[str]:
    """Values of the Host header under which the server answers, that of the printed address first."""
    any_address = place.host != "localhost" and _address(place.host).is_unspecified
    names = [socket.gethostname()] if any_address else []
    names += ["127.0.0.1", "localhost", "[::1]"] if any_address or place.is_private else []
    own = f"[{place.host}]" if ":" in place.host else place.host
    names = names if any_address else list(dict.fromkeys([own, *names]))
    yield from (f"{name}:{port}" for name in names)
    for name in place.names:
        yield from (name, f"{name}:{port}")


def _listen(place: Place) -> socket.socket:
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((place.host, place.port))
        listening.listen(128)  # so that whoever reads the address can connect at once
    except OSError as error:
        listening.close()
        raise UsageError(
            f"--host {place.host} --port {place.port}",
            error.strerror or str(error),
            remedy="Give another port, or 0 for any that is free",
        ) from error
    return listening
