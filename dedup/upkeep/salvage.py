"""Replaces a damaged catalog by a new one, made from all the rows that can still be read.

The next run restores most of what a damaged page loses, but not what a person said. The new catalog is made beside the
damaged one and takes its place when it is complete; the damaged one is kept as `catalog.db.damaged`. The rows are as
untrusted as those of any catalog: `check` comes next, and its repair drops what does not fit together."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dedup.errors import CatalogDamagedError, StoreDamagedError, UsageError
from dedup.settings import FingerprintSettings
from dedup.store import upgrades
from dedup.store.blocks import METADATA, BlockStore, sync
from dedup.store.catalog import Catalog
from dedup.store.commit_log import log_of
from dedup.store.layout import PRIVATE_FOLDER, Layout, write_lock
from dedup.store.rescue import copy_damaged, copy_rows, count_rows, filling, make_readable
from dedup.store.store import require_store


def mend_catalog(folder: Path, purpose: str) -> dict[str, int]:
    """Puts a new catalog, with all rows that can still be read, in the place of a damaged one; returns its number of
    rows, by table. `check` and its repair must follow.

    Raises StoreLockedError, StoreMissingError, CatalogDamagedError if nothing can be read, WriteError.
    """
    layout = Layout(folder)
    require_store(layout)
    with write_lock(layout, purpose):
        return salvage(layout)


def salvage(layout: Layout) -> dict[str, int]:
    """Puts a new catalog in the place of the damaged one; returns its number of rows, by table. Call it only while
    holding the lock. Raises, with nothing changed, CatalogDamagedError if not even the fingerprint settings can be
    read, and StoreMismatchError if the store has another format version."""
    folder = layout.salvage
    _put_back(layout)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=PRIVATE_FOLDER)
    try:
        damaged, new = folder / "damaged.db", folder / "new.db"
        copy_damaged(layout.catalog, damaged)
        with contextlib.closing(Catalog(new)) as catalog:
            catalog.create({})
            catalog.take_in_log()
            make_readable(damaged, new)
            blocks = BlockStore(layout.blocks)
            with filling(catalog):
                copy_rows(catalog, damaged)
                _mend_stamp(catalog, blocks)
                _add_blocks(catalog, blocks)
            rows = count_rows(catalog)
            catalog.take_in_log()
        _put_in_place(layout, new)
        return rows
    finally:
        _put_back(layout)
        shutil.rmtree(folder, ignore_errors=True)


def _mend_stamp(catalog: Catalog, blocks: BlockStore) -> None:
    """Restores the stamp, from the root group of the blocks or else from the rows read."""
    meta, root = catalog.meta.read(), _root_attributes(blocks)
    if not _is_version_known(meta.get("format_version"), root.get("format_version"), str(blocks.folder.parent)):
        catalog.results.clear()  # their records may have another form
        catalog.meta.drop_comparisons()
    settings = _settings(root.get("fingerprint")) or _settings(meta.get("fingerprint"))
    if settings is None:
        raise CatalogDamagedError(
            f"catalog {blocks.folder.parent}",
            "cannot be read, and neither can the root group of its blocks",
            remedy="Restore the store from a backup, or remove its folder and scan again",
        )
    size = meta.get("block_size")
    if type(size) is not int or size < 1:
        size = catalog.blocks.most_rows() or USUAL_BLOCK_SIZE
    catalog.meta.update(
        {"format_version": upgrades.FORMAT_VERSION, "fingerprint": asdict(settings), "block_size": size}
    )
    catalog.meta.drop("retired")  # ids of fingerprints that may be lost, and given to others


USUAL_BLOCK_SIZE = 1024


def _is_version_known(told: Any, repeated: Any, folder: str) -> bool:
    """Whether the damaged catalog has our format version, according to its stamp, or if the stamp is implausible,
    according to the root group, which may be ahead after an interrupted upgrade. False if neither has a version. Raises
    StoreMismatchError for any other version."""
    versions = [version for version in (told, repeated) if type(version) is int]
    possible = [v for v in versions if upgrades.is_ours(v) or upgrades.is_older(v)] or versions
    if possible and not upgrades.is_ours(possible[0]):
        raise upgrades.other_version(f"store {folder}", possible[0])
    return bool(possible)


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


def _add_blocks(catalog: Catalog, blocks: BlockStore) -> None:
    """Adds sound blocks on disk whose row is lost."""
    for name in sorted(blocks.names() - catalog.blocks.rows().keys()):
        with contextlib.suppress(StoreDamagedError):
            block = blocks.read(name)
            catalog.blocks.add(name, block.n_rows, len(block.items))


def _put_in_place(layout: Layout, new: Path) -> None:
    """Puts the new catalog in place, and keeps the damaged one under another name. A log must never be beside another
    catalog than its own, and its own never without it: if there is a log, both are set aside first, so that whoever
    opens the store meanwhile finds no catalog, and `_put_back` undoes that after a kill."""
    catalog, log = layout.catalog, log_of(layout.catalog)
    kept = catalog.with_name(f"{catalog.name}.damaged")
    if _has_bytes(catalog) or _has_bytes(log) or not kept.exists():  # otherwise keep what an earlier repair kept
        _keep(catalog, kept)
    if _has_bytes(log):
        _keep(catalog, layout.set_aside)
        if not catalog.exists():
            layout.set_aside.touch()
        sync(layout.salvage)
        sync(layout.folder)
        catalog.unlink(missing_ok=True)
        sync(layout.folder)  # before the log goes: a power failure must not reverse the order
        log.unlink()
    catalog.with_name(f"{catalog.name}-shm").unlink(missing_ok=True)
    sync(layout.folder)
    os.replace(new, catalog)
    sync(layout.folder)


def _put_back(layout: Layout) -> None:
    """Puts the damaged catalog and its log back where they were, if a killed run had set them aside."""
    if layout.catalog.exists() or not layout.set_aside.exists():
        return
    with contextlib.suppress(FileNotFoundError):  # it is in its place already
        os.replace(log_of(layout.set_aside), log_of(layout.catalog))
    os.replace(layout.set_aside, layout.catalog)
    sync(layout.folder)


def _keep(catalog: Path, name: Path) -> None:
    """Keeps the catalog and its log, as far as they exist, under another name too, in place of whatever has it."""
    for source, target in ((catalog, name), (log_of(catalog), log_of(name))):
        target.unlink(missing_ok=True)
        if source.exists():
            try:
                os.link(source, target)
            except OSError:  # a file system without hard links
                shutil.copyfile(source, target)
                sync(target)


def _has_bytes(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0
