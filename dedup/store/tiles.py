"""The pairs of blocks to compare, and the name of each such tile. Pure planning: no I/O."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dedup.settings import CompareSettings
from dedup.versions import JOIN_VERSION, KERNEL_VERSION, VARISPEED_VERSION

BAND_BLOCKS = 16
"""Block rows in a band of tiles. Tiles are ordered by band, so a worker needs 16 + 1 blocks at a time, not all."""


class Tile(NamedTuple):
    """One pair of blocks of the upper triangle; `block_a <= block_b` by name, equal on the diagonal."""

    # Not a dataclass: a library of a million tracks has two million tiles, and a tuple is three times as fast to make.
    name: str
    block_a: str
    block_b: str


def tile_name(block_a: str, block_b: str, settings: CompareSettings) -> str:
    """32 hex digits: a function of the two block names (in either order), the settings and the kernel version."""
    first, second = sorted((block_a, block_b))
    return _digest(first.encode() + _ending(second, settings))


def kernel_version(settings: CompareSettings) -> str:
    """The version of what computes tiles under these settings."""
    join, stretch = f".{JOIN_VERSION}", f".varispeed {VARISPEED_VERSION}"
    of_method = join if settings.method == "join" else ""
    return f"{KERNEL_VERSION}{of_method}{stretch if settings.stretched else ''}"


def plan_tiles(block_names: Iterable[str], settings: CompareSettings, band_blocks: int = BAND_BLOCKS) -> Iterator[Tile]:
    """Every tile of these blocks: each unordered pair once, each block with itself once. For `n` blocks,
    `n (n + 1) / 2` tiles, in an order that depends on the names and the band alone. About a microsecond a tile."""
    names = sorted(block_names)
    beginnings = [name.encode() for name in names]
    endings = [_ending(name, settings) for name in names]
    for band in range(0, len(names), band_blocks):
        for column in range(band, len(names)):
            for row in range(band, min(band + band_blocks, column + 1)):
                yield Tile(_digest(beginnings[row] + endings[column]), names[row], names[column])


def count_tiles(n_blocks: int) -> int:
    """The number of tiles that `plan_tiles` yields for `n_blocks` blocks."""
    return n_blocks * (n_blocks + 1) // 2


def _digest(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _ending(block: str, settings: CompareSettings) -> bytes:
    """What follows the name of the first block in the text whose digest is a tile's name."""
    return f" {block} {_settings_digest(settings)} {kernel_version(settings)}".encode()


@functools.lru_cache(maxsize=16)
def _settings_digest(settings: CompareSettings) -> str:
    return settings.digest()
