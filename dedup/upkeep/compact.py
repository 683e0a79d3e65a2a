"""Compaction: merges small blocks and drops retired fingerprints; it carries results over and computes nothing.

A fingerprint is *retired* when no track holds it: its file is gone or changed. What a person said about it stays, since
a judgement refers to content (`judgements`), not to rows.

A merge puts whole blocks into one, so that each tile goes into one other tile. It writes the new block, then puts it in
the place of its sources, with all its tiles, in one transaction, and then removes the sources. After a kill at any
point, the catalog names either the sources or the merge, and the next writer removes what it does not name."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dedup.correlation.correlate import completeness, last_compare_settings
from dedup.errors import StoreDamagedError
from dedup.observer import Observer
from dedup.runner import Stop
from dedup.settings import CompareSettings
from dedup.store.blocks import make_block
from dedup.store.layout import Layout
from dedup.store.pairs import PAIR
from dedup.store.results import TileResult
from dedup.store.tiles import tile_name
from dedup.upkeep.carry import DROPPED, Source, carry_over
from dedup.upkeep.merges import BlockMerge, Use, plan_merges, plan_worthwhile
from dedup.upkeep.rows import compare_settings

if TYPE_CHECKING:
    from dedup.store.store import Store

KEPT_RUNS = 7
"""Fewest completed runs for which a retired fingerprint is kept: a folder excluded by mistake costs nothing if it is
back within a week of nightly runs."""


@dataclass
class Compaction:
    """What was done, or would be."""

    blocks_before: int
    blocks_after: int
    merged: int = 0
    """Blocks that were replaced."""
    dropped: int = 0
    """Retired fingerprints that were dropped."""
    tiles_carried: int = 0
    left: int = 0
    """Blocks that were not merged, since only some of their tiles are done and their results would be lost."""
    kept_for_now: int = 0
    """Retired fingerprints that stay."""


@dataclass(frozen=True)
class Compacted:
    """What was done to a store, or would be, and what it takes on the disk."""

    done: Compaction
    bytes_before: int
    bytes_after: int | None
    """Size of its files afterwards; None if nothing was to be changed."""


# ---- the ways to be called


def compact_store(
    *,
    folder: Path,
    open_store: Callable[[], contextlib.AbstractContextManager[Store]],
    observer: Observer,
    stop: Stop,
    dry_run: bool = False,
) -> Compacted:
    """Does `compact` with the store in `folder`, as `open_store` opens it, and measures it before and after."""
    layout = Layout(folder)
    with open_store() as store:
        bytes_before = layout.bytes_on_disk()
        done = compact(store, observer, stop, dry_run)
    return Compacted(done, bytes_before, None if dry_run else layout.bytes_on_disk())


def compact(store: Store, observer: Observer, stop: Stop, dry_run: bool = False) -> Compaction:
    """Merges small blocks and drops all retired fingerprints; with `dry_run` only reports what it would do. A stop ends
    it between two merges. Raises StoreDamagedError, WriteError; finished merges stay."""
    retired = store.catalog.fingerprints.retired()
    uses = _uses(store, retired)
    done = _carry_out(store, plan_merges(uses, store.block_size), retired.keys(), observer, stop, dry_run)
    done.kept_for_now = len(retired) - done.dropped
    if done.dropped and not dry_run:  # ids may be reused, so a dropped one must not age on
        store.catalog.meta.set("retired", Aging.of(None, store.catalog.fingerprints.retired().keys()).to_json())
    return done


def compact_if_it_pays(store: Store, observer: Observer, stop: Stop) -> Compaction | None:
    """Merges blocks if that pays, and drops fingerprints that were retired KEPT_RUNS completed runs ago if that pays;
    None if neither does. For the end of a completed run."""
    retired = store.catalog.fingerprints.retired()
    aging = Aging.of(store.catalog.meta.get("retired"), retired.keys())
    droppable = aging.fingerprints if aging.runs >= KEPT_RUNS else frozenset[int]()
    uses = _uses(store, {id_: block for id_, block in retired.items() if id_ in droppable})
    merges = plan_worthwhile(uses, store.block_size)
    done = _carry_out(store, merges, droppable, observer, stop) if merges else None
    if not stop.requested:
        if aging.runs >= KEPT_RUNS:
            aging = Aging.of(None, store.catalog.fingerprints.retired().keys())
        store.catalog.meta.set("retired", aging.to_json())
    if done is not None:
        done.kept_for_now = len(retired) - done.dropped
    return done


@dataclass(frozen=True)
class Aging:
    """Fingerprints that have been retired since a start, through every run that completed since then."""

    runs: int
    fingerprints: frozenset[int]

    @staticmethod
    def of(known: Any, retired: AbstractSet[int]) -> Aging:
        """The aging in `meta`, one run later; a new start with all retired fingerprints if `meta` has no sound one."""
        try:
            runs, ranges = int(known["runs"]), [(int(first), int(last)) for first, last in known["fingerprints"]]
        except (TypeError, KeyError, ValueError):
            return Aging(0, frozenset(retired))
        first_id, last_id = min(retired, default=0), max(retired, default=-1)
        ids = (id_ for first, last in ranges for id_ in range(max(first, first_id), min(last, last_id) + 1))
        return Aging(runs + 1, frozenset(id_ for id_ in ids if id_ in retired))

    def to_json(self) -> dict[str, Any]:
        """The aging in JSON types; each range of consecutive ids is one pair, since fingerprints that retire together
        were mostly scanned together."""
        ranges: list[list[int]] = []
        for id_ in sorted(self.fingerprints):
            if ranges and ranges[-1][1] == id_ - 1:
                ranges[-1][1] = id_
            else:
                ranges.append([id_, id_])
        return {"runs": self.runs, "fingerprints": ranges}


def _uses(store: Store, droppable: Mapping[int, str]) -> list[Use]:
    dropped: dict[str, int] = {}
    for block in droppable.values():
        dropped[block] = dropped.get(block, 0) + 1
    return [Use(name, n_rows, dropped.get(name, 0)) for name, n_rows in store.catalog.blocks.rows().items()]


# ---- doing


def _carry_out(
    store: Store,
    merges: Sequence[BlockMerge],
    droppable: AbstractSet[int],
    observer: Observer,
    stop: Stop,
    dry_run: bool = False,
) -> Compaction:
    """Carries out merges, except those that would lose results. Each is one transaction and leaves a sound store."""
    n_blocks = len(store.catalog.blocks.rows())
    done = Compaction(n_blocks, n_blocks)
    settings = _recorded_settings(store)
    if not dry_run:
        observer.stage("compact", sum(len(merge) for merge in merges), "blocks")
    for merge in merges:
        if stop.requested:
            break
        if _would_lose_results(store, merge):
            done.left += len(merge)
        else:
            done.merged += len(merge)
            done.dropped += sum(use.n_dropped for use in merge)
            done.blocks_after += any(use.n_kept for use in merge) - len(merge)
            if not dry_run:
                done.tiles_carried += _Merging(store, merge, droppable, settings).run()
        if not dry_run:
            observer.advance(len(merge))
    if done.merged and not dry_run:
        store.catalog.shrink()
    return done


def _recorded_settings(store: Store) -> list[CompareSettings]:
    """The settings of all results. Raises StoreDamagedError for results whose settings are not recorded: they cannot be
    distinguished from damage, and would be lost."""
    meta, settings = store.catalog.meta.read(), []
    for digest in store.catalog.results.settings():
        recorded = compare_settings(meta.get(f"compare {digest}"), digest)
        if recorded is None:
            raise StoreDamagedError(
                f"catalog {store.layout.catalog}",
                f"the comparison settings {digest} of its results are not recorded, or do not match their digest",
                remedy="Run `reprise check --repair`, then `reprise correlate`, which redoes only what is lost",
            )
        settings.append(recorded)
    return settings


def _would_lose_results(store: Store, merge: BlockMerge) -> bool:
    """Whether a tile of the merged block would replace tiles only some of which are done under the settings of the last
    `correlate`: then their results could not be carried over."""
    settings, blocks = last_compare_settings(store), store.catalog.blocks.rows()
    if store.catalog.meta.get("complete") == completeness(blocks, settings):
        return False
    sources = [use.name for use in merge]
    for partners, each in itertools.product(list(_partners(sources, blocks)), settings.passes):
        names = _source_tiles(sources, partners, each)
        if len({store.catalog.results.has(name) for name in names}) > 1:
            return True
    return False


def _partners(sources: Sequence[str], blocks: Iterable[str]) -> Iterator[Sequence[str]]:
    """The partners of a merged block: each other block, and itself."""
    merged = set(sources)
    yield from ([name] for name in blocks if name not in merged)
    yield sources


def _source_tiles(sources: Sequence[str], partners: Sequence[str], settings: CompareSettings) -> Iterator[str]:
    """Names of the tiles that go into the tile of the merge and its partners, each once."""
    if partners is sources:
        pairs: Iterable[tuple[str, str]] = itertools.combinations_with_replacement(sources, 2)
    else:
        pairs = itertools.product(sources, partners)
    return (tile_name(a, b, settings) for a, b in pairs)


@dataclass
class _Merging:
    """One merge: a new block in the place of its sources."""

    store: Store
    merge: BlockMerge
    droppable: AbstractSet[int]
    settings: Sequence[CompareSettings]
    sources: list[str] = field(init=False)
    rows: dict[str, npt.NDArray[np.int64]] = field(init=False, default_factory=dict)
    """New row of each row of each source, or `carry.DROPPED`."""
    kept: list[int] = field(init=False, default_factory=list)
    """Fingerprints by their new row."""
    dropped: list[int] = field(init=False, default_factory=list)
    name: str = field(init=False, default="")
    """Name of the new block; empty if nothing is kept."""
    blocks: dict[str, int] = field(init=False, default_factory=dict)
    """Rows of each block before the merge."""

    def run(self) -> int:
        """Carries out the merge; returns how many tiles of the new block have results."""
        self.sources = [use.name for use in self.merge]
        n_items = self._write()
        n_carried = self._commit(n_items)
        for name in self.sources:
            self.store.blocks.drop(name)
        return n_carried

    def _write(self) -> int:
        """Writes the new block, in the order in which a tail is sealed; returns its number of items."""
        catalog = self.store.catalog
        placed = []
        for name in self.sources:
            block, fingerprints = self.store.blocks.read(name), catalog.fingerprints.of_block(name)
            if [one.row for one in fingerprints] != list(range(block.n_rows)):
                raise _damaged(self.store, name)
            self.rows[name] = np.full(block.n_rows, DROPPED, np.int64)
            for row, fingerprint, digest, *_ in fingerprints:
                if fingerprint in self.droppable:
                    self.dropped.append(fingerprint)
                else:
                    items = block.row(row)
                    placed.append((len(items), digest, fingerprint, name, row, items))
        placed.sort(key=lambda one: one[:2])
        for new_row, (_, _, fingerprint, name, row, _) in enumerate(placed):
            self.kept.append(fingerprint)
            self.rows[name][row] = new_row
        if not placed:
            return 0
        new = make_block([items for *_, items in placed])
        self.store.blocks.write(new)
        self.name = new.name
        return len(new.items)

    def _commit(self, n_items: int) -> int:
        catalog, n_carried = self.store.catalog, 0
        self.blocks = blocks = catalog.blocks.rows()
        compare = last_compare_settings(self.store)
        was_complete = catalog.meta.get("complete") == completeness(blocks, compare)
        with catalog.transaction():
            if self.name:
                catalog.blocks.add(self.name, len(self.kept), n_items)
                catalog.fingerprints.move(self.name, self.kept)
                for result in self._results():
                    catalog.results.put(result)
                    n_carried += 1
            catalog.audios.drop_of(self.dropped)
            catalog.fingerprints.drop(self.dropped)
            catalog.results.drop_of(self.sources)
            catalog.blocks.drop(self.sources)
            if was_complete:
                catalog.meta.set("complete", completeness(catalog.blocks.rows(), compare))
        return n_carried

    def _results(self) -> Iterator[TileResult]:
        """The tiles of the new block whose sources are all done."""
        for settings in self.settings:
            for partners in _partners(self.sources, self.blocks):
                sources = []
                for name in _source_tiles(self.sources, partners, settings):
                    tile = self.store.catalog.results.get(name)
                    if tile is None:
                        break
                    if tile.pairs:  # most have none, and there may be very many
                        sources.append(tile)
                else:
                    yield self._carried(sources, partners, settings)

    def _carried(self, tiles: Sequence[TileResult], partners: Sequence[str], settings: CompareSettings) -> TileResult:
        other = self.name if partners is self.sources else partners[0]
        a, b = sorted((self.name, other))
        # if both blocks of a tile are merged, `swapped` does not count: rows alone decide the order
        pairs = carry_over(
            (
                Source(tile.pairs, self._rows(tile.block_a), self._rows(tile.block_b), self._now(tile.block_a) != a)
                for tile in tiles
            ),
            diagonal=a == b,
        )
        return TileResult(tile_name(a, b, settings), settings.digest(), a, b, len(pairs) // PAIR.itemsize, pairs)

    def _now(self, block: str) -> str:
        """The block that now holds the rows of `block`."""
        return self.name if block in self.rows else block

    def _rows(self, block: str) -> npt.NDArray[np.int64]:
        if block not in self.rows:  # a partner, whose rows stay
            return np.arange(self.blocks[block], dtype=np.int64)
        return self.rows[block]


def _damaged(store: Store, block: str) -> StoreDamagedError:
    return StoreDamagedError(
        f"block {block} of store {store.layout.folder}",
        "the catalog does not know each of its rows once",
        remedy="Run `reprise check --repair`, then `reprise full`, which redoes only what is lost",
    )
