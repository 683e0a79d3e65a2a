"""How tiles are dealt out: so many at a time, or so small a share of one, that a task lasts about a second. Pure
planning."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from dedup.correlation.sampling import BASE_LAG, BASE_OVERLAP, LAG_STEP, ROWS
from dedup.correlation.tile import Part
from dedup.errors import TooLittleMemoryError
from dedup.settings import CompareSettings
from dedup.store.tiles import BAND_BLOCKS, Tile

TASK_S, LONGEST_TASK_S = 1.5, 4.0
"""Seconds that a task should last and, more or less, lasts at most: long against the cost of dealing it out (some
milliseconds), short against what a kill may lose."""

FIRST_PACE = 25e9
"""Steps (an item against an item) a second of the first tasks; later ones go by what was measured."""

STEPS_A_PAIR = 2_000
"""What a pair costs beside its items."""

STRETCHES = 5.0
"""Times that a pair is compared in the pass for other speeds: 16, if the two are about as long, as three in ten are."""

STEPS_AT_PITCHES = 20_000
"""What a pair costs there of which both were heard at other pitches too."""

MOST_TILES, MOST_SHARES = BAND_BLOCKS * BAND_BLOCKS, 1000
"""Of one task, and of one tile: no more tiles than a worker holds the blocks of."""

MOST_BLOCKS, FEWEST_BLOCKS = 2 * BAND_BLOCKS, 3
"""That a worker holds, and a task may ask for: the rows of a band and its latest columns; or, where memory is short,
the two of a tile and the next."""

JOIN_BLOCKS, JOIN_BAND = 80, 64
"""The same for the join, and rows of its bands. To prepare a block takes it as long as two tiles, and to deal one out
nearly as long: with wide bands both happen less often."""

JOIN_TILES = 1024
"""Of one task of the join."""

GROUP_BLOCKS, GROUP_ITEMS = 16, 1 << 23
"""Blocks of a band that the join looks at as one, and their items, at most. Then what two sides share is looked for
once, not for each tile, and more votes come at a time: a pair takes half as long with 16 blocks as with one."""

COLUMNS_A_BLOCK = 12
"""Blocks of a store for each block of a group: with fewer, to sort the keys of a group takes longer than it saves."""

SORTING_BYTES = 24
"""To sort the keys of a group, for each of its items."""

WORKER_BYTES = 320 << 20
"""Of a worker beside its blocks: Python, NumPy, Numba with its compiler, Dask; and room for what a tile finds."""

USABLE_SHARE = 0.9
"""Of a worker's memory limit: Dask ends it at 0.95."""

COPIES = {"cascade": 4, "exact": 6, "join": 6}
"""Times that a worker holds a block's items: as they came, for this task and for the next, as keys of their order,
thinned, side by side, counted; for the join as they came, and as sorted keys with their places, and where each key
begins."""

JOIN_BYTES = 1 << 20
"""Of a block, to find its keys by."""

TILTED_BYTES, MEETING_BYTES = 160 << 20, 16
"""Of a worker in that pass: room for pairs of tracks and of places; and of a block, for each item, that keys have met.
"""

IMAGES, IMAGE_COPIES = 3, 6
"""Images of a block in the pass for other speeds, and times that a worker holds each, as `COPIES` of the join; what was
heard at one pitch alone is compared by the cascade."""

GROUP_BYTES = 256
"""Of two groups of 16, for each item of the longest fingerprint: rows and their running sums. All other groups are as
long as what is in them."""

LAG_BYTES = 160
"""Of a worker, for each lag of a curve."""


@dataclass(frozen=True)
class Batch:
    """The work of one task."""

    tiles: tuple[Tile, ...]
    parts: tuple[Part, ...]
    """Of each tile: all of it, or a share."""
    blocks: tuple[str, ...]
    """Names; `parts` count in them."""
    cost: float
    """Steps, predicted."""

    @property
    def name(self) -> str:
        """Unique in a run: its first tile, and share."""
        part = self.parts[0]
        return self.tiles[0].name + (f"-{part.share + 1}-of-{part.n_shares}" if part.n_shares > 1 else "")


@dataclass
class Pace:
    """How many steps a second a worker does, learnt from what was done."""

    steps: float = FIRST_PACE
    seconds: float = 1.0

    def learn(self, steps: float, seconds: float) -> None:
        """Takes in a task. The first guess counts as one second, and older ones for less and less."""
        self.steps, self.seconds = 0.9 * self.steps + steps, 0.9 * self.seconds + seconds

    @property
    def steps_a_second(self) -> float:
        return self.steps / self.seconds


