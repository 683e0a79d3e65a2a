"""Compares what was not compared yet: plans the tiles, drops those that are done, runs the rest, commits results."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dedup.correlation.batches import (
    FIRST_PACE,
    Batch,
    Pace,
    band_of,
    blocks_that_fit,
    group_size,
    groups_of,
    least_memory,
    plan_batches,
    tile_cost,
)
from dedup.correlation.noise import measure_noise
from dedup.correlation.other_speeds import HeardBlock, correlate_stretched
from dedup.correlation.tile import Computed, correlate_parts, merged
from dedup.correlation.warm_up import compile_first
from dedup.errors import UsageError
from dedup.observer import Observer
from dedup.runner import Runner, Task
from dedup.settings import CompareSettings
from dedup.store.items import items_digest
from dedup.store.pairs import PAIR
from dedup.store.pitches import N_PITCHES
from dedup.store.results import TileResult
from dedup.store.tiles import Tile, count_tiles, kernel_version, plan_tiles, tile_name

if TYPE_CHECKING:
    from dedup.store.blocks import Block
    from dedup.store.store import Store

MODULES = ("numba", "dedup.correlation.tile")
"""What a worker imports before it can compare."""

COMMIT_EVERY_S = 1.0
"""Results wait about so long to be committed with others, unless the next is not expected by then: what a kill can
lose beside the work in flight."""

LONG_COST = 60 * FIRST_PACE
"""Steps of a pass from which it is said to take long: a minute or more."""


@dataclass(frozen=True)
class Correlation:
    """What a run of `correlate` did. `n_tiles = n_reused + n_computed + n_failed + n_left`."""

    n_tiles: int
    n_reused: int
    n_computed: int
    n_failed: int
    n_left: int
    """Not begun, because a stop was requested."""
    n_pairs_compared: int
    computing_s: float = field(default=0.0, compare=False)
    """Seconds that workers spent comparing, in all."""


def correlate(store: Store, settings: CompareSettings, runner: Runner, observer: Observer) -> Correlation:
    """Brings every tile of the store's blocks to a committed result under these settings, pass by pass. Plans twice,
    first to count and then, while it computes, to run: two million tiles would not fit into the launcher's memory."""
    store.seal_tail()
    blocks = store.catalog.blocks.sizes()
    n_tiles = count_tiles(len(blocks)) * len(settings.passes)
    works = [_Work.of(store, blocks, each) for each in settings.passes]
    n_reused = sum(work.n_done for work in works)
    held = {each: _blocks_held(store, blocks, each, runner) if n_reused < n_tiles else 0 for each in settings.passes}
    store.catalog.meta.set("compare", settings.record())
    for each in settings.passes:
        store.catalog.meta.set(f"compare {each.digest()}", each.record())
    for work in works:
        if work.n_done < len(work.done):
            _drop_tiles(store, work.done.difference(tile.name for tile in plan_tiles(blocks, work.settings)))
    observer.message(f"{n_reused:,} of {n_tiles:,} tiles already done")
    if n_reused < n_tiles:
        runner.prepare(1, MODULES)
        compile_first(settings, runner, observer)
    observer.stage("correlate", n_tiles - n_reused, "tiles")
    runs = []
    for work in works:
        kind = _OtherSpeeds if work.settings.stretched else _Run
        runs.append(kind(store, work.settings, settings, runner, observer, held[work.settings]))
        if work.n_left and not runner.stop.requested:
            if work.settings.stretched:
                _tell_of_other_speeds(store, work.total_cost, observer)
            band = band_of(held[work.settings], work.settings)
            left = (tile for tile in plan_tiles(blocks, work.settings, band) if tile.name not in work.done)
            size = group_size(held[work.settings], max(n for _, n in blocks.values()), work.settings)
            runs[-1].compute(left, work.cost, work.total_cost, groups_of(blocks, band, size))
    n_computed, n_failed = sum(run.n_computed for run in runs), sum(run.n_failed for run in runs)
    n_left = n_tiles - n_reused - n_computed - n_failed
    if n_left == 0 and measure_noise(store, settings, runner, observer) and n_failed == 0:
        store.catalog.meta.set("complete", completeness(blocks, settings))
    n_pairs, computing_s = sum(run.n_pairs_compared for run in runs), sum(run.computing_s for run in runs)
    return Correlation(n_tiles, n_reused, n_computed, n_failed, n_left, n_pairs, round(computing_s, 3))


