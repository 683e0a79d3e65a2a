"""Compares what was not compared yet: plans the tiles, drops those that are done, runs the rest, commits results."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from dedup.correlation.batches import (
    Batch,
    Pace,
    band_of,
    blocks_that_fit,
    least_memory,
    plan_batches,
    tile_cost,
)
from dedup.correlation.noise import measure_noise
from dedup.correlation.tile import Computed, correlate_parts, merged
from dedup.correlation.warm_up import compile_first
from dedup.errors import UsageError
from dedup.observer import Observer
from dedup.runner import Runner, Task
from dedup.settings import CompareSettings
from dedup.store.pairs import PAIR
from dedup.store.results import TileResult
from dedup.store.tiles import Tile, count_tiles, kernel_version, plan_tiles

if TYPE_CHECKING:
    from dedup.store.store import Store

COMMIT_EVERY_S = 1.0
"""Results wait about so long to be committed with others, unless the next is not expected by then: what a kill can
lose beside the work in flight."""


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
    """Brings every tile of the store's blocks to a committed result under these settings. Plans twice, first to count
    and then, while it computes, to run: two million tiles would not fit into the launcher's memory."""
    store.seal_tail()
    blocks = store.catalog.blocks.sizes()
    done = store.catalog.results.names(settings.digest())
    n_tiles = count_tiles(len(blocks))
    cost = tile_cost(blocks, settings)
    n_reused, total_cost = 0, 0.0
    for tile in plan_tiles(blocks, settings):
        if tile.name in done:
            n_reused += 1
        else:
            total_cost += cost(tile)
    n_held = _blocks_held(store, blocks, settings, runner) if n_reused < n_tiles else 0
    store.catalog.meta.set("compare", asdict(settings))
    store.catalog.meta.set(f"compare {settings.digest()}", asdict(settings))
    if n_reused < len(done):
        _drop_tiles(store, done.difference(tile.name for tile in plan_tiles(blocks, settings)))
    observer.message(f"{n_reused:,} of {n_tiles:,} tiles already done")
    if n_reused < n_tiles:
        compile_first(settings, runner, observer)
    observer.stage("correlate", n_tiles - n_reused, "tiles")
    run = _Run(store, settings, runner, observer, n_held)
    if n_reused < n_tiles:
        left = (tile for tile in plan_tiles(blocks, settings, band_of(n_held, settings)) if tile.name not in done)
        run.compute(left, cost, total_cost)
    n_left = n_tiles - n_reused - run.n_computed - run.n_failed
    if n_left == 0 and measure_noise(store, settings, runner, observer) and run.n_failed == 0:
        store.catalog.meta.set("complete", completeness(blocks, settings))
    return Correlation(
        n_tiles, n_reused, run.n_computed, run.n_failed, n_left, run.n_pairs_compared, round(run.computing_s, 3)
    )


def memory_needed(store: Store, settings: CompareSettings) -> int:
    """Bytes that a worker must have to compare what is sealed in the store; 0 where nothing is."""
    sizes = store.catalog.blocks.sizes().values()
    if not sizes:
        return 0
    largest = max(n_items for _, n_items in sizes)
    return least_memory(len(sizes), largest, store.catalog.fingerprints.longest(), settings)


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
    n_tiles = count_tiles(len(blocks))
    n_missing = max(0, n_tiles - catalog.results.count(settings.digest()))
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
    text = " ".join([settings.digest(), kernel_version(settings), *sorted(blocks)])
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

    def __init__(
        self, store: Store, settings: CompareSettings, runner: Runner, observer: Observer, n_held: int
    ) -> None:
        self.store, self.settings, self.runner, self.observer = store, settings, runner, observer
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

    def compute(self, tiles: Iterable[Tile], cost: Callable[[Tile], float], total_cost: float) -> None:
        self._run(plan_batches(tiles, cost, total_cost, self.runner.n_workers, self.pace, self.n_held))
        if self.again and not self.runner.stop.requested:
            tiles, self.again = list(self.again.values()), {}
            total_cost = sum(map(cost, tiles))
            self._run(plan_batches(tiles, cost, total_cost, self.runner.n_workers, self.pace, self.n_held, 1))

    def _run(self, batches: Iterator[Batch]) -> None:
        outcomes = self.runner.run(correlate_parts, self._tasks(batches))
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
        shared = _SharedBlocks(self.store, self.runner, self.n_held)
        for batch in batches:
            self.in_flight[batch.name] = batch
            yield Task(batch.name, (self.settings, self.n_held, batch.parts, *map(shared.get, batch.blocks)))

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
                self._put(tile, merged(self.shares.pop(tile.name)))
                self.observer.advance()
        now = time.monotonic()
        next_expected_at = now + (now - self.began_at) / self.n_outcomes
        if next_expected_at - self.committed_at > COMMIT_EVERY_S:
            self._commit()

    def _put(self, tile: Tile, pairs: bytes) -> None:
        n_pairs = len(pairs) // PAIR.itemsize
        self.waiting.append(TileResult(tile.name, self.settings.digest(), tile.block_a, tile.block_b, n_pairs, pairs))
        self.n_computed += 1

    def _commit(self) -> None:
        ready, self.waiting = self.waiting, []  # first: a signal in between must not commit them twice
        if ready:
            self.store.catalog.results.commit(ready)
        self.committed_at = time.monotonic()


class _SharedBlocks:
    """Handles of the blocks that the tiles now planned need, the least recently used dropped: each block is read once
    a band, and never are more than `n_blocks` (and what is in flight) in memory."""

    def __init__(self, store: Store, runner: Runner, n_blocks: int) -> None:
        self.store, self.runner, self.n_blocks = store, runner, n_blocks
        self.handles: OrderedDict[str, Any] = OrderedDict()

    def get(self, name: str) -> Any:
        if name in self.handles:
            self.handles.move_to_end(name)
        else:
            block = self.store.blocks.read(name)
            self.handles[name] = self.runner.share(name, (name, block.items, block.offsets))
            if len(self.handles) > self.n_blocks:
                self.handles.popitem(last=False)
        return self.handles[name]