def worker_bytes(n_blocks: int, largest_items: int, longest_items: int, settings: CompareSettings) -> int:
    """Memory that a worker takes which holds `n_blocks` blocks of at most `largest_items` items, with fingerprints of
    at most `longest_items`."""
    n_lags = min(2 * settings.lag_limit + 1, 2 * longest_items)
    if settings.stretched:
        of_block = 4 * largest_items * (COPIES["cascade"] + IMAGES * IMAGE_COPIES) + IMAGES * JOIN_BYTES
        beside = TILTED_BYTES + MEETING_BYTES * largest_items
        return WORKER_BYTES + beside + n_blocks * of_block + n_lags * LAG_BYTES
    of_block = 4 * largest_items * COPIES[settings.method]
    if settings.method == "exact":
        of_block += GROUP_BYTES * longest_items  # one group is as long as its longest
    beside = n_lags * LAG_BYTES
    if settings.method == "join":
        of_block += JOIN_BYTES
        in_group = group_size(n_blocks, largest_items, settings)
        beside += SORTING_BYTES * largest_items * in_group if in_group > 1 else 0
    return WORKER_BYTES + n_blocks * of_block + beside


def blocks_that_fit(
    limit_bytes: int | None, n_blocks: int, largest_items: int, longest_items: int, settings: CompareSettings
) -> int:
    """How many blocks a worker may hold, of a store that has `n_blocks`: `blocks_wanted`, or as many as fit. Raises
    TooLittleMemoryError where these are fewer than FEWEST_BLOCKS."""
    for n_held in range(blocks_wanted(settings), FEWEST_BLOCKS - 1, -1):
        needed = worker_bytes(min(n_held, n_blocks), largest_items, longest_items, settings)
        if limit_bytes is None or needed <= USABLE_SHARE * limit_bytes:
            return n_held
    least = least_memory(n_blocks, largest_items, longest_items, settings)
    raise TooLittleMemoryError(
        "memory of a worker",
        f"{(limit_bytes or 0) >> 20:,} MiB",
        f"at least {math.ceil(least / 2**20):,} MiB, for blocks of up to {largest_items:,} items",
        "Use fewer workers (--workers), so that each has more",
    )


def least_memory(n_blocks: int, largest_items: int, longest_items: int, settings: CompareSettings) -> int:
    """Bytes that a worker must have to take part in comparing a store that has `n_blocks`."""
    needed = worker_bytes(min(FEWEST_BLOCKS, n_blocks), largest_items, longest_items, settings)
    return math.ceil(needed / USABLE_SHARE)


def blocks_wanted(settings: CompareSettings) -> int:
    """Blocks that a worker holds if its memory allows."""
    return JOIN_BLOCKS if settings.method == "join" else MOST_BLOCKS


