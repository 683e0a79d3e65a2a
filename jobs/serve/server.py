"""The server: the pages behind their guard, at an address of this host."""

from __future__ import annotations

import contextlib
import os
import socket
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from dedup.errors import UsageError
from dedup.playback.cache import SoundCache
from dedup.store.layout import Layout
from dedup.store.store import require_store
from jobs.serve.app import Site, application
from jobs.serve.desk import Desk, Terms
from jobs.serve.guard import Guard, Key
from jobs.serve.sound import Sounds

if TYPE_CHECKING:
    from jobs.session.run import Run

LOOPBACK = "127.0.0.1"
PLAN_NAME = "review.json"
"""File in the store's folder that has the answers, unless another is named."""
GRACE_S = 1
"""Seconds that open connections have at the end."""


class _Server(uvicorn.Server):
    """Leaves signals to the run."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve_pages(run: Run, *, port: int, opens: bool, plan: bytes | None) -> None:
    """Prints the address and serves until the process is interrupted. Raises StoreMissingError, and UsageError for a
    port that is taken."""
    folder = Path(run.settings.store)
    require_store(Layout(folder))
    listening = _listen(port)
    port = listening.getsockname()[1]
    key = Key(port)
    terms = Terms(
        folder=folder,
        plan=plan or os.fsencode(folder / PLAN_NAME),
        match=run.settings.match(),
        keep=run.settings.keep(),
        settings=run.settings.cleanup(),
    )
    hosts = [f"{name}:{port}" for name in (LOOPBACK, "localhost")]
    sounds = SoundCache()
    app = Guard(application(Site(Desk(terms), Sounds(sounds))), key, hosts)
    address = f"http://{hosts[0]}/?token={key.token}"
    run.output.result({"event": "serve", "address": address})
    if not run.output.as_json:
        run.output.text(f"Reprise is at {address}")
    run.output.flush()
    if opens:
        webbrowser.open(address)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=GRACE_S, server_header=False
    )
    try:
        _Server(config).run(sockets=[listening])
    finally:
        sounds.close()


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((LOOPBACK, port))
    except OSError as error:
        listening.close()
        raise UsageError(
            f"--port {port}", error.strerror or str(error), remedy="Give another one, or 0 for any that is free"
        ) from error
    return listening