@dataclass(frozen=True)
class _Work:
    """What there is to do in a pass."""

    settings: CompareSettings
    cost: Callable[[Tile], float]
    done: set[str]
    """Names of the tiles that have results, those of an older kernel too."""
    n_done: int
    """Tiles of today that have results."""
    n_left: int
    total_cost: float
    """Of the tiles that are left."""

    @classmethod
    def of(cls, store: Store, blocks: dict[str, tuple[int, int]], settings: CompareSettings) -> _Work:
        done = store.catalog.results.names(settings.digest())
        n_heard = store.catalog.pitches.per_block() if settings.stretched else {}
        cost, n_done, n_left, total_cost = tile_cost(blocks, settings, n_heard), 0, 0, 0.0
        for tile in plan_tiles(blocks, settings):
            if tile.name in done:
                n_done += 1
            else:
                n_left, total_cost = n_left + 1, total_cost + cost(tile)
        return cls(settings, cost, done, n_done, n_left, total_cost)


def memory_needed(store: Store, settings: CompareSettings) -> int:
    """Bytes that a worker must have to compare what is sealed in the store; 0 where nothing is."""
    sizes = store.catalog.blocks.sizes().values()
    if not sizes:
        return 0
    largest, longest = max(n_items for _, n_items in sizes), store.catalog.fingerprints.longest()
    return max(least_memory(len(sizes), largest, longest, each) for each in settings.passes)


def _tell_of_other_speeds(store: Store, cost: float, observer: Observer) -> None:
    if cost > LONG_COST:
        observer.message("now at other speeds; --no-varispeed leaves that out")
    if n_lacking := store.catalog.pitches.lacking():
        observer.message(
            f"{n_lacking:,} {'track was' if n_lacking == 1 else 'tracks were'} not heard at other pitches yet, which "
            "finds more copies at other speeds: `reprise full --again pitch` does it"
        )


@dataclass(frozen=True)
class Unfinished:
    """What a report would lack. If no tile is missing and no fingerprint waits, only the noise floor is not measured
    yet."""

    n_tiles: int
    """Tiles that the blocks of the store come to."""
    n_missing: int
    """Tiles without a result."""
    n_waiting: int
    """Fingerprints that are in no block yet."""


def unfinished(store: Store) -> Unfinished | None:
    """What was not compared under the settings of the last `correlate`; None where all was."""
    catalog = store.catalog
    settings, blocks = last_compare_settings(store), catalog.blocks.rows()
    n_waiting = catalog.fingerprints.tail_length()
    if not n_waiting and catalog.meta.get("complete") == completeness(blocks, settings):
        return None
    n_tiles = count_tiles(len(blocks)) * len(settings.passes)
    n_done = sum(catalog.results.count(each.digest()) for each in settings.passes)
    n_missing = max(0, n_tiles - n_done)
    return Unfinished(n_tiles, n_missing, n_waiting) if blocks or n_waiting else None


def last_compare_settings(store: Store) -> CompareSettings:
    """The settings of the store's last `correlate`; the defaults where there was none. Raises StoreDamagedError."""
    try:
        return CompareSettings(**store.catalog.meta.get("compare", {}))
    except (TypeError, UsageError) as error:
        raise store.catalog.meta.damage(f"the settings of the last comparison cannot be read ({error})") from error


def completeness(blocks: Iterable[str], settings: CompareSettings) -> str:
    """A digest of blocks, settings and kernel version; in the catalog's `meta` it says that each of their tiles has a
    result."""
    passes = (f"{each.digest()} {kernel_version(each)}" for each in settings.passes)
    text = " ".join([*passes, *sorted(blocks)])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _blocks_held(store: Store, sizes: dict[str, tuple[int, int]], settings: CompareSettings, runner: Runner) -> int:
    """How many blocks a worker may hold. Raises TooLittleMemoryError where these are too few."""
    largest, longest = max(n_items for _, n_items in sizes.values()), store.catalog.fingerprints.longest()
    return blocks_that_fit(runner.worker_memory_bytes, len(sizes), largest, longest, settings)


