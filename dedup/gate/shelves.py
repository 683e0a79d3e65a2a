"""Shelves: the fingerprints of some sealed blocks with their keys, packed once into a folder beside the blocks and
mapped into memory from then on. A question then reads those pages alone that hold its keys.

A shelf is a cache. Its name is a digest of its blocks and of the code that made it, so one that is there is right, and
one that is gone is packed again from the blocks."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dedup.correlation.join import Joined, make_joined
from dedup.correlation.kernels import BlockItems, Counts
from dedup.correlation.keys import Keys
from dedup.correlation.lanes import Lanes, pack
from dedup.correlation.sampling import LAG_STEP, ROWS
from dedup.correlation.sweep import Packed
from dedup.correlation.tile import Prepared
from dedup.errors import StoreDamagedError, writing
from dedup.settings import CompareSettings
from dedup.store.items import Items, frozen
from dedup.store.layout import PRIVATE_FILE, PRIVATE_FOLDER
from dedup.store.tiles import kernel_version

if TYPE_CHECKING:
    from dedup.store.store import Store

MOST_ITEMS = 8_000_000
"""Items on a shelf, except that of one larger block: packing one takes 32 bytes of memory for each."""

MOST_ROWS = 1 << 15
"""Rows on a shelf: a key has 16 bits for one."""

MOST_SMALL = 8
"""Shelves that are not half full, beyond which they are packed together: nights with few new tracks leave one each."""

ATTEMPTS = 3
"""How often shelves are packed anew before the disk is to blame."""

UNFINISHED_S = 3600.0
"""Seconds after which a shelf that is not finished was left by a killed process; packing one takes a few."""

SHELF_VERSION = 1
"""Counts the ways in which shelves are written. Raise it with any change to the arrays of one."""

_WIP, _BLOCKS, _LANES = "wip-", "blocks.json", "lanes_"
_KEYS = Keys._fields


@dataclass(frozen=True)
class Shelf:
    """Some blocks, one behind the other."""

    blocks: tuple[str, ...]
    first_rows: npt.NDArray[np.int64]
    """The row of the shelf with which each block begins, and the number of rows, `int64[n_blocks + 1]`."""
    prepared: Prepared
    """All rows, for what is looked up by what it has in common."""
    packed: Packed
    """All rows, for what is compared one by one."""

    @property
    def n_items(self) -> int:
        return len(self.prepared.fingerprints.items)

    def place(self, row: int) -> tuple[str, int]:
        """The block of a row, and its row there."""
        at = int(np.searchsorted(self.first_rows, row, "right")) - 1
        return self.blocks[at], row - int(self.first_rows[at])

    def items(self, row: int) -> Items:
        """The items of a row, `uint32[n]`."""
        items, offsets = self.prepared.fingerprints
        return items[offsets[row] : offsets[row + 1]]


def shelves_of(store: Store) -> list[Shelf]:
    """The shelves of all sealed blocks: those that are there, and new ones for the blocks that are on none. Removes
    what no block needs any more. Raises WriteError, StoreDamagedError."""
    for _ in range(ATTEMPTS):
        shelves, packed = [], _packed(store)
        for folder, blocks in packed:
            try:
                shelves.append(_opened(folder, blocks))
            except (OSError, ValueError, EOFError):  # cut short; or another process has just packed several together
                shutil.rmtree(folder, ignore_errors=True)
        if len(shelves) == len(packed):
            return shelves
    raise StoreDamagedError(
        f"folder {store.layout.gate}", "what is written there cannot be read again", remedy="Look at the disk"
    )


def items_to_pack(store: Store) -> int:
    """Items of the largest shelf that is still to be packed; 0 if all are there."""
    folder, sizes = store.layout.gate / "shelves", store.catalog.blocks.sizes()
    kept = _kept(folder, sizes) if folder.is_dir() else {}
    return max((sum(sizes[block][1] for block in blocks) for blocks in _unpacked(kept, sizes)), default=0)


def _packed(store: Store) -> list[tuple[Path, tuple[str, ...]]]:
    """The folder and the blocks of each shelf, all of them on the disk."""
    folder, sizes = store.layout.gate / "shelves", store.catalog.blocks.sizes()
    with writing(f"folder {folder}"):
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    kept = _kept(folder, sizes)
    for blocks in _unpacked(kept, sizes):
        kept[_pack(store, folder, blocks)] = blocks
    for name in _names(folder) - kept.keys():
        shutil.rmtree(folder / name, ignore_errors=True)
    _drop_unfinished(folder)
    return [(folder / name, blocks) for name, blocks in sorted(kept.items())]


def _unpacked(kept: dict[str, tuple[str, ...]], sizes: dict[str, tuple[int, int]]) -> Iterator[tuple[str, ...]]:
    """The blocks that are on no shelf yet, in parts that fit on one each."""
    return planned(sorted(sizes.keys() - {block for blocks in kept.values() for block in blocks}), sizes)


def packed_block(items: Items, offsets: Counts) -> Packed:
    """Fingerprints, prepared to be compared one by one. Row `r` is `items[offsets[r] : offsets[r + 1]]`."""
    lanes, _ = pack(items, offsets, LAG_STEP, ROWS)
    return Packed(BlockItems(items, offsets), lanes)


def planned(blocks: Sequence[str], sizes: dict[str, tuple[int, int]]) -> Iterator[tuple[str, ...]]:
    """The blocks in parts that fit on a shelf each; `sizes` are rows and items by name."""
    part: list[str] = []
    rows = items = 0
    for block in blocks:
        n_rows, n_items = sizes[block]
        if part and (rows + n_rows > MOST_ROWS or items + n_items > MOST_ITEMS):
            yield tuple(part)
            part, rows, items = [], 0, 0
        part.append(block)
        rows, items = rows + n_rows, items + n_items
    if part:
        yield tuple(part)


def _kept(folder: Path, sizes: dict[str, tuple[int, int]]) -> dict[str, tuple[str, ...]]:
    """The blocks of the shelves that stay, by name: each block once, and none that the store has no more."""
    found: dict[str, tuple[str, ...]] = {}
    seen: set[str] = set()
    for name in sorted(_names(folder)):
        blocks = _blocks(folder / name)
        if name == _name(blocks) and sizes.keys() >= set(blocks) and seen.isdisjoint(blocks):
            found[name] = blocks
            seen.update(blocks)
    small = [name for name, blocks in found.items() if 2 * sum(sizes[block][1] for block in blocks) < MOST_ITEMS]
    return {name: blocks for name, blocks in found.items() if len(small) <= MOST_SMALL or name not in small}


def _drop_unfinished(folder: Path) -> None:
    """Removes what a killed process left."""
    for wip in folder.glob(f"{_WIP}*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - wip.stat().st_mtime > UNFINISHED_S:
                shutil.rmtree(wip, ignore_errors=True)


def _names(folder: Path) -> set[str]:
    """Names of all that is in the folder, except what another process packs."""
    return {name for name in os.listdir(folder) if not name.startswith(_WIP)}


def _blocks(shelf: Path) -> tuple[str, ...]:
    """The blocks that a shelf says it holds; none if it cannot be read."""
    try:
        found = json.loads((shelf / _BLOCKS).read_bytes())
    except (OSError, ValueError):
        return ()
    return tuple(map(str, found)) if isinstance(found, list) and found else ()


def _name(blocks: Sequence[str]) -> str:
    """32 hex digits."""
    text = json.dumps([SHELF_VERSION, kernel_version(CompareSettings("join")), *blocks])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _pack(store: Store, folder: Path, blocks: tuple[str, ...]) -> str:
    """Packs a shelf under a name of its own, then renames it; gives the name. Whoever packs the same at the same time
    loses nothing: what is under the name is complete. Raises WriteError, StoreDamagedError."""
    read = [store.blocks.read(block) for block in blocks]
    lengths = [np.diff(block.offsets) for block in read]
    offsets = frozen(np.cumsum(np.concatenate([np.zeros(1, np.int64), *lengths])), np.int64)
    items = frozen(np.concatenate([block.items for block in read]), np.uint32)
    del read
    joined = make_joined(BlockItems(items, offsets))
    first_rows = np.cumsum([0, *map(len, lengths)])
    arrays = {"items": items, "offsets": offsets, "first_rows": first_rows, "ones": joined.ones}
    arrays |= dict(zip(_KEYS, joined.keys, strict=True))
    arrays |= {_LANES + key: array for key, array in packed_block(items, offsets).lanes._asdict().items()}
    name = _name(blocks)
    wip = folder / f"{_WIP}{name}-{secrets.token_hex(4)}"
    try:
        with writing(f"folder {folder}"):
            wip.mkdir(mode=PRIVATE_FOLDER)
            for key, array in arrays.items():
                np.save(wip / f"{key}.npy", array, allow_pickle=False)
            (wip / _BLOCKS).write_text(json.dumps(blocks), encoding="ascii")
            for file in wip.iterdir():
                file.chmod(PRIVATE_FILE)
            try:
                wip.rename(folder / name)
            except OSError:
                if not (folder / name).is_dir():  # else somebody was first
                    raise
    finally:
        shutil.rmtree(wip, ignore_errors=True)
    return name


def _opened(folder: Path, blocks: tuple[str, ...]) -> Shelf:
    """A shelf, mapped. Nothing that is written to its arrays reaches the disk: kernels are compiled for arrays that may
    be written."""

    def mapped(name: str) -> npt.NDArray[Any]:
        file = folder / f"{name}.npy"
        try:
            return np.asarray(np.load(file, mmap_mode="c", allow_pickle=False))
        except ValueError:  # an empty array cannot be mapped
            return np.load(file, allow_pickle=False)  # type: ignore[no-any-return]

    fingerprints = BlockItems(frozen(mapped("items"), np.uint32), frozen(mapped("offsets"), np.int64))
    joined = Joined(fingerprints, Keys(*map(mapped, _KEYS)), mapped("ones"))
    lanes = Lanes(*(mapped(_LANES + name) for name in Lanes._fields))
    return Shelf(blocks, mapped("first_rows"), Prepared.of(joined), Packed(fingerprints, lanes))
