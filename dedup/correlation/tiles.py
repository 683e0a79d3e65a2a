"""Which pairs of blocks there are to compare, and what each such tile is called. Pure planning: no I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dedup.settings import CompareSettings

KERNEL_VERSION = 1
"""Goes up whenever the same two blocks and settings would give other bytes; then every tile is computed again."""

BAND_BLOCKS = 8
"""Tiles are ordered in bands of this many block rows, so that a worker needs 8 + 1 blocks at a time, not all."""


@dataclass(frozen=True)
class Tile:
    """One pair of blocks of the upper triangle; `block_a <= block_b` by name, equal on the diagonal."""

    name: str
    block_a: str
    block_b: str


def tile_name(block_a: str, block_b: str, settings: CompareSettings) -> str:
    """32 hex digits: a function of the two block names (in either order), the settings and the kernel version."""
    first, second = sorted((block_a, block_b))
    text = f"{first} {second} {settings.digest()} {KERNEL_VERSION}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def plan_tiles(block_names: Iterable[str], settings: CompareSettings) -> Iterator[Tile]:
    """Every tile of these blocks: each unordered pair once, each block with itself once. For `n` blocks,
    `n (n + 1) / 2` tiles, in an order that depends on the names alone."""
    names = sorted(block_names)
    digest = settings.digest()
    for band in range(0, len(names), BAND_BLOCKS):
        rows = names[band : band + BAND_BLOCKS]
        for j in range(band, len(names)):
            for row in rows[: j - band + 1]:
                text = f"{row} {names[j]} {digest} {KERNEL_VERSION}"
                name = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
                yield Tile(name, row, names[j])


def count_tiles(n_blocks: int) -> int:
    """How many tiles `plan_tiles` gives for so many blocks."""
    return n_blocks * (n_blocks + 1) // 2