def _drop_tiles(store: Store, names: AbstractSet[str]) -> None:
    """Removes results that no tile of today asks for: those of an older kernel, whose pairs would be read twice."""
    with store.catalog.transaction():
        store.catalog.results.drop(sorted(names))


class _Run:
    """The computing of tiles; the only writer of their results."""

    worker: ClassVar[Callable[..., Computed]] = staticmethod(correlate_parts)
    """What a worker does with the parts of a batch."""

    def __init__(
        self,
        store: Store,
        settings: CompareSettings,
        first_pass: CompareSettings,
        runner: Runner,
        observer: Observer,
        n_held: int,
    ) -> None:
        self.store, self.settings, self.runner, self.observer = store, settings, runner, observer
        self.first_pass, self.digest = first_pass, settings.digest()
        self.n_computed = self.n_failed = self.n_pairs_compared = 0
        self.computing_s = 0.0
        self.n_held = n_held
        self.pace = Pace()
        self.in_flight: dict[str, Batch] = {}
        self.shares: dict[str, list[bytes]] = {}
        """Of tiles that are computed in shares: those that have come."""
        self.failed: set[str] = set()
        self.again: dict[str, Tile] = {}
        """Tiles of batches that failed: each runs once more by itself, to tell which of them it was."""
        self.waiting: list[TileResult] = []
        self.n_outcomes = 0
        self.began_at = self.committed_at = time.monotonic()

    def compute(
        self,
        tiles: Iterable[Tile],
        cost: Callable[[Tile], float],
        total_cost: float,
        groups: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        possible, n_workers = filter(self._is_possible, tiles), self.runner.n_workers
        self._run(plan_batches(possible, cost, total_cost, n_workers, self.pace, self.n_held, groups=groups))
        if self.again and not self.runner.stop.requested:
            tiles, self.again = list(self.again.values()), {}
            total_cost = sum(map(cost, tiles))
            self._run(plan_batches(tiles, cost, total_cost, self.runner.n_workers, self.pace, self.n_held, 1))

    def _is_possible(self, tile: Tile) -> bool:  # noqa: ARG002
        """Whether a tile can be computed; one that cannot has failed."""
        return True

    def _run(self, batches: Iterator[Batch]) -> None:
        outcomes = self.runner.run(self.worker, self._tasks(batches))
        try:
            for outcome in outcomes:
                self.n_outcomes += 1
                batch = self.in_flight.pop(outcome.name)
                if outcome.failure is not None:
                    self._fail(batch, outcome.failure)
                else:
                    self._keep(batch, outcome.result)
        finally:
            self._commit()

    def _tasks(self, batches: Iterable[Batch]) -> Iterator[Task]:
        shared = _SharedBlocks(self.store, self.runner, self.n_held, self._content)
        for batch in batches:
            self.in_flight[batch.name] = batch
            yield Task(
                batch.name, (self.settings, *self._beside(batch.tiles), batch.parts, *map(shared.get, batch.blocks))
            )

    def _beside(self, _: Sequence[Tile]) -> tuple[Any, ...]:
        """What the worker needs for the parts of these tiles beside settings, parts and blocks."""
        return (self.n_held,)

    def _content(self, block: Block) -> tuple[Any, ...]:
        """What a worker gets of a block."""
        return block.name, block.items, block.offsets

    def _fail(self, batch: Batch, failure: str) -> None:
        if len(batch.tiles) > 1:
            self.observer.message(f"{len(batch.tiles)} tiles failed together, each is tried by itself: {failure}")
            self.again |= {tile.name: tile for tile in batch.tiles if tile.name not in self.failed}
            for tile in batch.tiles:
                self.shares.pop(tile.name, None)
            return
        (tile,) = batch.tiles
        if tile.name not in self.failed:
            self.failed.add(tile.name)
            self.shares.pop(tile.name, None)
            self.n_failed += 1
            self.observer.message(f"tile {tile.name} failed and will be tried again by the next run: {failure}")
            self.observer.advance()

    def _keep(self, batch: Batch, computed: Computed) -> None:
        if any(computed.n_compared):
            self.pace.learn(batch.cost, computed.seconds)
        self.n_pairs_compared += sum(computed.n_compared)
        self.computing_s += computed.seconds
        for tile, part, pairs in zip(batch.tiles, batch.parts, computed.pairs, strict=True):
            if tile.name in self.failed or tile.name in self.again:
                continue
            shares = self.shares.setdefault(tile.name, [])
            shares.append(pairs)
            if len(shares) == part.n_shares:
                self.shares.pop(tile.name)
                self._put(tile, merged(shares) if len(shares) > 1 else pairs)
                self.observer.advance()
        now = time.monotonic()
        next_expected_at = now + (now - self.began_at) / self.n_outcomes
        if next_expected_at - self.committed_at > COMMIT_EVERY_S:
            self._commit()

    def _put(self, tile: Tile, pairs: bytes) -> None:
        n_pairs = len(pairs) // PAIR.itemsize
        self.waiting.append(TileResult(tile.name, self.digest, tile.block_a, tile.block_b, n_pairs, pairs))
        self.n_computed += 1

    def _commit(self) -> None:
        ready, self.waiting = self.waiting, []  # first: a signal in between must not commit them twice
        if ready:
            self.store.catalog.results.commit(ready)
        self.committed_at = time.monotonic()


class _OtherSpeeds(_Run):
    """The computing of tiles in the pass for other speeds, which leaves out what the first pass found to agree, and
    fails where that has failed."""

    worker = staticmethod(correlate_stretched)

    def _is_possible(self, tile: Tile) -> bool:
        is_done = self.store.catalog.results.has(self._first(tile))
        if not is_done:
            self.n_failed += 1
            self.observer.advance()
        return is_done

    def _beside(self, tiles: Sequence[Tile]) -> tuple[Any, ...]:
        found = (self.store.catalog.results.get(self._first(tile)) for tile in tiles)
        return self.n_held, [b"" if tile is None else tile.pairs for tile in found]

    def _content(self, block: Block) -> HeardBlock:
        """With the items at other pitches; none of a fingerprint whose row does not fit."""
        fingerprints = self.store.catalog.fingerprints.of_block(block.name)
        others = self.store.catalog.pitches.get_all(each.id for each in fingerprints)
        pitches, has = np.zeros((N_PITCHES, len(block.items)), np.uint32), np.zeros(block.n_rows, np.bool_)
        for each in fingerprints:
            items = others.get(each.id)
            if items is not None and items.shape[1] == each.n_items:
                pitches[:, block.offsets[each.row] : block.offsets[each.row + 1]] = items
                has[each.row] = True
        name = f"{block.name}-{items_digest(np.append(pitches, has)).hex()}"  # a worker keeps what it has under a name
        return name, block.items, block.offsets, pitches, has

    def _first(self, tile: Tile) -> str:
        """The name of the tile of these blocks in the first pass."""
        return tile_name(tile.block_a, tile.block_b, self.first_pass)


class _SharedBlocks:
    """Handles of the blocks that the tiles now planned need, the least recently used dropped: each block is read once
    a band, and never are more than `n_blocks` (and what is in flight) in memory."""

    def __init__(
        self, store: Store, runner: Runner, n_blocks: int, content: Callable[[Block], tuple[Any, ...]]
    ) -> None:
        self.store, self.runner, self.n_blocks, self.content = store, runner, n_blocks, content
        self.handles: OrderedDict[str, Any] = OrderedDict()

    def get(self, name: str) -> Any:
        if name in self.handles:
            self.handles.move_to_end(name)
        else:
            block = self.store.blocks.read(name)
            content = self.content(block)
            self.handles[name] = self.runner.share(content[0], content)
            if len(self.handles) > self.n_blocks:
                self.handles.popitem(last=False)
        return self.handles[name]
