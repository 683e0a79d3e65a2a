"""Where Dask's log lines go: to files if there is a folder for them, never to the terminal. What a person should know
(WARNING and above) also goes to the log of the run."""

from __future__ import annotations

import contextlib
import io
import logging
import logging.handlers
import os
from collections.abc import Iterator
from pathlib import Path

from dedup.store.layout import private_opener

LOGGER = logging.getLogger("reprise.cluster")

RUN_LOGGER = logging.getLogger("reprise")
"""Logger of the run: its launcher listens here."""

SIGNS_OF_TROUBLE = (b" - WARNING - ", b" - ERROR - ", b" - CRITICAL - ", b"Fatal Python error", b"Warning: ")
MAX_STRANGERS = 20
"""Lines that a process writes about connections without our keys; anybody can make as many as they like."""
MAX_TOLD = 100
"""Lines of workers that the log of the run takes at most."""

MAX_LOG_BYTES = 4 << 20
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_DASK_LOGGERS = ["distributed", "distributed.client", "distributed.gc", "bokeh", "tornado", "tornado.application"]
"""Loggers that Dask gives their own handler to stderr."""


def told(error: BaseException) -> str:
    """An error's text on one line."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


@contextlib.contextmanager
def open_logs(folder: Path | None) -> Iterator[str]:
    """Routes the launcher's log lines to `cluster.log` in `folder`, or drops them; yields the path for the
    output of workers. Dask's loggers stay off the terminal afterwards, because some complain as late as shutdown."""
    handler: logging.Handler = logging.NullHandler()
    worker_log, n_before = os.devnull, 0
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        handler = PrivateFileHandler(
            folder / "cluster.log", maxBytes=MAX_LOG_BYTES, backupCount=1, encoding="utf-8", delay=True
        )
        handler.setFormatter(logging.Formatter(FORMAT))
        worker_log = str(_rotated(folder / "workers.log"))
        n_before = os.path.getsize(worker_log) if os.path.exists(worker_log) else 0
    asyncio_logger, ours = logging.getLogger("asyncio"), LOGGER
    before = [(logger, logger.handlers, logger.propagate, logger.level) for logger in (asyncio_logger, ours)]
    for logger in (*map(logging.getLogger, _DASK_LOGGERS), asyncio_logger, ours):
        logger.handlers, logger.propagate = [handler, _ToRun(logging.WARNING)], False
    ours.setLevel(logging.INFO)
    limit_strangers()
    try:
        yield worker_log
    finally:
        for name in _DASK_LOGGERS:
            logging.getLogger(name).handlers = [logging.NullHandler()]
        for logger, handlers, propagate, level in before:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
        handler.close()
        if folder is not None:
            _tell_of_workers(worker_log, n_before)


class PrivateFileHandler(logging.handlers.RotatingFileHandler):
    """A log that only its owner can read: it names the user's files."""

    def _open(self) -> io.TextIOWrapper:
        return open(  # type: ignore[return-value]
            self.baseFilename,
            self.mode,
            encoding=self.encoding,
            errors=self.errors,
            opener=private_opener,
        )

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: ARG002, N802
        """Whether the file is full. The base class writes each record in its mind first, and asks what kind of file it
        is."""
        return self.stream is not None and os.fstat(self.stream.fileno()).st_size >= self.maxBytes


class _Strangers(logging.Filter):
    """Lets the first refusals of connections through, so that nobody without keys can fill a log."""

    n = 0

    def filter(self, record: logging.LogRecord) -> bool:
        if "handshake failed" not in str(record.msg) and not str(record.msg).startswith("SSL Error"):
            return True
        self.n += 1
        if self.n == MAX_STRANGERS:
            record.msg = f"{record.msg}; further ones are not logged"
        return self.n <= MAX_STRANGERS


_STRANGERS = _Strangers()


def limit_strangers() -> None:
    """Limits what this process logs of connections without our keys."""
    for name in ("distributed.comm.tcp", "tornado.general"):
        logging.getLogger(name).addFilter(_STRANGERS)  # once: a logger takes the same filter only once


class _ToRun(logging.Handler):
    """Handler that passes a line on to the log of the run."""

    def emit(self, record: logging.LogRecord) -> None:
        if RUN_LOGGER.hasHandlers():  # otherwise Python prints it
            RUN_LOGGER.log(record.levelno, "cluster: %s", record.getMessage(), exc_info=record.exc_info)


def _tell_of_workers(path: str, n_before: int) -> None:
    """Passes on the trouble that workers wrote after the first `n_before` bytes: their warnings and crash reports."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        file.seek(n_before)
        told = 0
        for line in file:
            if any(sign in line for sign in SIGNS_OF_TROUBLE):
                told += 1
                if told <= MAX_TOLD:
                    RUN_LOGGER.warning("worker: %s", line.decode(errors="backslashreplace").rstrip())
        if told > MAX_TOLD:
            RUN_LOGGER.warning("worker: %d more lines like these are in %s", told - MAX_TOLD, path)


def _rotated(path: Path) -> Path:
    """`path`, after setting aside a file there that has grown too long."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_name(path.name + ".1"))
    return path
