"""Which blocks to merge: planning for `compact`, by their sizes alone. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FANOUT = 4
"""Fewest small blocks of similar size for which a merge pays. Each merge puts a fingerprint into a block about four
times as large, so it is written again about log4(block_size) times, however many nightly runs there are."""

WORTH_DROPPING = 0.2
"""Share of retired rows above which a block is written again without them: at most four fingerprints are written for
each one dropped."""


@dataclass(frozen=True)
class Use:
    """A block and how much of it to keep."""

    name: str
    n_rows: int
    n_dropped: int = 0
    """Rows whose fingerprints are retired and may go."""

    @property
    def n_kept(self) -> int:
        return self.n_rows - self.n_dropped


BlockMerge = tuple[Use, ...]
"""Blocks whose rows go into one block, or nowhere if none of them is kept."""


def plan_merges(blocks: Iterable[Use], block_size: int) -> list[BlockMerge]:
    """Merges all that are at most half full, and writes each anew of which a row may go."""
    return _pack([b for b in blocks if b.n_dropped or _is_small(b, block_size)], block_size)


def plan_worthwhile(blocks: Iterable[Use], block_size: int) -> list[BlockMerge]:
    """Merges that pay: FANOUT or more blocks of similar size (within a factor of FANOUT) that are at most half full,
    and blocks with more than a share of WORTH_DROPPING to drop."""
    by_tier: dict[int, list[Use]] = {}
    thinned = []
    for block in blocks:
        if block.n_dropped > WORTH_DROPPING * block.n_rows:
            thinned.append(block)
        elif _is_small(block, block_size):
            by_tier.setdefault(_tier(block.n_kept), []).append(block)
    merges = _pack(thinned, block_size)
    for _, alike in sorted(by_tier.items()):
        if len(alike) >= FANOUT:
            merges += _pack(alike, block_size)
    return merges


def _is_small(block: Use, block_size: int) -> bool:
    return 2 * block.n_kept <= block_size


def _tier(n_rows: int) -> int:
    """How many times `n_rows` can be divided by FANOUT."""
    tier = 0
    while n_rows >= FANOUT:
        n_rows, tier = n_rows // FANOUT, tier + 1
    return tier


def _pack(blocks: Sequence[Use], block_size: int) -> list[BlockMerge]:
    """Puts blocks together, the largest first, each into the first merge that has room for its kept rows. At most one
    merge is half full or less, so packing again finds nothing to do. Merges that would change nothing are left out."""
    merges: list[list[Use]] = []
    room: list[int] = []
    for block in sorted(blocks, key=lambda block: (-block.n_kept, block.name)):
        place = next((i for i, left in enumerate(room) if 0 < block.n_kept <= left), len(room))
        if place == len(room):
            merges.append([])
            room.append(block_size if block.n_kept else 0)
        merges[place].append(block)
        room[place] -= block.n_kept
    return [tuple(merge) for merge in merges if len(merge) > 1 or merge[0].n_dropped]
