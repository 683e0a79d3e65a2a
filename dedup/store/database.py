"""The catalog's SQLite database: opening it to write or only to read, transactions, and which errors mean damage."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from dedup.errors import CatalogDamagedError, WriteError
from dedup.store.digests import COLUMNS
from dedup.store.layout import PRIVATE_FILE

CHECKPOINT_PAGES = 8192
"""Pages of 4 KiB in the log before SQLite takes it in: SQLite's own 1000 cost an import a fifth of its time."""

GATHER_S = 1.0
"""Seconds for which a transaction waits for others (`Database.gathered`)."""

_MISSING = re.compile(r"no such (?:column|table): (?:\w+\.)?(\w+)")

_NAMES = frozenset({"tail", "items", "row_digest", *COLUMNS, *itertools.chain(*COLUMNS.values())})
"""Names in the schema."""


class Database:
    """An open database. Writers wrap their changes in `transaction()`."""

    def __init__(self, path: Path, writable: bool = True) -> None:
        """Opens it; makes an empty one if there is none and `writable`. Raises sqlite3.Error."""
        self.path = path
        self._gathers, self._waits_since = False, 0.0
        self.connection = connect(path) if writable else connect_for_reading(path)

    def close(self) -> None:
        self.connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; durable once the block ends, or if it is in a block of `gathered`, with that."""
        if self._gathers:
            with self._part():
                yield self.connection
            return
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    @contextlib.contextmanager
    def gathered(self) -> Iterator[Callable[[], bool]]:
        """Commits the transactions inside together, each still all or nothing. Only for what another ledger on the disk
        knows, since a kill loses those that are not committed. The block is given a function that commits if the first
        of them has waited for a second, and returns whether nothing waits; at the end, whatever happens, all are
        committed."""
        self._gathers = True
        try:
            yield self._commit_in_time
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # the error of the block is the one to tell
                self._commit()
            raise
        finally:
            self._gathers = False
        self._commit()

    @contextlib.contextmanager
    def _part(self) -> Iterator[None]:
        """One of several transactions that are committed together."""
        if not self.connection.in_transaction:
            self.connection.execute("BEGIN IMMEDIATE")
            self._waits_since = time.monotonic()
        self.connection.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK TO part")
            raise
        finally:
            if self.connection.in_transaction:
                self.connection.execute("RELEASE part")

    def _commit_in_time(self) -> bool:
        if time.monotonic() - self._waits_since >= GATHER_S:
            self._commit()
        return not self.connection.in_transaction

    def _commit(self) -> None:
        try:
            if self.connection.in_transaction:
                self.connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Shows everything read inside as of one moment, whatever a writer commits meanwhile."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self._roll_back()

    def _roll_back(self) -> None:
        if self.connection.in_transaction:  # SQLite has already done so after some errors, such as a full disk
            self.connection.execute("ROLLBACK")

    def commits_seen(self) -> int:
        """A number that is another once another connection has committed something."""
        return int(self.connection.execute("PRAGMA data_version").fetchone()[0])

    def shrink(self) -> None:
        """Gives the space of dropped rows, such as sealed fingerprints in the tail, back to the disk."""
        self.connection.executescript("PRAGMA incremental_vacuum")  # `execute` stops after the first page

    def take_in_log(self) -> None:
        """Writes what the log of commits holds into the database itself, and empties the log."""
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def problems(self) -> Iterator[tuple[str, str]]:
        """What SQLite itself finds wrong: the table, or "integrity", and the problem."""
        for (line,) in self.connection.execute("PRAGMA integrity_check"):
            if line != "ok":
                yield "integrity", " ".join(str(line).split())
        for table, row, parent, _ in self.connection.execute("PRAGMA foreign_key_check"):
            yield str(table), f"row {row} of {table} refers to a missing row of {parent}"


def connect(path: Path) -> sqlite3.Connection:
    """A connection that may write; makes an empty database if there is none. Raises sqlite3.Error."""
    with contextlib.suppress(OSError):  # it is there already, or SQLite says why it cannot be made
        os.close(
            os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
        )  # its log gets its mode
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # takes effect only before the first table
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. In a read-only folder SQLite cannot create the files beside the catalog that let
    it read next to a writer; a writer cannot exist there either, so the connection does without them. Raises WriteError
    if a log of commits waits to be taken in: the reader would miss what it holds."""
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
                "a killed run left commits in its log, and the folder is read-only",
                remedy="Make the folder writable and run any command once, or copy the store to a writable folder",
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
    """Whether the error means that the file is damaged (as opposed to a full disk, a lock or a read-only file)."""
    missing = _MISSING.fullmatch(str(error))
    if missing:  # every table and column that is named is in the schema, unless that rots
        return missing[1] in _NAMES
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by Python's binding, not by SQLite itself
        return str(error).startswith("Could not decode to UTF-8")
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_schema_damaged(path: Path) -> bool:
    """Whether SQLite cannot even list the tables, or lists them in bytes that are not text."""
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
        remedy="Run `reprise check --repair`, which saves all it can read, then `reprise full`, which redoes the rest",
    )
