"""Sealed blocks of fingerprints: Zarr arrays that are written once, under a name that is a digest of their content."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dedup.errors import StoreDamagedError

CHUNK_ITEMS = 1 << 20
"""Items a Zarr chunk holds at most: 4 MiB."""

WIP_PREFIX = "wip-"


@dataclass(frozen=True)
class Block:
    """Fingerprints of a block, concatenated: row `r` is `items[offsets[r]:offsets[r + 1]]`."""

    name: str
    items: npt.NDArray[np.uint32]
    """`uint32[n_items]`."""
    offsets: npt.NDArray[np.int64]
    """`int64[n_rows + 1]`, from 0, never falling."""

    @property
    def n_rows(self) -> int:
        return len(self.offsets) - 1

    def row(self, row: int) -> npt.NDArray[np.uint32]:
        return self.items[self.offsets[row] : self.offsets[row + 1]]


def make_block(fingerprints: Sequence[npt.NDArray[np.uint32]]) -> Block:
    """The block that holds these fingerprints in this order, named."""
    offsets = np.zeros(len(fingerprints) + 1, np.int64)
    np.cumsum([len(items) for items in fingerprints], out=offsets[1:])
    items = np.concatenate([np.empty(0, np.uint32), *fingerprints])
    return Block(block_name(items, offsets), items, offsets)


def block_name(items: npt.NDArray[np.uint32], offsets: npt.NDArray[np.int64]) -> str:
    """32 hex digits: BLAKE2b of offsets and items, little-endian."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(np.int64(len(offsets)).astype("<i8").tobytes())
    digest.update(np.ascontiguousarray(offsets, "<i8").tobytes())
    digest.update(np.ascontiguousarray(items, "<u4").tobytes())
    return digest.hexdigest()


class BlockStore:
    """The blocks of one store, under `fingerprints.zarr/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, attributes: dict[str, Any]) -> None:
        """Writes the Zarr root group of a new store."""
        import zarr

        zarr.create_group(self.folder, zarr_format=3, attributes=attributes)

    def write(self, block: Block) -> None:
        """Writes a block under a temporary name, syncs it, then renames it. A block that is there already and sound
        is kept: the name says that it is the same."""
        import zarr
        from zarr.codecs import Crc32cCodec

        final = self.folder / block.name
        if final.exists():
            if self.problem(block.name) is None:
                return
            self.drop(block.name)
        wip = self.folder / f"{WIP_PREFIX}{block.name}"
        shutil.rmtree(wip, ignore_errors=True)
        group = zarr.create_group(wip, zarr_format=3, attributes={"n_rows": block.n_rows})
        for name, data in (("items", block.items), ("offsets", block.offsets)):
            chunk = max(1, min(len(data), CHUNK_ITEMS))
            array = group.create_array(
                name, shape=data.shape, dtype=data.dtype, chunks=(chunk,), compressors=[Crc32cCodec()]
            )
            array[:] = data
        _sync_tree(wip)
        wip.rename(final)
        _sync(self.folder)

    def read(self, name: str) -> Block:
        """The block of that name. Raises StoreDamagedError where it is missing or not what its name says."""
        import zarr

        folder = self.folder / name
        try:
            group = zarr.open_group(folder, mode="r", zarr_format=3)
            items = np.asarray(group["items"][:], np.uint32)  # type: ignore[index]
            offsets = np.asarray(group["offsets"][:], np.int64)  # type: ignore[index]
        except Exception as error:  # what zarr raises on rotten metadata or chunks is of many kinds
            raise _damaged(folder, f"cannot be read ({type(error).__name__}: {error})") from error
        if block_name(items, offsets) != name:
            raise _damaged(folder, "its content is not what its name says")
        return Block(name, items, offsets)

    def problem(self, name: str) -> str | None:
        """What is wrong with a block, None where it is sound."""
        try:
            self.read(name)
        except StoreDamagedError as error:
            return error.found
        return None

    def names(self) -> set[str]:
        """Blocks on disk, sealed ones only."""
        if not self.folder.is_dir():
            return set()
        return {
            entry.name for entry in os.scandir(self.folder) if entry.is_dir() and not entry.name.startswith(WIP_PREFIX)
        }

    def drop(self, name: str) -> None:
        """Removes a block from disk."""
        shutil.rmtree(self.folder / name)

    def drop_unfinished(self) -> None:
        """Removes what a killed run left half written."""
        for entry in os.scandir(self.folder):
            if entry.name.startswith(WIP_PREFIX):
                shutil.rmtree(entry.path)


def _damaged(folder: Path, found: str) -> StoreDamagedError:
    return StoreDamagedError(
        f"block {folder}",
        found,
        "a sealed block",
        "Run `reprise check --repair`, then `reprise full`: it redoes just what is lost",
    )


def _sync_tree(folder: Path) -> None:
    for directory, _, names in os.walk(folder):
        for name in names:
            _sync(Path(directory, name))
        _sync(Path(directory))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
