"""A store as a whole: its stamp, its lock, its catalog and its blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dedup.errors import StoreDamagedError, StoreMismatchError, StoreMissingError
from dedup.fingerprint.chromaprint import Items
from dedup.settings import FingerprintSettings
from dedup.store.blocks import BlockStore, make_block
from dedup.store.catalog import Catalog
from dedup.store.layout import FORMAT_VERSION, Layout, write_lock

SEAL_AT_ROWS = 1 << 16
"""A scan seals when its tail grows to this many rows, lest the catalog hold a library twice; else at its end."""


class Store:
    """An open store. `block_size` is fixed when it is made: up to so many fingerprints are sealed in one block."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.catalog = Catalog(layout.catalog)
        self.blocks = BlockStore(layout.blocks)
        self.fingerprint_settings: FingerprintSettings | None = None
        self.block_size = 0

    def close(self) -> None:
        self.catalog.close()

    def seal_tail(self, all_of_it: bool = True) -> int:
        """Seals what is in the tail into blocks; gives how many. With `all_of_it` False only a tail that has grown
        too long for the catalog. Killed anywhere in between, the next call ends with the same blocks."""
        if not all_of_it and self.catalog.tail_length() < SEAL_AT_ROWS:
            return 0
        n_blocks = 0
        while True:
            fingerprints, items = self.catalog.next_to_seal(self.block_size)
            if not fingerprints:
                return n_blocks
            block = make_block(items)
            self.blocks.write(block)
            self.catalog.seal(block.name, len(block.items), fingerprints)
            n_blocks += 1

    def tidy(self) -> None:
        """Removes what a killed run left behind: half-written blocks, and whole ones that never reached the catalog.
        Only for the holder of the lock."""
        self.blocks.drop_unfinished()
        for name in self.blocks.names() - self.catalog.blocks().keys():
            self.blocks.drop(name)

    def items_of(self, fingerprint: int) -> Items:
        """The items of one fingerprint, sealed or not. Raises StoreDamagedError."""
        place = self.catalog.place(fingerprint)
        if place is not None:
            block, row = place
            return self.blocks.read(block).row(row)
        items = self.catalog.tail_items(fingerprint)
        if items is None:
            raise StoreDamagedError(
                f"store {self.layout.folder}", f"fingerprint {fingerprint} is nowhere", "in a block or in the tail"
            )
        return items


@contextlib.contextmanager
def make_or_open(folder: Path, settings: FingerprintSettings, block_size: int, purpose: str) -> Iterator[Store]:
    """The store in `folder`, made where there is none, held against other writers. `block_size` counts only when the
    store is made.

    Raises StoreLockedError, StoreMismatchError where it holds fingerprints of other settings, StoreDamagedError,
    WriteError.
    """
    layout = Layout(folder)
    layout.make()
    with write_lock(layout, purpose):
        with contextlib.closing(Store(layout)) as store:
            if not store.catalog.meta():
                _stamp(store, settings, block_size)
        with _opened(layout, settings) as store:
            store.tidy()
            yield store


@contextlib.contextmanager
def open_for_writing(folder: Path, purpose: str) -> Iterator[Store]:
    """The store that is in `folder`, held against other writers.

    Raises StoreLockedError, StoreMissingError, StoreMismatchError, StoreDamagedError, WriteError.
    """
    layout = Layout(folder)
    _require_store(layout)
    with write_lock(layout, purpose), _opened(layout, None) as store:
        store.tidy()
        yield store


@contextlib.contextmanager
def open_for_reading(folder: Path) -> Iterator[Store]:
    """The store that is in `folder`, beside a writer if there is one.

    Raises StoreMissingError, StoreMismatchError where it is of another format version, StoreDamagedError.
    """
    layout = Layout(folder)
    _require_store(layout)
    with _opened(layout, None) as store:
        yield store


@contextlib.contextmanager
def _opened(layout: Layout, settings: FingerprintSettings | None) -> Iterator[Store]:
    with contextlib.closing(Store(layout)) as store:
        _read_stamp(store, settings)
        yield store


def _require_store(layout: Layout) -> None:
    if not layout.catalog.exists():
        raise StoreMissingError(
            f"store {layout.folder}",
            "there is no store",
            "one made by a scan",
            "Run `reprise full FOLDER` first, or name another with --store",
        )


def _stamp(store: Store, settings: FingerprintSettings, block_size: int) -> None:
    if store.blocks.names():
        raise StoreDamagedError(
            f"store {store.layout.folder}",
            "blocks without a catalog",
            "both, or neither",
            "Restore catalog.db from a backup, or remove the folder and scan again",
        )
    if not store.blocks.folder.exists():
        store.blocks.create({"format_version": FORMAT_VERSION, "fingerprint": asdict(settings)})
    stamp = {"format_version": FORMAT_VERSION, "fingerprint": asdict(settings), "block_size": block_size}
    store.catalog.create(stamp)


def _read_stamp(store: Store, settings: FingerprintSettings | None) -> None:
    """Takes settings and block size from the stamp; refuses a store that does not fit."""
    where, meta = f"store {store.layout.folder}", store.catalog.meta()
    version = meta.get("format_version")
    if version != FORMAT_VERSION:
        raise StoreMismatchError(
            where,
            f"format version {version}",
            f"version {FORMAT_VERSION}",
            "Use the release that made it, or another --store",
        )
    try:
        stamped, store.block_size = _stamped_settings(meta), int(meta["block_size"])
    except (KeyError, TypeError, ValueError) as error:
        raise StoreDamagedError(where, f"its stamp cannot be read ({error})") from error
    if settings is not None and stamped != settings:
        raise StoreMismatchError(
            where,
            f"fingerprints made otherwise (store / now: {', '.join(stamped.differences(settings))})",
            "the same settings, for only such fingerprints can be compared",
            "Use the store's settings, or another --store for these",
        )
    store.fingerprint_settings = stamped


def _stamped_settings(meta: dict[str, Any]) -> FingerprintSettings:
    return FingerprintSettings(**meta["fingerprint"])
