"""Serves an application at a socket, quietly, until the process is interrupted."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

GRACE_S = 1
"""Seconds that open connections have at the end."""


class _Server(uvicorn.Server):
    """Leaves signals to the run."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve_at(
    listening: socket.socket,
    app: ASGIApp,
    secured: Mapping[str, Any] = MappingProxyType({}),
    stop: threading.Event | None = None,
) -> None:
    """Serves until the process is interrupted, or `stop` is set. `secured` are uvicorn's options for TLS."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=GRACE_S,
        server_header=False,
        proxy_headers=False,
        **secured,
    )
    _silence("uvicorn")
    server = _Server(config)
    if stop is not None:
        threading.Thread(target=_end, args=(server, stop), daemon=True).start()
    server.run(sockets=[listening])


def _end(server: _Server, stop: threading.Event) -> None:
    stop.wait()
    server.should_exit = True


def _silence(name: str) -> None:
    """Keeps what a library would print off the terminal: the application has written to the log what went wrong."""
    logger = logging.getLogger(name)
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
