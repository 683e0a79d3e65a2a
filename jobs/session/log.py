"""The log file of a store: `reprise.log`, one line an event with the run's id, rotated, never more than 4 MB.

It is made only in a folder that is a store. Until the store exists, lines are kept in memory, so that the log
has the beginning of the first run too. If the log cannot be written, the run goes on without it."""

from __future__ import annotations

import contextlib
import io
import logging
import logging.handlers
import secrets
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from dedup.store.layout import private_opener

NAME = "reprise.log"
MARKS = ("catalog.db", "fingerprints.zarr")
"""Names of files and folders, one of which is enough to recognize a store."""
KEPT_LINES = 10_000
LOGGERS = ("reprise", "py.warnings")
logging.getLogger("reprise").addHandler(logging.NullHandler())  # without it Python prints what no other handler takes


class StoreLog(logging.Handler):
    """A context manager: inside it, messages to the logger "reprise", Python's warnings and exceptions in threads go
    only to the store's log."""

    def __init__(self, folder: Path, verbose: bool = False) -> None:
        super().__init__(logging.DEBUG if verbose else logging.INFO)
        self.folder, self.path = folder, str(folder / NAME)
        self.run_id = secrets.token_hex(6)
        self._waiting: list[logging.LogRecord] = []
        self._file: logging.handlers.RotatingFileHandler | None = None
        self._broken = False

    @property
    def written(self) -> bool:
        """Whether lines have reached the file."""
        return self._file is not None and not self._broken

    def emit(self, record: logging.LogRecord) -> None:
        if self._broken:
            return
        if self._file is None and not any((self.folder / mark).exists() for mark in MARKS):
            if len(self._waiting) < KEPT_LINES:
                self._waiting.append(record)
            return
        try:
            self._write(record)
        except (OSError, ValueError):
            self._broken = True

    def _write(self, record: logging.LogRecord) -> None:
        if self._file is None:
            self._file = _Lines(
                self.path, maxBytes=1_000_000, backupCount=3, encoding="utf-8", errors="backslashreplace"
            )
            self._file.setFormatter(_OneLine(self.run_id))
        waiting, self._waiting = self._waiting, []
        for kept in (*waiting, record):
            self._file.emit(kept)

    def __enter__(self) -> StoreLog:
        self._before: list[tuple[logging.Logger, int, bool]] = []
        for name in LOGGERS:
            logger = logging.getLogger(name)
            self._before.append((logger, logger.level, logger.propagate))
            logger.addHandler(self)
            logger.setLevel(self.level)
            logger.propagate = False
        logging.captureWarnings(True)
        self._excepthook, threading.excepthook = threading.excepthook, _log_thread_exception
        return self

    def __exit__(self, *exception: type[BaseException] | BaseException | TracebackType | None) -> None:
        threading.excepthook = self._excepthook
        logging.captureWarnings(False)
        for logger, level, propagate in self._before:
            logger.removeHandler(self)
            logger.setLevel(level)
            logger.propagate = propagate
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full disk still refuses what it refused before
                self._file.close()
        self.close()


class _Lines(logging.handlers.RotatingFileHandler):
    """Raises errors of the file system, so that `StoreLog` can stop; the base class would print them. Only the
    owner can read the file."""

    def _open(self) -> io.TextIOWrapper:
        return open(  # type: ignore[return-value]
            self.baseFilename, self.mode, encoding=self.encoding, errors=self.errors, opener=private_opener
        )

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802
        raise  # noqa: PLE0704 - called from an except block


class _OneLine(logging.Formatter):
    """`time run-id LEVEL message`; further lines, of a traceback, are indented."""

    converter = staticmethod(time.gmtime)
    default_msec_format = "%s.%03dZ"
    default_time_format = "%Y-%m-%dT%H:%M:%S"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"%(asctime)s {run_id} %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\r", "\\r").replace("\n", "\n    ")


def _log_thread_exception(arguments: Any) -> None:
    if arguments.exc_type is not SystemExit:
        logging.getLogger("reprise").error(
            "exception in thread %s",
            arguments.thread.name if arguments.thread else "?",
            exc_info=(arguments.exc_type, arguments.exc_value, arguments.exc_traceback),
        )
