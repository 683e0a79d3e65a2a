"""The catalog's SQLite database: opening it to write or only to read, transactions, what is damage and what is not."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from dedup.errors import CatalogDamagedError, WriteError

CHECKPOINT_PAGES = 8192
"""Of 4 KiB, that the log grows to before it is taken in: SQLite's own 1000 cost an import a fifth of its time."""


class Database:
    """An open database. Writers wrap their changes in `transaction()`."""

    def __init__(self, path: Path, writable: bool = True) -> None:
        """Opens it; makes an empty one where there is none, if `writable`. Raises sqlite3.Error."""
        self.path = path
        self.connection = connect(path) if writable else connect_for_reading(path)

    def close(self) -> None:
        self.connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing; durable when the block is left."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read inside is of one moment, whatever a writer commits meanwhile."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self._roll_back()

    def _roll_back(self) -> None:
        if self.connection.in_transaction:  # after some errors, a full disk among them, SQLite has done it itself
            self.connection.execute("ROLLBACK")

    def shrink(self) -> None:
        """Gives the room of what was dropped, such as sealed fingerprints in the tail, back to the disk."""
        self.connection.executescript("PRAGMA incremental_vacuum")  # `execute` stops after the first page

    def take_in_log(self) -> None:
        """Writes what the log of commits holds into the database itself, and empties the log."""
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def problems(self) -> Iterator[tuple[str, str]]:
        """What SQLite itself finds wrong: the table, or "integrity", and what it is."""
        for (line,) in self.connection.execute("PRAGMA integrity_check"):
            if line != "ok":
                yield "integrity", " ".join(str(line).split())
        for table, row, parent, _ in self.connection.execute("PRAGMA foreign_key_check"):
            yield str(table), f"row {row} of {table} refers to a row of {parent} that is not there"


class Table:
    """A table of a database; its methods are all queries on it. Those that write more than one row want a transaction
    of the caller's around them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.connection = database.connection


def connect(path: Path) -> sqlite3.Connection:
    """A connection that may write; makes an empty database where there is none. Raises sqlite3.Error."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # counts only before the first table is made
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. In a folder that may not be written SQLite cannot make the files beside the
    catalog that let it read next to a writer; there can be no writer then, and it is told to do without them. Not
    where a log of commits waits to be taken in: what it holds would be missed."""
    connection = _open_uri(path, "mode=ro")
    try:
        connection.execute("SELECT name FROM sqlite_schema LIMIT 1").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size:
            raise WriteError(
                f"catalog {path}",
                "a killed run left commits in its log, and the folder may not be written",
                "a folder that may be written, to take them in",
                "Run any command once where it may, or copy the store",
            ) from error
        return _open_uri(path, "mode=ro&immutable=1")
    except BaseException:
        connection.close()
        raise
    return connection


def _open_uri(path: Path, options: str) -> sqlite3.Connection:
    uri = f"file:{quote(os.fsencode(path.absolute()))}?{options}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file is not what it must be (as opposed to full, locked or not writable)."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by Python's binding, not by SQLite itself
        return str(error).startswith("Could not decode to UTF-8")
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_schema_damaged(path: Path) -> bool:
    """Whether SQLite cannot even list the tables, or what it says of them is no text."""
    try:
        with contextlib.closing(_open_uri(path, "mode=ro")) as connection:
            connection.execute("SELECT sql FROM sqlite_schema").fetchall()
    except UnicodeDecodeError:
        return True
    except sqlite3.Error as error:
        return is_damage(error)
    return False


def damaged(path: Path, found: object) -> CatalogDamagedError:
    """The error for a catalog that cannot be used."""
    return CatalogDamagedError(
        f"catalog {path}",
        str(found),
        "a sound SQLite database",
        "Run `reprise check --repair`: it makes a new one of all that can be read; `reprise full` redoes the rest",
    )
