"""Verifies a store: every checksum, every invariant of FORMAT.md, every tile that must exist."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from dedup.correlation.correlate import completeness
from dedup.correlation.scoring import PAIR
from dedup.correlation.tiles import count_tiles, plan_tiles, tile_name
from dedup.errors import StoreDamagedError
from dedup.settings import CompareSettings
from dedup.store.blocks import Block
from dedup.store.catalog import items_digest, result_digest

if TYPE_CHECKING:
    from dedup.observer import Observer
    from dedup.store.store import Store


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it must be."""

    kind: Literal["catalog", "block", "fingerprint", "tile", "note"]
    """A "note" is no damage: the next run does or removes it anyway."""
    name: str
    """Name of the block or tile, id of the fingerprint, table of the catalog."""
    text: str


def check(store: Store, observer: Observer) -> list[Finding]:
    """All that is wrong, nothing mended."""
    try:
        findings = list(_check_catalog(store))
        observer.stage("check blocks", len(store.catalog.blocks()), "blocks")
        findings += _check_blocks(store, observer)
        findings += _check_tail(store)
        findings += _check_tiles(store)
        findings += _check_complete(store)
    except sqlite3.DatabaseError as error:
        return [Finding("catalog", str(store.layout.catalog), f"cannot be read: {error}")]
    return findings


def repair(store: Store, findings: list[Finding]) -> None:
    """Drops what is damaged, and whatever rests on it, so that the next run redoes just that. Raises
    StoreDamagedError where the catalog itself is damaged: what it knew cannot be made up."""
    for finding in findings:
        if finding.kind == "catalog":
            raise StoreDamagedError(
                f"catalog {store.layout.catalog}",
                finding.text,
                "a sound database",
                "It cannot be repaired: restore it from a backup, or remove the store's folder and scan again",
            )
    with store.catalog.transaction() as connection:
        for finding in findings:
            if finding.kind == "tile":
                connection.execute("DELETE FROM tile WHERE name = ?", (finding.name,))
            elif finding.kind == "fingerprint":
                _drop_fingerprints(connection, "id = ?", finding.name)
            elif finding.kind == "block":
                connection.execute("DELETE FROM tile WHERE ? IN (block_a, block_b)", (finding.name,))
                _drop_fingerprints(connection, "block = ?", finding.name)
                connection.execute("DELETE FROM block WHERE name = ?", (finding.name,))
    store.tidy()


def _drop_fingerprints(connection: sqlite3.Connection, where: str, value: str) -> None:
    audio = f"SELECT id FROM audio WHERE fingerprint IN (SELECT id FROM fingerprint WHERE {where})"
    connection.execute(f"DELETE FROM track WHERE audio IN ({audio})", (value,))
    connection.execute(f"DELETE FROM audio WHERE id IN ({audio})", (value,))
    connection.execute(f"DELETE FROM fingerprint WHERE {where}", (value,))


def _check_catalog(store: Store) -> Iterator[Finding]:
    connection = store.catalog.connection
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield Finding("catalog", "integrity", str(line))
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield Finding("catalog", str(table), f"row {row} of {table} refers to a row of {parent} that is not there")


def _check_blocks(store: Store, observer: Observer) -> Iterator[Finding]:
    known = store.catalog.blocks()
    for name, n_rows in known.items():
        try:
            block = store.blocks.read(name)
        except StoreDamagedError as error:
            yield Finding("block", name, error.found)
        else:
            yield from _check_rows(store, block, n_rows)
        observer.advance()
    for name in sorted(store.blocks.names() - known.keys()):
        yield Finding("note", name, "a block that no catalog row knows, left by a killed run; the next run removes it")


def _check_rows(store: Store, block: Block, n_rows: int) -> Iterator[Finding]:
    if block.n_rows != n_rows:
        yield Finding("block", block.name, f"has {block.n_rows} rows, the catalog says {n_rows}")
        return
    query = "SELECT row, digest, n_items FROM fingerprint WHERE block = ? ORDER BY row"
    rows = store.catalog.connection.execute(query, (block.name,)).fetchall()
    if [row for row, _, _ in rows] != list(range(n_rows)):
        yield Finding("block", block.name, "the catalog does not know each of its rows once")
        return
    for row, digest, n_items in rows:
        items = block.row(row)
        if len(items) != n_items or items_digest(np.frombuffer(items, "<u4")) != digest:
            yield Finding("block", block.name, f"row {row} is not the fingerprint that the catalog knows")
            return


def _check_tail(store: Store) -> Iterator[Finding]:
    query = (
        "SELECT fingerprint.id, digest, items FROM fingerprint LEFT JOIN tail ON fingerprint.id = tail.fingerprint "
        "WHERE block IS NULL ORDER BY fingerprint.id"
    )
    for fingerprint, digest, items in store.catalog.connection.execute(query):
        if items is None:
            yield Finding("fingerprint", str(fingerprint), "neither in a block nor in the tail")
        elif items_digest(np.frombuffer(items, "<u4")) != digest:
            yield Finding("fingerprint", str(fingerprint), "its items in the tail are not what its digest says")


def _check_tiles(store: Store) -> Iterator[Finding]:
    blocks, meta = store.catalog.blocks(), store.catalog.meta()
    for (settings,) in store.catalog.connection.execute("SELECT DISTINCT settings FROM tile").fetchall():
        known = meta.get(f"compare {settings}")
        if known is None:
            yield Finding("catalog", "meta", f"comparison settings {settings} of some tiles are not recorded")
            continue
        compare = CompareSettings(**known)
        for tile in store.catalog.tiles(settings, with_pairs_only=False):
            rows = (blocks.get(tile.block_a, 0), blocks.get(tile.block_b, 0))
            if tile.name != tile_name(tile.block_a, tile.block_b, compare) or tile.block_a > tile.block_b:
                yield Finding("tile", tile.name, "its name is not that of its blocks and settings")
            elif tile.digest != result_digest(tile.name, tile.pairs):
                yield Finding("tile", tile.name, "its pairs are not what its digest says")
            elif not _are_pairs(tile.pairs, tile.n_pairs, rows):
                yield Finding("tile", tile.name, "its pairs name rows that its blocks do not have")


def _are_pairs(data: bytes, n_pairs: int, rows: tuple[int, int]) -> bool:
    if len(data) != n_pairs * PAIR.itemsize:
        return False
    pairs = np.frombuffer(data, PAIR)
    return bool(np.all(pairs["row_a"] < rows[0]) and np.all(pairs["row_b"] < rows[1]))


def _check_complete(store: Store) -> Iterator[Finding]:
    """Tiles without a result: damage where a `correlate` said that it left none, else work to do."""
    blocks, meta = store.catalog.blocks(), store.catalog.meta()
    if "compare" not in meta:
        return
    compare = CompareSettings(**meta["compare"])
    done = store.catalog.tile_names(compare.digest())
    if meta.get("complete") == completeness(blocks, compare):
        for tile in plan_tiles(blocks, compare):
            if tile.name not in done:
                yield Finding("tile", tile.name, f"missing: blocks {tile.block_a} and {tile.block_b}")
        return
    n_missing = count_tiles(len(blocks)) - sum(tile.name in done for tile in plan_tiles(blocks, compare))
    if n_missing:
        yield Finding("note", "tiles", f"{n_missing:,} tiles are not computed yet; `reprise correlate` does them")
