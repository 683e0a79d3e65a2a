"""Where Dask's log lines go: to a file if there is a folder for it, never to the terminal."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
from collections.abc import Iterator
from pathlib import Path

LOGGER = logging.getLogger("reprise.cluster")

MAX_LOG_BYTES = 4 << 20
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_DASK_LOGGERS = ["distributed", "distributed.client", "distributed.gc", "bokeh", "tornado", "tornado.application"]
"""Those that Dask gives a handler to stderr of their own."""


@contextlib.contextmanager
def open_logs(folder: Path | None) -> Iterator[str]:
    """Routes the launcher's log lines to `cluster.log` in `folder`, or drops them; yields the path for the
    output of workers. Dask's loggers stay off the terminal afterwards too: some complain late, at shutdown."""
    handler: logging.Handler = logging.NullHandler()
    worker_log = os.devnull
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(
            folder / "cluster.log", maxBytes=MAX_LOG_BYTES, backupCount=1, encoding="utf-8", delay=True
        )
        handler.setFormatter(logging.Formatter(FORMAT))
        worker_log = str(_rotated(folder / "workers.log"))
    asyncio_logger, ours = logging.getLogger("asyncio"), LOGGER
    before = [(logger, logger.handlers, logger.propagate, logger.level) for logger in (asyncio_logger, ours)]
    for logger in (*map(logging.getLogger, _DASK_LOGGERS), asyncio_logger, ours):
        logger.handlers, logger.propagate = [handler], False
    ours.setLevel(logging.INFO)
    try:
        yield worker_log
    finally:
        for name in _DASK_LOGGERS:
            logging.getLogger(name).handlers = [logging.NullHandler()]
        for logger, handlers, propagate, level in before:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
        handler.close()


def _rotated(path: Path) -> Path:
    """`path`, after a file there that grew too long was set aside."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_name(path.name + ".1"))
    return path
