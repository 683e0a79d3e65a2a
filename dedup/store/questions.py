"""What the gate was asked and what it answered, and the recordings that it has promised: a database of its own beside
the catalog, so that a scan that holds the catalog keeps nobody waiting. FORMAT.md documents it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from dedup.store.layout import PRIVATE_FILE

KEPT_S = 30 * 24 * 3600.0
"""Seconds for which an answer is kept."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS question (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    path     BLOB NOT NULL,
    asked    REAL NOT NULL,
    answered REAL,
    record   TEXT,
    CHECK ((answered IS NULL) = (record IS NULL))
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS question_open ON question (path) WHERE answered IS NULL;
CREATE TABLE IF NOT EXISTS reservation (
    question    INTEGER PRIMARY KEY,
    track       TEXT NOT NULL,
    items       BLOB NOT NULL,
    lapses      REAL NOT NULL,
    is_imported INTEGER NOT NULL CHECK (is_imported IN (0, 1)),
    pitches     BLOB NOT NULL DEFAULT x''
) STRICT;
CREATE TABLE IF NOT EXISTS moved (
    path     BLOB PRIMARY KEY,
    size     INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    cleanup  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""


class Question(NamedTuple):
    """A file that somebody asked about."""

    id: int
    path: bytes
    asked: float
    """Seconds since 1970."""
    answered: float | None = None
    record: str | None = None
    """The answer, JSON; None while there is none."""


class Reservation(NamedTuple):
    """A recording that was promised to whoever asked."""

    question: int
    track: str
    """The file, JSON."""
    items: bytes
    """Its fingerprint, little-endian `uint32`."""
    lapses: float
    """Seconds since 1970."""
    is_imported: bool = False
    """Whether somebody said that the file is imported, and no scan has seen it yet."""
    pitches: bytes = b""
    """The same sound at other pitches, `uint32` too; empty if it was not heard so."""


class Questions:
    """The database; its methods may be called from any thread. What a method has written is on the disk when it
    returns."""

    def __init__(self, path: Path) -> None:
        """Opens it, made if there is none; one that is damaged is set aside. Raises OSError, sqlite3.Error."""
        self.path, self._lock = path, threading.Lock()
        try:
            self._connection = _connected(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:  # it is none, or none any more
            os.replace(path, path.with_name(path.name + ".damaged"))
            for left in ("-wal", "-shm"):
                path.with_name(path.name + left).unlink(missing_ok=True)
            self._connection = _connected(path)

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    # ---- questions ----

    def ask(self, path: bytes, now: float) -> tuple[int, bool]:
        """The id of the question about a path, and whether it is new: one that is still open is asked once."""
        with self._transaction() as connection:
            found = connection.execute(
                "SELECT id FROM question WHERE path = ? AND answered IS NULL", (path,)
            ).fetchone()
            if found is not None:
                return int(found[0]), False
            connection.execute("DELETE FROM question WHERE answered < ?", (now - KEPT_S,))
            asked = connection.execute("INSERT INTO question (path, asked) VALUES (?, ?)", (path, now))
            return int(asked.lastrowid or 0), True

    def get(self, id_: int) -> Question | None:
        """The question with this id; None if there is none, or it is too old."""
        with self._lock:
            row = self._connection.execute(f"{_SELECT} WHERE id = ?", (id_,)).fetchone()
        return None if row is None else Question(*row)

    def last_of(self, path: bytes) -> Question | None:
        """The question that was asked last about a path."""
        with self._lock:
            row = self._connection.execute(f"{_SELECT} WHERE path = ? ORDER BY id DESC LIMIT 1", (path,)).fetchone()
        return None if row is None else Question(*row)

    def unanswered(self) -> list[Question]:
        """In the order in which they were asked."""
        with self._lock:
            return [Question(*row) for row in self._connection.execute(f"{_SELECT} WHERE answered IS NULL ORDER BY id")]

    def answer(self, id_: int, record: str, now: float, reservation: Reservation | None = None) -> None:
        """Records the answer to a question, and with it what it promises; what another question about the same path had
        promised, it promises no more."""
        with self._transaction() as connection:
            connection.execute("UPDATE question SET answered = ?, record = ? WHERE id = ?", (now, record, id_))
            if reservation is not None:
                connection.execute(_RESERVE, reservation)

    # ---- files that were moved out of an inbox ----

    def note_moved(self, path: bytes, size: int, mtime_ns: int, cleanup: int) -> None:
        """Notes, before it is done, that a clean-up moves this file."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO moved (path, size, mtime_ns, cleanup) VALUES (?, ?, ?, ?)",
                (path, size, mtime_ns, cleanup),
            )

    def moved_in(self, path: bytes, size: int, mtime_ns: int) -> int | None:
        """The number of the clean-up that moved this very file from there; None if none did."""
        with self._lock:
            row = self._connection.execute(
                "SELECT cleanup FROM moved WHERE path = ? AND size = ? AND mtime_ns = ?", (path, size, mtime_ns)
            ).fetchone()
        return None if row is None else int(row[0])

    # ---- reservations ----

    def reservations(self) -> list[Reservation]:
        """In the order in which they were made."""
        with self._lock:
            rows = self._connection.execute(f"SELECT {_COLUMNS} FROM reservation ORDER BY question").fetchall()
        return [
            Reservation(id_, track, items, lapses, bool(is_imported), pitches)
            for id_, track, items, lapses, is_imported, pitches in rows
        ]

    def renew(self, reservation: Reservation) -> None:
        """Replaces the reservation of this question."""
        with self._transaction() as connection:
            connection.execute(_RESERVE, reservation)

    def extend(self, question: int, lapses: float) -> None:
        """Keeps the reservation of this question, if it has one, until another moment, for a file that is imported."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE reservation SET lapses = ?, is_imported = 1 WHERE question = ?", (lapses, question)
            )

    def drop(self, questions: Iterable[int]) -> None:
        """Drops the reservations of these questions."""
        with self._transaction() as connection:
            connection.executemany("DELETE FROM reservation WHERE question = ?", ((id_,) for id_ in questions))


_COLUMNS = "question, track, items, lapses, is_imported, pitches"
_RESERVE = f"INSERT OR REPLACE INTO reservation ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
_SELECT = "SELECT id, path, asked, answered, record FROM question"


def _connected(path: Path) -> sqlite3.Connection:
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE))
    connection = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(_SCHEMA)
        if "pitches" not in {row[1] for row in connection.execute("PRAGMA table_info(reservation)")}:
            connection.execute("ALTER TABLE reservation ADD COLUMN pitches BLOB NOT NULL DEFAULT x''")
    except BaseException:
        connection.close()
        raise
    return connection
