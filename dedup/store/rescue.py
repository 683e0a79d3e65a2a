"""Copies every row that can still be read from a damaged catalog into a new one. Treats all tables alike, and keeps
what matches its digest: the caller checks what the rows say once all of them are copied."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from dedup.store.catalog import Catalog

KEYS = {
    "meta": "key",
    "block": "name",
    "fingerprint": "id",
    "tail": "fingerprint",
    "audio": "id",
    "track": "id",
    "tile": "name",
    "judgement": "content_a, content_b",
    "run": "rowid",
    "nulltest": "content_a, content_b",
    "comparison": "digest_a, digest_b, settings",
    "pitches": "fingerprint",
    "lookup": "subject, service",
    "naming": "subject",
    "measurement": "audio",
    "backed_up": "source, id",
}
"""Tables worth saving, each with the key by which it is stored. Probes are not: they only save a scan some work."""

HEADER = b"SQLite format 3\0\x10\x00\x02\x02\x00\x40\x20\x20"
"""First bytes of every catalog: SQLite, pages of 4 KiB, WAL."""

PAGE_BYTES = 4096

GAP_ROWS = 100_000
"""Most rows between two damaged pages that are read one by one, by their numbers."""

REFERENCES = (
    "DELETE FROM fingerprint WHERE block IS NOT NULL AND block NOT IN (SELECT name FROM block)",
    "DELETE FROM tail WHERE fingerprint NOT IN (SELECT id FROM fingerprint)",
    "DELETE FROM pitches WHERE fingerprint NOT IN (SELECT id FROM fingerprint)",
    "DELETE FROM audio WHERE fingerprint NOT IN (SELECT id FROM fingerprint)",
    "DELETE FROM measurement WHERE audio NOT IN (SELECT id FROM audio)",
    "DELETE FROM track WHERE audio IS NOT NULL AND audio NOT IN (SELECT id FROM audio)",
    "DELETE FROM tile WHERE block_a NOT IN (SELECT name FROM block) OR block_b NOT IN (SELECT name FROM block)",
)
"""Statements that delete rows that refer to a lost row."""


# ---- the damaged catalog ----


def copy_damaged(catalog: Path, copy: Path) -> None:
    """Makes a copy to read from, with its log: opening a database may change it."""
    for end in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(f"{catalog}{end}", f"{copy}{end}")
    with open(copy, "r+b" if copy.exists() else "w+b") as file:
        if len(begin := file.read(100)) == 100 and not begin.startswith(HEADER):
            file.seek(0)
            file.write(HEADER)


def make_readable(damaged: Path, new: Path) -> None:
    """Adds what the copy of a damaged catalog lacks for SQLite to find its tables: pages, and if SQLite cannot list the
    tables, the schema of `new`, an empty catalog."""
    _pad(damaged, new.stat().st_size)
    if not _lists_its_tables(damaged):
        _take_schema(damaged, new)


def _pad(damaged: Path, size_bytes: int) -> None:
    """Fills up the last page with zeros, and adds the missing pages in which tables begin: otherwise SQLite finds no
    tables at all."""
    found = damaged.stat().st_size
    os.truncate(damaged, max(size_bytes, -(-found // PAGE_BYTES) * PAGE_BYTES))


def _lists_its_tables(damaged: Path) -> bool:
    with contextlib.closing(_open_damaged(damaged)) as connection:
        return all(_names_of_columns(connection, table) for table in KEYS)


def _take_schema(damaged: Path, new: Path) -> None:
    """Copies the pages of the schema, which name the page where each table begins, from an empty catalog: tables begin
    at the same pages in every catalog. The schema's pages are those in which no table begins, except the second, which
    is SQLite's own. The number of pages is that of the damaged file, and the list of free pages is empty."""
    data = bytearray(new.read_bytes())
    with contextlib.closing(sqlite3.connect(new)) as connection:
        begins = {page for (page,) in connection.execute("SELECT rootpage FROM sqlite_schema")}
    with open(damaged, "r+b") as file:
        n_pages = os.fstat(file.fileno()).st_size // PAGE_BYTES
        data[28:40] = n_pages.to_bytes(4, "big") + bytes(8)
        for page in range(len(data) // PAGE_BYTES):
            if page + 1 not in begins | {2}:
                file.seek(page * PAGE_BYTES)
                file.write(data[page * PAGE_BYTES : (page + 1) * PAGE_BYTES])


# ---- the new catalog ----


@contextlib.contextmanager
def filling(catalog: Catalog) -> Iterator[None]:
    """Runs one transaction, in which rows may arrive in any order, and some not at all. At its end it deletes
    rows that refer to a missing row."""
    catalog.connection.execute("PRAGMA foreign_keys = OFF")
    with catalog.transaction() as connection:
        yield
        for statement in REFERENCES:
            connection.execute(statement)


def copy_rows(catalog: Catalog, damaged: Path) -> None:
    """Copies all sound rows that can still be read into an empty catalog."""
    for table in KEYS:
        _copy_table(catalog.connection, damaged, table)
    for sealed in catalog.sealed_tables:
        sealed.drop_unsound()


def count_rows(catalog: Catalog) -> dict[str, int]:
    """The number of rows, by table."""
    query = "SELECT COUNT(*) FROM {}"
    return {table: int(catalog.connection.execute(query.format(table)).fetchone()[0]) for table in KEYS}


def _copy_table(connection: sqlite3.Connection, damaged: Path, table: str) -> None:
    ours = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    with contextlib.closing(_open_damaged(damaged)) as old:
        theirs = _names_of_columns(old, table)
        columns = ", ".join(name for name in ours if name in theirs)
        if not columns:
            return
        insert = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({', '.join('?' * (columns.count(',') + 1))})"
        for row in _readable_rows(old, table, columns):
            with contextlib.suppress(sqlite3.IntegrityError):  # not a sound row
                connection.execute(insert, row)


def _open_damaged(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA writable_schema = ON")  # otherwise SQLite reads nothing from a truncated file
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    return connection


def _names_of_columns(connection: sqlite3.Connection, table: str) -> set[str]:
    try:
        return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return set()  # not even its list of tables can be read


def _readable_rows(connection: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
    """The rows from both ends up to where reading fails, and those in between if they can be read by their numbers."""
    ends: list[list[Any]] = []
    for order in ("ASC", "DESC"):
        keys = ", ".join(f"{key} {order}" for key in KEYS[table].split(", "))
        query = f"SELECT {KEYS[table]}, {columns} FROM {table} ORDER BY {keys}"
        reached: list[Any] = []
        is_whole = yield from _rows_until_rotten(connection, query, KEYS[table].count(",") + 1, reached)
        if is_whole:
            return
        ends.append(reached)
    first, last = ends
    if first and last and isinstance(first[0], int) and 0 < last[0] - first[0] <= GAP_ROWS:
        query = f"SELECT {columns} FROM {table} WHERE {KEYS[table]} = ?"
        for number in range(first[0] + 1, last[0]):
            with contextlib.suppress(sqlite3.DatabaseError):
                yield from connection.execute(query, (number,))


def _rows_until_rotten(
    connection: sqlite3.Connection, query: str, n_keys: int, reached: list[Any]
) -> Generator[tuple[Any, ...], None, bool]:
    """Yields rows without their keys, with the last keys in `reached`; returns whether it came to the end."""
    try:
        for row in connection.execute(query):
            reached[:] = row[:n_keys]
            yield row[n_keys:]
    except sqlite3.DatabaseError:
        return False
    return True