def band_of(n_held: int, settings: CompareSettings) -> int:
    """Rows of a band of tiles, for workers that hold so many blocks: with its rows there must be room for columns."""
    if settings.method == "join":
        return max(1, min(JOIN_BAND, n_held - max(2, n_held // 5)))
    return max(1, min(BAND_BLOCKS, n_held // 2))


def group_size(n_held: int, largest_items: int, settings: CompareSettings) -> int:
    """Blocks of a group, for workers that hold so many blocks of at most so many items; 1: there are none."""
    if settings.method != "join":
        return 1
    return max(1, min(GROUP_BLOCKS, band_of(n_held, settings), GROUP_ITEMS // max(1, largest_items)))


def groups_of(block_names: Iterable[str], band: int, size: int) -> dict[str, tuple[str, ...]]:
    """The group of each block: up to `size` neighbours in the order of `plan_tiles`, in one band, and fewer if there
    are few blocks; none if a group would be a single one."""
    names = sorted(block_names)
    size = min(size, len(names) // COLUMNS_A_BLOCK)
    if size < 2:
        return {}
    groups: dict[str, tuple[str, ...]] = {}
    for start in range(0, len(names), band):
        of_band = names[start : start + band]
        for first in range(0, len(of_band), size):
            group = tuple(of_band[first : first + size])
            groups |= dict.fromkeys(group, group)
    return groups


def tile_cost(
    sizes: Mapping[str, tuple[int, int]], settings: CompareSettings, n_heard: Mapping[str, int]
) -> Callable[[Tile], float]:
    """A function that predicts the steps of a tile, from the fingerprints and items of each block (by name): as many as
    if all fingerprints of a block were of one length. `n_heard` are those of each block that were heard at other
    pitches."""
    lengths = {name: (n_rows, n_items / n_rows) for name, (n_rows, n_items) in sizes.items()}

    def cost(tile: Tile) -> float:
        (rows_a, mean_a), (rows_b, mean_b) = lengths[tile.block_a], lengths[tile.block_b]
        n_pairs = rows_a * (rows_a - 1) / 2 if tile.block_a == tile.block_b else rows_a * rows_b
        steps = STEPS_A_PAIR + pair_steps(mean_a, mean_b, settings)
        if settings.stretched:
            share = n_heard.get(tile.block_a, 0) / rows_a * n_heard.get(tile.block_b, 0) / rows_b
            steps = share * STEPS_AT_PITCHES + (1 - share) * steps
        return n_pairs * steps

    return cost


def pair_steps(n_a: float, n_b: float, settings: CompareSettings) -> float:
    """Items against items that comparing two fingerprints of so many items takes, about."""
    if settings.stretched:
        settings = settings.narrowed
    if settings.method == "join":
        return 0.0  # it looks at next to none of them
    shorter, longer = sorted((n_a, n_b))
    overlap, limit = settings.min_overlap, settings.lag_limit
    if settings.method == "cascade":
        overlap, limit = min(overlap, BASE_OVERLAP), max(limit, BASE_LAG)
    inside = min(limit, longer - shorter)  # lags at which all of the shorter one overlaps
    beyond = min(limit, longer - overlap * shorter) - inside, min(limit, shorter - overlap * shorter)
    steps = shorter * (inside + 1) + sum(n_lags * (shorter - n_lags / 2) for n_lags in beyond)
    if settings.method == "exact":
        return steps
    thinned = max(1.0, 2.0 ** math.floor(math.log2(max(1.0, shorter / (LAG_STEP * ROWS)))))
    times = STRETCHES if settings.stretched else 1.0
    return times * steps / (LAG_STEP * LAG_STEP * thinned)


def plan_batches(
    tiles: Iterable[Tile],
    cost: Callable[[Tile], float],
    total_cost: float,
    n_workers: int,
    pace: Pace,
    most_blocks: int = MOST_BLOCKS,
    most_tiles: int = 0,
    groups: Mapping[str, tuple[str, ...]] | None = None,
) -> Iterator[Batch]:
    """Every tile, in order: small ones together, up to `most_tiles` and of at most `most_blocks` blocks, large ones in
    shares. `total_cost` is that of all tiles. The last batches are smaller, so that all workers end at about the same
    time. With `groups`, the group of each block, tiles of one group and one second block stay together. Reads `pace`
    before each batch."""
    left = total_cost
    open_batch = _Batching(most_blocks, most_tiles or (JOIN_TILES if groups else MOST_TILES), groups or {})
    for tile in tiles:
        steps = cost(tile)
        longest = LONGEST_TASK_S * pace.steps_a_second
        target = min(TASK_S * pace.steps_a_second, max(0.0, left) / (3 * n_workers))
        share_steps = max(1.0, min(longest, max(target, longest / 8)))
        n_shares = min(MOST_SHARES, max(1, math.ceil(steps / share_steps)))
        for share in range(n_shares):
            if not open_batch.takes(tile, steps / n_shares, target):
                yield open_batch.close()
            open_batch.add(tile, Part(0, 0, share, n_shares), steps / n_shares)
        left -= steps
    if open_batch.tiles:
        yield open_batch.close()


@dataclass
class _Batching:
    """A batch that is being filled."""

    most_blocks: int
    most_tiles: int
    groups: Mapping[str, tuple[str, ...]]
    tiles: list[Tile] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    blocks: dict[str, int] = field(default_factory=dict)
    with_groups: set[str] = field(default_factory=set)
    """Names of the blocks, and of all that are in a group with one."""
    cost: float = 0.0

    def takes(self, tile: Tile, steps: float, target: float) -> bool:
        if not self.tiles:
            return True
        last, group = self.tiles[-1], self.groups.get(tile.block_a)
        n_blocks = len(self.with_groups) + len(self._needed(tile) - self.with_groups)
        together = group is not None and tile.block_b == last.block_b and last.block_a in group
        room = 2 * target if together else target
        return len(self.tiles) < self.most_tiles and n_blocks <= self.most_blocks and self.cost + steps / 2 <= room

    def add(self, tile: Tile, part: Part, steps: float) -> None:
        a, b = (self._place(name) for name in (tile.block_a, tile.block_b))
        self.tiles.append(tile)
        self.parts.append(part._replace(a=a, b=b))
        self.with_groups |= self._needed(tile)
        self.cost += steps

    def close(self) -> Batch:
        """What came together; the next begins."""
        parts = self._grouped()
        batch = Batch(tuple(self.tiles), parts, tuple(self.blocks), self.cost)
        self.tiles, self.parts, self.blocks, self.with_groups, self.cost = [], [], {}, set(), 0.0
        return batch

    def _needed(self, tile: Tile) -> set[str]:
        return {tile.block_b, tile.block_a, *self.groups.get(tile.block_a, ())}

    def _place(self, name: str) -> int:
        return self.blocks.setdefault(name, len(self.blocks))

    def _grouped(self) -> tuple[Part, ...]:
        """The parts, with their groups, of those groups of which at least half of the blocks are asked for."""
        possible = [self._group_of(tile, part) for tile, part in zip(self.tiles, self.parts, strict=True)]
        asked: dict[tuple[str, ...], set[str]] = {group: set() for group in possible if len(group) > 1}
        for tile, group in zip(self.tiles, possible, strict=True):
            if group in asked:
                asked[group].add(tile.block_a)
        places = {group: tuple(map(self._place, group)) for group, own in asked.items() if 2 * len(own) >= len(group)}
        return tuple(
            part._replace(group=places.get(group, ())) for part, group in zip(self.parts, possible, strict=True)
        )

    def _group_of(self, tile: Tile, part: Part) -> tuple[str, ...]:
        return self.groups.get(tile.block_a, ()) if part.n_shares == 1 and part.a != part.b else ()
