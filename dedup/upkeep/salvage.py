"""A catalog that is no sound database any more: a new one, of all the rows that can still be read.

Most of what is lost with a rotten page the next run makes again; what a person said, nobody can. The new catalog is
made beside the damaged one and takes its place when it is whole; the damaged one is kept as `catalog.db.damaged`. What
the rows say is believed no more than that of any catalog: `check` comes next, and drops what does not fit together."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Generator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedup.errors import CatalogDamagedError, StoreDamagedError, UsageError
from dedup.settings import CompareSettings, FingerprintSettings
from dedup.store.blocks import METADATA, BlockStore, sync
from dedup.store.catalog import Catalog, forget_results
from dedup.store.layout import FORMAT_VERSION, RESULT_VERSIONS, UPGRADED_VERSIONS, Layout, require_version, write_lock
from dedup.store.protection import PROTECT, folders_of
from dedup.store.store import require_store

if TYPE_CHECKING:
    from pathlib import Path

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


def mend_catalog(folder: Path, purpose: str) -> dict[str, int]:
    """Puts a new catalog, of all rows that can still be read, in the place of a damaged one; gives how many rows it
    has, by table. `check` and its repair are to follow.

    Raises StoreLockedError, StoreMissingError, CatalogDamagedError where nothing can be read, WriteError.
    """
    layout = Layout(folder)
    require_store(layout)
    with write_lock(layout, purpose):
        return salvage(layout)


def salvage(layout: Layout) -> dict[str, int]:
    """Puts a new catalog in the place of the damaged one; gives the rows that it has, by table. Only for the holder of
    the lock. Raises, with nothing changed, CatalogDamagedError where not even the fingerprint settings can be read, and
    StoreMismatchError where the store is of a format version that we do not know."""
    folder = layout.salvage
    _put_back(layout)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        damaged, new = folder / "damaged.db", folder / "new.db"
        _copy_damaged(layout.catalog, damaged)
        with contextlib.closing(Catalog(new)) as catalog:
            catalog.create({})
            catalog.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            _pad(damaged, new.stat().st_size)
            if not _lists_its_tables(damaged):
                _take_schema(damaged, new)
            rows = _fill(catalog, damaged, BlockStore(layout.blocks))
            catalog.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        _put_in_place(layout, new)
        return rows
    finally:
        _put_back(layout)
        shutil.rmtree(folder, ignore_errors=True)


def _copy_damaged(catalog: Path, copy: Path) -> None:
    """What is read is a copy, with its log: to open a database may change it."""
    for end in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(f"{catalog}{end}", f"{copy}{end}")
    with open(copy, "r+b" if copy.exists() else "w+b") as file:
        if len(begin := file.read(100)) == 100 and not begin.startswith(HEADER):
            file.seek(0)
            file.write(HEADER)


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


def _fill(catalog: Catalog, damaged: Path, blocks: BlockStore) -> dict[str, int]:
    connection = catalog.connection
    connection.execute("PRAGMA foreign_keys = OFF")  # rows come in any order, and some will not come
    with catalog.transaction():
        for table in KEYS:
            _copy_rows(connection, damaged, table)
        _mend_stamp(connection, blocks)
        _add_blocks(connection, blocks)
        for statement in (*PLAUSIBLE, *REFERENCES):
            connection.execute(statement)
    query = "SELECT COUNT(*) FROM {}"
    return {table: int(connection.execute(query.format(table)).fetchone()[0]) for table in KEYS}


def _copy_rows(connection: sqlite3.Connection, damaged: Path, table: str) -> None:
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


def _mend_stamp(connection: sqlite3.Connection, blocks: BlockStore) -> None:
    """The stamp, as the root group of the blocks repeats it, or else as it was read, brought up to our version."""
    meta: dict[str, Any] = {}
    for key, value in connection.execute("SELECT key, value FROM meta").fetchall():
        try:
            meta[key] = json.loads(value)
        except (ValueError, RecursionError):
            connection.execute("DELETE FROM meta WHERE key = ?", (key,))
    root = _root_attributes(blocks)
    version = _version(meta.get("format_version"), root.get("format_version"), str(blocks.folder.parent))
    if version not in RESULT_VERSIONS:
        forget_results(connection)  # their records are of another form
        meta.pop("compare", None)
    settings = _settings(root.get("fingerprint")) or _settings(meta.get("fingerprint"))
    if settings is None:
        raise CatalogDamagedError(
            f"catalog {blocks.folder.parent}",
            "nothing of it can be read, nor of the root group of its blocks",
            "at least the settings of its fingerprints",
            "Restore the store from a backup, or remove its folder and scan again",
        )
    size = meta.get("block_size")
    if type(size) is not int or size < 1:
        (size,) = connection.execute("SELECT IFNULL(MAX(n_rows), 1024) FROM block").fetchone()
    stamp = {"format_version": FORMAT_VERSION, "fingerprint": asdict(settings), "block_size": size}
    for key, value in stamp.items():
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))
    told = meta.get("told")
    if not isinstance(told, dict) or not all(type(told.get(name)) is int for name in ("track", "audio")):
        connection.execute("DELETE FROM meta WHERE key = 'told'")
    try:
        folders_of(meta.get(PROTECT, []))
    except ValueError:
        connection.execute("DELETE FROM meta WHERE key = ?", (PROTECT,))
    try:
        CompareSettings(**meta.get("compare", {}))
    except (TypeError, UsageError):
        connection.execute("DELETE FROM meta WHERE key = 'compare'")


def _version(told: Any, repeated: Any, folder: str) -> int | None:
    """Of the damaged catalog: what its stamp says, or where that cannot be so, what the root group repeats; None where
    neither tells. The root group alone may be ahead, of an upgrade that was broken off. Raises StoreMismatchError where
    all that can be read is unknown."""
    versions = [version for version in (told, repeated) if type(version) is int]
    known = [version for version in versions if version == FORMAT_VERSION or version in UPGRADED_VERSIONS]
    if versions and not known:
        require_version(f"store {folder}", versions[0], writable=True)
    return known[0] if known else None


def _settings(fields: Any) -> FingerprintSettings | None:
    try:
        return FingerprintSettings(**fields)
    except (TypeError, UsageError):
        return None


def _root_attributes(blocks: BlockStore) -> dict[str, Any]:
    try:
        attributes = json.loads((blocks.folder / METADATA).read_bytes())["attributes"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return attributes if isinstance(attributes, dict) else {}


def _add_blocks(connection: sqlite3.Connection, blocks: BlockStore) -> None:
    """Sound blocks on disk whose row is lost."""
    known = {name for (name,) in connection.execute("SELECT name FROM block")}
    for name in sorted(blocks.names() - known):
        with contextlib.suppress(StoreDamagedError):
            block = blocks.read(name)
            connection.execute("INSERT INTO block VALUES (?, ?, ?)", (name, block.n_rows, len(block.items)))


def _put_in_place(layout: Layout, new: Path) -> None:
    """The damaged one is kept under another name as well. A log must never be beside a catalog that it is not of, nor
    its catalog without it: where there is one, both are set aside first, so that whoever opens the store meanwhile
    finds no catalog, and `_put_back` undoes it if this is the end."""
    catalog, log = layout.catalog, _log_of(layout.catalog)
    kept = catalog.with_name(f"{catalog.name}.damaged")
    if _has_bytes(catalog) or _has_bytes(log) or not kept.exists():  # else what an earlier repair kept is worth more
        _keep(catalog, kept)
    if _has_bytes(log):
        _keep(catalog, layout.set_aside)
        if not catalog.exists():
            layout.set_aside.touch()
        sync(layout.salvage)
        sync(layout.folder)
        catalog.unlink(missing_ok=True)
        sync(layout.folder)  # before the log goes: a power failure must not turn the two round
        log.unlink()
    catalog.with_name(f"{catalog.name}-shm").unlink(missing_ok=True)
    sync(layout.folder)
    os.replace(new, catalog)
    sync(layout.folder)


def _put_back(layout: Layout) -> None:
    """The damaged catalog and its log where they were, if a killed run had set them aside."""
    if layout.catalog.exists() or not layout.set_aside.exists():
        return
    with contextlib.suppress(FileNotFoundError):  # it is in its place already
        os.replace(_log_of(layout.set_aside), _log_of(layout.catalog))
    os.replace(layout.set_aside, layout.catalog)
    sync(layout.folder)


def _keep(catalog: Path, name: Path) -> None:
    """The catalog and its log under another name as well, in the place of whatever has it; without what is missing."""
    for source, target in ((catalog, name), (_log_of(catalog), _log_of(name))):
        target.unlink(missing_ok=True)
        if source.exists():
            try:
                os.link(source, target)
            except OSError:  # a file system without hard links
                shutil.copyfile(source, target)
                sync(target)


def _has_bytes(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def _log_of(catalog: Path) -> Path:
    return catalog.with_name(f"{catalog.name}-wal")
