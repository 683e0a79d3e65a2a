"""A store as a whole: its stamp, its lock, its catalog and its blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dedup.errors import StoreDamagedError, StoreMismatchError
from dedup.settings import FingerprintSettings
from dedup.store.blocks import Block, BlockStore, make_block
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

    def read_block(self, name: str) -> Block:
        return self.blocks.read(name)


@contextlib.contextmanager
def open_for_writing(
    folder: Path, settings: FingerprintSettings, block_size: int, purpose: str
) -> Iterator[Store]:
    """The store in `folder`, made where there is none, held against other writers.

    Raises StoreLockedError, StoreMismatchError, StoreDamagedError, WriteError.
    """
    layout = Layout(folder)
    layout.make()
    with write_lock(layout, purpose), contextlib.closing(Store(layout)) as store:
        if not store.catalog.meta():
            if store.blocks.folder.exists() and store.blocks.names():
                raise StoreDamagedError(f"store {folder}", "blocks without a catalog", "both, or neither")
            if not store.blocks.folder.exists():
                store.blocks.create({"format_version": FORMAT_VERSION, "fingerprint": asdict(settings)})
            stamp = {"format_version": FORMAT_VERSION, "fingerprint": asdict(settings), "block_size": block_size}
            store.catalog.create(stamp)
        _read_stamp(store, settings)
        store.blocks.drop_unfinished()
        yield store


@contextlib.contextmanager
def open_for_reading(folder: Path, settings: FingerprintSettings | None = None) -> Iterator[Store]:
    """The store in `folder`, beside a writer if there is one. With `settings`, refuses a store of others.

    Raises StoreDamagedError where there is no store, StoreMismatchError.
    """
    layout = Layout(folder)
    if not layout.catalog.exists():
        raise StoreDamagedError(
            f"store {folder}",
            "there is no store",
            "one made by `reprise scan`",
            "Run `reprise full FOLDER`, or give --store",
        )
    with contextlib.closing(Store(layout)) as store:
        _read_stamp(store, settings)
        yield store


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
