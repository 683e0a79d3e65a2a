"""A store as a whole: its stamp, its lock, its catalog and its blocks."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dedup.errors import (
    CatalogDamagedError,
    StoreDamagedError,
    StoreLockedError,
    StoreMismatchError,
    StoreMissingError,
    UsageError,
)
from dedup.settings import FingerprintSettings
from dedup.store import upgrades
from dedup.store.blocks import Block, BlockStore, make_block
from dedup.store.catalog import Catalog
from dedup.store.commit_log import has_log, lost_commits
from dedup.store.database import connect_for_reading, damaged, is_damage, is_schema_damaged
from dedup.store.items import Items
from dedup.store.layout import Layout, is_locked, require_not_elsewhere, write_lock
from dedup.store.plan_key import drop_unfinished_keys

SEAL_AT_ROWS = 1 << 16
"""Rows of the tail at which a scan seals before its end, so that the catalog does not hold a whole library."""


class Store:
    """An open store. `block_size`, the most fingerprints in a block, is fixed when the store is made."""

    def __init__(self, layout: Layout, writable: bool = True) -> None:
        self.layout, self.writable = layout, writable
        self.catalog = Catalog(layout.catalog, writable)
        self.blocks = BlockStore(layout.blocks)
        self.fingerprint_settings: FingerprintSettings | None = None
        self.block_size = 0

    def close(self) -> None:
        self.catalog.close()

    @property
    def root_attributes(self) -> dict[str, Any]:
        """Attributes of the Zarr root group: the stamp, repeated for programs that read only the blocks."""
        stamp = self.catalog.meta.stamp()
        return _root_attributes(stamp["fingerprint"], stamp["format_version"])

    def seal_tail(self, all_of_it: bool = True) -> int:
        """Seals the tail into blocks; returns their number. If `all_of_it` is False, seals only a tail that has grown
        too long for the catalog. If a kill interrupts it, the next call ends with the same blocks: a block is on disk
        before the catalog names it, and its name is a digest of its content."""
        if not all_of_it and self.catalog.fingerprints.tail_length() < SEAL_AT_ROWS:
            return 0
        n_blocks = 0
        while True:
            fingerprints, items = self.catalog.fingerprints.next_to_seal(self.block_size)
            if not fingerprints:
                break
            block = make_block(items)
            self.blocks.write(block)
            self._enter(block, fingerprints)
            n_blocks += 1
        if n_blocks:
            self.catalog.shrink()
        return n_blocks

    def _enter(self, block: Block, fingerprints: Sequence[int]) -> None:
        """Moves these fingerprints from the tail to the rows of a block that is on disk."""
        catalog = self.catalog
        with catalog.transaction():
            catalog.blocks.add(block.name, block.n_rows, len(block.items))
            catalog.fingerprints.move(block.name, fingerprints)
            catalog.fingerprints.drop_from_tail(fingerprints)

    def keep_pitches(self, items: Iterable[tuple[int, Items]]) -> None:
        """Records what fingerprints are at other pitches (`Pitches.put`), in a transaction of the caller. Tiles of
        their blocks that passes for other speeds made without that are to be computed again."""
        catalog, blocks = self.catalog, set[str]()
        for fingerprint, others in items:
            if catalog.pitches.put(fingerprint, others) and (place := catalog.fingerprints.place(fingerprint)):
                blocks.add(place[0])
        if not blocks:
            return
        recorded = catalog.meta.read().items()
        passes = [
            key.partition(" ")[2] for key, value in recorded if key.startswith("compare ") and value.get("stretched")
        ]
        if sum(catalog.results.drop_under(each, sorted(blocks)) for each in passes):
            catalog.meta.drop("complete")

    def tidy(self) -> None:
        """Removes what a killed run left behind: half-written blocks and plan keys, and whole blocks that never reached
        the catalog. Call it only while holding the lock."""
        shutil.rmtree(self.layout.salvage, ignore_errors=True)
        drop_unfinished_keys(self.layout)
        self.layout.drop_progress()
        self.blocks.drop_unfinished()
        if (
            next(self.catalog.blocks.unsound(), None) is None
        ):  # otherwise the name that is not known may be a damaged one
            for name in self.blocks.names() - self.catalog.blocks.names():
                self.blocks.drop(name)

    def take_in_what_waits(self) -> None:
        """Takes in what people said since the lock was taken. What a full disk or a damaged row keeps out waits on, and
        counts all the same; whoever needs that row reports it. Call it only while holding the lock."""
        for table in self.catalog.words:
            with contextlib.suppress(OSError, sqlite3.Error, StoreDamagedError):
                table.take_in()

    def items_of(self, fingerprint: int) -> Items:
        """The items of one fingerprint, sealed or not. Raises StoreDamagedError."""
        while (place := self.catalog.fingerprints.place(fingerprint)) is not None:
            block, row = place
            try:
                return self.blocks.read(block).row(row)
            except StoreDamagedError:  # another process may have compacted it away since
                if self.catalog.fingerprints.place(fingerprint) == place:
                    raise
        items = self.catalog.fingerprints.tail_items(fingerprint)
        if items is None:
            raise StoreDamagedError(
                f"store {self.layout.folder}",
                f"fingerprint {fingerprint} is neither in a block nor in the tail",
                remedy="Run `reprise check --repair`, then `reprise full`, which redoes only what is lost",
            )
        return items

    def items_of_all(self, fingerprints: Collection[int]) -> dict[int, Items]:
        """The items of several fingerprints, by id, each block read once. Raises StoreDamagedError."""
        found: dict[int, Items] = {}
        for block, rows in itertools.groupby(
            self.catalog.fingerprints.places(fingerprints), key=lambda place: place[1]
        ):
            if block is not None:
                with contextlib.suppress(StoreDamagedError):  # compacted away since, or damaged: `items_of` tells
                    read = self.blocks.read(block)
                    found |= {each: read.row(row).copy() for each, _, row in rows if row is not None}
        return {each: found[each] if each in found else self.items_of(each) for each in fingerprints}


@contextlib.contextmanager
def make_or_open(folder: Path, settings: FingerprintSettings, block_size: int, purpose: str) -> Iterator[Store]:
    """The store in `folder`, made if there is none, locked against other writers. `block_size` counts only when the
    store is made.

    Raises StoreLockedError, StoreMismatchError if it holds fingerprints of other settings, StoreDamagedError,
    WriteError.
    """
    layout = Layout(folder)
    layout.make()
    with write_lock(layout, purpose), _connected(layout, writable=True) as store:
        if not store.catalog.meta.stamp():
            _stamp(store, settings, block_size)
        _read_stamp(store, settings, writable=True)
        store.tidy()
        with _taking_in_what_waits(store):
            yield store


@contextlib.contextmanager
def open_for_writing(folder: Path, purpose: str, is_short: bool = False) -> Iterator[Store]:
    """The store in `folder`, locked against other writers; others wait for a lock that `is_short`.

    Raises StoreLockedError, StoreMissingError, StoreMismatchError, StoreDamagedError, WriteError.
    """
    layout = Layout(folder)
    require_store(layout)
    with write_lock(layout, purpose, is_short), _connected(layout, writable=True) as store:
        _read_stamp(store, None, writable=True)
        store.tidy()
        with _taking_in_what_waits(store):
            yield store


@contextlib.contextmanager
def open_for_reading(folder: Path) -> Iterator[Store]:
    """The store in `folder`, read-only, alongside a writer if there is one.

    Raises StoreMissingError, StoreMismatchError if it has another format version, StoreDamagedError.
    """
    layout = Layout(folder)
    require_store(layout)
    require_not_elsewhere(layout)
    with _connected(layout, writable=False) as store:
        _read_stamp(store, None, writable=False)
        yield store


@contextlib.contextmanager
def open_to_say(folder: Path, purpose: str) -> Iterator[Store]:
    """The store in `folder`, for a moment, to keep what a person says: for writing, or for reading if a run holds it;
    then what is said waits beside the catalog (`waiting`). Raises as these two do."""
    with contextlib.ExitStack() as stack:
        try:
            store = stack.enter_context(open_for_writing(folder, purpose, is_short=True))
        except StoreLockedError:
            store = stack.enter_context(open_for_reading(folder))
        yield store


@contextlib.contextmanager
def _taking_in_what_waits(store: Store) -> Iterator[None]:
    """Takes in what people said beside other writers, before the block and, unless an error ends that, after it."""
    store.take_in_what_waits()
    yield
    store.take_in_what_waits()


@contextlib.contextmanager
def _connected(layout: Layout, writable: bool) -> Iterator[Store]:
    """The store; raises StoreDamagedError if any use of it shows that the catalog is damaged."""
    _require_catalog(layout)
    try:
        _require_all_commits(layout, writable)
        with contextlib.closing(Store(layout, writable)) as store:
            yield store
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise damaged(layout.catalog, error) from error
        raise
    except UnicodeDecodeError as error:  # raised by Python for a damaged schema
        if is_schema_damaged(layout.catalog):
            raise damaged(layout.catalog, "its schema is not text") from error
        raise


def _require_all_commits(layout: Layout, writable: bool) -> None:
    """Raises CatalogDamagedError if the log that a killed writer left is damaged before its last commit. Comes before
    the catalog is opened to write: whoever closes it then removes the log."""
    if not has_log(layout.catalog) or (not writable and is_locked(layout)):
        return
    with contextlib.closing(connect_for_reading(layout.catalog)) as connection:
        connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
        lost = lost_commits(layout.catalog)
    if lost is not None and not lost.is_last_alone:
        raise damaged(layout.catalog, lost)


def require_store(layout: Layout) -> None:
    """Raises StoreMissingError if there is no store, sound or damaged."""
    if not (layout.catalog.exists() or layout.set_aside.exists() or BlockStore(layout.blocks).names()):
        raise _missing(layout, "there is no store")


def _require_catalog(layout: Layout) -> None:
    """Raises CatalogDamagedError if a catalog must exist but is missing or empty. SQLite must not open the store then:
    it would make an empty catalog, and remove a log of commits that still exists."""
    if layout.catalog.exists() and layout.catalog.stat().st_size:
        return
    if layout.set_aside.exists():
        raise CatalogDamagedError(
            f"catalog {layout.catalog}",
            "set aside by a repair that is still running or was interrupted",
            remedy="If no repair is running, run `reprise check --repair` again",
        )
    if BlockStore(layout.blocks).names():
        raise _bereft(layout, "empty" if layout.catalog.exists() else "missing")


def _missing(layout: Layout, found: str) -> StoreMissingError:
    return StoreMissingError(
        f"store {layout.folder}",
        found,
        remedy="Run `reprise full FOLDER` first, or name another store with --store",
    )


def _stamp(store: Store, settings: FingerprintSettings, block_size: int) -> None:
    """Makes a new store in an empty folder, or in one where a run was killed while it made a store."""
    _refuse_blocks_alone(store)
    version = upgrades.FORMAT_VERSION
    store.blocks.create(_root_attributes(asdict(settings), version))
    store.catalog.create({"format_version": version, "fingerprint": asdict(settings), "block_size": block_size})


def _root_attributes(fingerprint: Any, version: int) -> dict[str, Any]:
    return {"fingerprint": fingerprint, "format_version": version}


def _refuse_blocks_alone(store: Store) -> None:
    if store.blocks.names():
        raise _bereft(store.layout, "empty")


def _bereft(layout: Layout, found: str) -> CatalogDamagedError:
    return CatalogDamagedError(
        f"catalog {layout.catalog}",
        f"{found}, although there are blocks of fingerprints",
        remedy="Restore it from a backup. Or run `reprise check --repair` and then `reprise full`, which reads all "
        "files again; your judgements of pairs are lost then",
    )


def _read_stamp(store: Store, settings: FingerprintSettings | None, writable: bool) -> None:
    """Takes settings and block size from the stamp; refuses a store that does not fit. Upgrades one of an older format
    version, once it is known to fit, if it is `writable`."""
    where, meta = f"store {store.layout.folder}", _stamp_of(store)
    if not meta:
        _refuse_blocks_alone(store)
        raise _missing(store.layout, "unfinished: the run that was making it was interrupted")
    version: Any = meta.get("format_version")
    upgrades.require_version(where, version, writable)
    try:
        stamped, store.block_size = FingerprintSettings(**meta["fingerprint"]), int(meta["block_size"])
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise damaged(store.layout.catalog, f"its stamp cannot be read ({error})") from error
    if settings is not None and stamped != settings:
        raise StoreMismatchError(
            where,
            f"holds fingerprints made with other settings (store / now: {', '.join(stamped.differences(settings))})",
            remedy="Only fingerprints made with the same settings can be compared: use the store's settings, or name "
            "another store with --store",
        )
    if not upgrades.is_ours(version):
        _upgrade(store, version, meta["fingerprint"])
    store.fingerprint_settings = stamped


def _stamp_of(store: Store) -> dict[str, Any]:
    try:
        return store.catalog.meta.stamp()
    except StoreDamagedError as error:
        raise damaged(store.layout.catalog, error.found) from error


def _upgrade(store: Store, version: int, fingerprint: Any) -> None:
    """Upgrades version by version, the blocks' root group first: if a kill comes in between, the catalog, whose stamp
    decides, still has the older version, and the next writer does both again."""
    for older in range(version, upgrades.FORMAT_VERSION):
        store.blocks.create(_root_attributes(fingerprint, older + 1))
        upgrades.upgrade(store.catalog, older)
    store.catalog.shrink()
