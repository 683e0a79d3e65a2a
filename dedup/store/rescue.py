"""The rows of a catalog that is no sound database any more: read as far as they can be, copied into a new one. Knows no
table in particular: what the rows say is looked at when all are there."""

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
}
"""Tables that are worth saving, each with the key by which it is stored. Probes are only what a scan noted down."""

HEADER = b"SQLite format 3\0\x10\x00\x02\x02\x00\x40\x20\x20"
"""How each catalog begins: its kind, pages of 4 KiB, WAL."""

PAGE_BYTES = 4096

GAP_ROWS = 100_000
"""Between two rotten pages, rows with a number are asked for one by one if they can be so many at most."""

INDEXES = {
    "audio": {"audio_fingerprint": "fingerprint", "audio_key": "key"},
    "track": {"track_audio": "audio", "track_size": "size, partial"},
}
"""Columns that are kept twice, in the table and in an index: two pages that agree are sound. Of what no digest covers,
pairs depend on these."""

PLAUSIBLE = (
    "DELETE FROM track WHERE state != 'imported' AND substr(path, 1, length(root)) != root",
    "UPDATE track SET full = NULL WHERE state = 'present'",  # the next scan hashes anew where it matters
    "DELETE FROM meta WHERE key NOT IN ('format_version', 'fingerprint', 'block_size', 'compare', 'told', 'protect') "
    "AND key NOT GLOB 'compare *'",  # what is only noted down, or measured, the next run says anew
)

REFERENCES = (
    "DELETE FROM fingerprint WHERE block IS NOT NULL AND block NOT IN (SELECT name FROM block)",
    "DELETE FROM tail WHERE fingerprint NOT IN (SELECT id FROM fingerprint)",
    "DELETE FROM audio WHERE fingerprint NOT IN (SELECT id FROM fingerprint)",
    "DELETE FROM track WHERE audio IS NOT NULL AND audio NOT IN (SELECT id FROM audio)",
    "DELETE FROM tile WHERE block_a NOT IN (SELECT name FROM block) OR block_b NOT IN (SELECT name FROM block)",
)
"""Takes out what refers to a row that is lost."""


# ---- the damaged one ----


def copy_damaged(catalog: Path, copy: Path) -> None:
    """A copy to read from, with its log: to open a database may change it."""
    for end in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(f"{catalog}{end}", f"{copy}{end}")
    with open(copy, "r+b" if copy.exists() else "w+b") as file:
        if len(begin := file.read(100)) == 100 and not begin.startswith(HEADER):
            file.seek(0)
            file.write(HEADER)


def make_readable(damaged: Path, new: Path) -> None:
    """Gives the copy of a damaged catalog what it lacks for SQLite to find its tables: pages, and where these cannot be
    listed the schema of `new`, a catalog that is empty."""
    _pad(damaged, new.stat().st_size)
    if not _lists_its_tables(damaged):
        _take_schema(damaged, new)


def _pad(damaged: Path, size_bytes: int) -> None:
    """Zeros in the place of what a file lacks of whole pages, and of those in which tables begin: else SQLite says that
    there are no tables at all."""
    found = damaged.stat().st_size
    os.truncate(damaged, max(size_bytes, -(-found // PAGE_BYTES) * PAGE_BYTES))


def _lists_its_tables(damaged: Path) -> bool:
    with contextlib.closing(_open_damaged(damaged)) as connection:
        return all(_names_of_columns(connection, table) for table in KEYS)


def _take_schema(damaged: Path, new: Path) -> None:
    """What says where each table begins, from an empty catalog: tables begin at the same pages in every one. Of its
    pages those are the schema's in which no table begins, but for the second, which is SQLite's own. How many pages
    there are is another number; none is taken for free."""
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


# ---- the new one ----


@contextlib.contextmanager
def filling(catalog: Catalog) -> Iterator[None]:
    """One transaction, in which rows may come in any order, and some not at all. At its end goes what cannot be true,
    and what refers to a row that did not come."""
    catalog.connection.execute("PRAGMA foreign_keys = OFF")
    with catalog.transaction() as connection:
        yield
        for statement in (*PLAUSIBLE, *REFERENCES):
            connection.execute(statement)


def copy_rows(catalog: Catalog, damaged: Path) -> None:
    """All rows that can still be read, into an empty catalog."""
    for table in KEYS:
        _copy_table(catalog.connection, damaged, table)


def count_rows(catalog: Catalog) -> dict[str, int]:
    """How many there are, by table."""
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
        twice = [_index(old, table, index, told) for index, told in INDEXES.get(table, {}).items()]
        for row in _readable_rows(old, table, columns):
            named = dict(zip(columns.split(", "), row, strict=True))
            if any(named["id"] in index and index[named["id"]] != tuple(map(named.get, told)) for told, index in twice):
                continue  # the table says this, its index that
            with contextlib.suppress(sqlite3.IntegrityError):  # what no sound row looks like
                connection.execute(insert, row)


def _index(
    connection: sqlite3.Connection, table: str, index: str, columns: str
) -> tuple[list[str], dict[int, tuple[Any, ...]]]:
    """The columns that an index repeats, and what it says of them by id, as far as it can be read."""
    found: dict[int, tuple[Any, ...]] = {}
    query = f"SELECT id, {columns} FROM {table} INDEXED BY {index}"
    with contextlib.suppress(sqlite3.DatabaseError, UnicodeDecodeError):
        for number, *values in connection.execute(query):
            found[number] = tuple(values)
    return columns.split(", "), found


def _open_damaged(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA writable_schema = ON")  # else nothing is read of a file that lacks its end
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    return connection


def _names_of_columns(connection: sqlite3.Connection, table: str) -> set[str]:
    try:
        return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return set()  # not even its list of tables can be read


def _readable_rows(connection: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
    """The rows from both ends up to where reading fails, and what lies between if it can be asked for by its number."""
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
    """Yields rows without their keys; the last keys go to `reached`. True where it came to the end."""
    try:
        for row in connection.execute(query):
            reached[:] = row[:n_keys]
            yield row[n_keys:]
    except sqlite3.DatabaseError:
        return False
    return True
