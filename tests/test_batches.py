"""Tiles are dealt out whole, in order, none twice, in tasks of about a second."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.correlation import batches
from dedup.correlation.batches import (
    FEWEST_BLOCKS,
    FIRST_PACE,
    GROUP_BLOCKS,
    GROUP_ITEMS,
    JOIN_BAND,
    JOIN_BLOCKS,
    LONGEST_TASK_S,
    MOST_BLOCKS,
    MOST_SHARES,
    MOST_TILES,
    SORTING_BYTES,
    STEPS_A_PAIR,
    TASK_S,
    USABLE_SHARE,
    Batch,
    Pace,
    band_of,
    blocks_that_fit,
    blocks_wanted,
    group_size,
    groups_of,
    pair_steps,
    plan_batches,
    tile_cost,
    worker_bytes,
)
from dedup.correlation.sampling import BASE_LAG, BASE_OVERLAP, LAG_STEP, ROWS
from dedup.correlation.tile import Part
from dedup.errors import TooLittleMemoryError
from dedup.settings import METHODS, CompareSettings
from dedup.store.tiles import BAND_BLOCKS, Tile, count_tiles, plan_tiles
from tests import naive

EXACT, CASCADE, JOIN = (CompareSettings(each, varispeed=False) for each in ("exact", "cascade", "join"))
A_LITTLE = 1 + 1e-9


def library(n_blocks: int) -> list[Tile]:
    return list(plan_tiles([f"{number:032x}" for number in range(n_blocks)], EXACT))


def taking(seconds: list[float]) -> Callable[[Tile], float]:
    """Tiles take these in turn, at the first pace."""
    return lambda tile: FIRST_PACE * seconds[(int(tile.block_a, 16) + int(tile.block_b, 16)) % len(seconds)]


PLANS = st.tuples(
    st.integers(0, 30).map(library),
    st.lists(st.one_of(st.floats(1e-6, 0.02), st.floats(0.02, 60)), min_size=1, max_size=9).map(taking),
    st.sampled_from([1, 2, 7, 64]),
)
Plan = tuple[list[Tile], Callable[[Tile], float], int]


def batches_of(plan: Plan, pace: Pace | None = None, most_blocks: int = MOST_BLOCKS) -> list[Batch]:
    tiles, cost, n_workers = plan
    return list(plan_batches(iter(tiles), cost, sum(map(cost, tiles)), n_workers, pace or Pace(), most_blocks))


# ---- the plan ----


@settings(max_examples=50)
@given(PLANS, st.integers(FEWEST_BLOCKS, MOST_BLOCKS))
def test_every_tile_is_in_the_plan_once_and_in_order(plan: Plan, most_blocks: int) -> None:
    tiles, cost, _ = plan
    planned = batches_of(plan, most_blocks=most_blocks)
    dealt = [pair for batch in planned for pair in zip(batch.tiles, batch.parts, strict=True)]
    in_turn = [
        (tile, [part for _, part in group]) for tile, group in itertools.groupby(dealt, key=lambda pair: pair[0])
    ]
    assert [tile for tile, _ in in_turn] == tiles
    for _, parts in in_turn:
        n_shares = parts[0].n_shares
        assert [(part.share, part.n_shares) for part in parts] == [(share, n_shares) for share in range(n_shares)]
    for batch in planned:
        for tile, part in zip(batch.tiles, batch.parts, strict=True):
            assert (batch.blocks[part.a], batch.blocks[part.b]) == (tile.block_a, tile.block_b)
        assert set(batch.blocks) == {name for tile in batch.tiles for name in (tile.block_a, tile.block_b)}
        assert len(batch.blocks) == len(set(batch.blocks)) <= most_blocks
        assert 1 <= len(batch.tiles) <= MOST_TILES
        assert batch.cost == pytest.approx(
            sum(cost(tile) / part.n_shares for tile, part in zip(batch.tiles, batch.parts, strict=True))
        )
    assert len({batch.name for batch in planned}) == len(planned)


@settings(max_examples=50)
@given(
    st.integers(0, 40),
    st.lists(st.floats(1e-4, 0.1), min_size=1, max_size=9).map(taking),
    st.integers(2, 20),
    st.integers(1, 8),
    st.sets(st.integers(0, 800)),
    st.integers(1, 12),
)
def test_groups(
    n_blocks: int, cost: Callable[[Tile], float], band: int, size: int, done: set[int], columns: int
) -> None:
    """Whatever is done already: at least half of a group is asked for, and all its blocks come with the batch."""
    size = min(size, band)
    names = [f"{number:032x}" for number in range(n_blocks)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "COLUMNS_A_BLOCK", columns)
        groups = groups_of(names, band, size)
    is_grouped = size > 1 and n_blocks >= 2 * columns
    assert sorted({name for group in groups.values() for name in group}) == (names if is_grouped else [])
    assert all(len(group) <= size and name in group for name, group in groups.items())
    tiles = [tile for number, tile in enumerate(plan_tiles(names, JOIN, band)) if number not in done]
    planned = list(plan_batches(tiles, cost, sum(map(cost, tiles)), 2, Pace(), band + 2, groups=groups))
    assert [tile for batch in planned for tile in batch.tiles] == tiles
    for batch in planned:
        assert len(batch.blocks) == len(set(batch.blocks)) <= band + 2
        asked: dict[tuple[int, ...], set[int]] = {}
        for tile, part in zip(batch.tiles, batch.parts, strict=True):
            assert (batch.blocks[part.a], batch.blocks[part.b]) == (tile.block_a, tile.block_b)
            if part.group:
                assert tuple(batch.blocks[place] for place in part.group) == groups[tile.block_a]
                assert part.a in part.group and part.a != part.b and part.n_shares == 1
                asked.setdefault(part.group, set()).add(part.a)
        assert all(2 * len(own) >= len(group) > 1 for group, own in asked.items())
    if band >= 16 and size >= 6 and n_blocks >= 30 and columns == 1 and not done:
        grouped = sum(bool(part.group) for batch in planned for part in batch.parts)
        assert grouped > len(tiles) / 2


def test_groups_are_no_larger_than_memory_allows() -> None:
    assert group_size(JOIN_BLOCKS, 1000, CASCADE) == 1
    sizes = [group_size(n_held, n_items, JOIN) for n_held, n_items in ((80, 1000), (80, 10**6), (80, 10**8), (4, 1000))]
    assert sizes == [GROUP_BLOCKS, GROUP_ITEMS // 10**6, 1, 2]
    assert worker_bytes(80, 10**6, 1000, JOIN) - worker_bytes(1, 10**6, 1000, JOIN) > 8 * 10**6 * SORTING_BYTES


@settings(max_examples=50)
@given(PLANS)
def test_no_task_takes_too_long_and_what_is_left_is_divided_among_workers(plan: Plan) -> None:
    tiles, cost, n_workers = plan
    longest, smallest = LONGEST_TASK_S * FIRST_PACE, LONGEST_TASK_S / 8 * FIRST_PACE
    left = {}
    remaining = sum(map(cost, tiles))
    for tile in tiles:
        left[tile.name] = remaining
        remaining -= cost(tile)
    for batch in batches_of(plan):
        assert batch.cost <= A_LITTLE * longest
        a_workers = left[batch.tiles[0].name] / (3 * n_workers)
        assert batch.cost <= 1.5 * A_LITTLE * max(smallest, min(a_workers, TASK_S * FIRST_PACE)) + 1


def test_small_tiles_go_together_for_about_as_long_as_a_task_should_last() -> None:
    planned = batches_of((library(60), taking([0.1]), 2))
    early = [batch.cost / FIRST_PACE for batch in planned[: len(planned) // 2]]
    assert early == pytest.approx([TASK_S] * len(early), abs=0.051)
    assert len(early) > 20
    tiny = batches_of((library(40), taking([1e-5]), 2))
    assert max(len(batch.tiles) for batch in tiny) > 50


@pytest.mark.parametrize("most_tiles", [1, 7, 100])
def test_no_more_tiles_than_may_be(monkeypatch: pytest.MonkeyPatch, most_tiles: int) -> None:
    monkeypatch.setattr(batches, "MOST_TILES", most_tiles)
    planned = batches_of((library(20), taking([1e-3]), 1))
    assert max(len(batch.tiles) for batch in planned) <= most_tiles
    assert sum(len(batch.tiles) for batch in planned) == count_tiles(20)


def test_a_large_tile_is_computed_by_all_workers() -> None:
    (batch_tile,) = tiles = library(1)
    planned = batches_of((tiles, taking([100.0]), 8))
    assert len(planned) >= 3 * 8
    assert {batch.tiles for batch in planned} == {(batch_tile,)}
    n = len(planned)
    assert [batch.parts for batch in planned] == [(Part(0, 0, share, n),) for share in range(n)]
    assert {batch.name for batch in planned} == {f"{batch_tile.name}-{share + 1}-of-{n}" for share in range(n)}
    (whole,) = batches_of((tiles, taking([0.1]), 8))
    assert whole.name == batch_tile.name


def test_the_last_tasks_are_small() -> None:
    planned = batches_of((library(40), taking([0.05]), 4))
    assert sum(batch.cost for batch in planned[-4:]) <= 4 * 0.3 * FIRST_PACE


@pytest.mark.parametrize("slower", [1, 20, 500])
def test_the_plan_goes_by_the_pace_of_now(slower: float) -> None:
    tiles, pace = library(30), Pace()
    cost = taking([0.05])
    seconds = []
    for batch in plan_batches(tiles, cost, sum(map(cost, tiles)), 2, pace):
        seconds.append(batch.cost * slower / FIRST_PACE)
        pace.learn(batch.cost, seconds[-1])
    assert max(seconds[len(seconds) // 2 :]) <= 1.1 * LONGEST_TASK_S
    assert sum(seconds) == pytest.approx(count_tiles(30) * 0.05 * slower)


# ---- the pace ----


@given(st.floats(1e6, 1e13), st.lists(st.floats(0.3, 4), min_size=1, max_size=9))
def test_the_pace_becomes_what_was_measured(steps_a_second: float, seconds: list[float]) -> None:
    pace = Pace()
    assert pace.steps_a_second == FIRST_PACE
    off = []
    for task_s in itertools.islice(itertools.cycle(seconds), 200):
        pace.learn(task_s * steps_a_second, task_s)
        off.append(abs(pace.steps_a_second - steps_a_second))
    assert pace.steps_a_second == pytest.approx(steps_a_second, rel=1e-3)
    assert all(later <= A_LITTLE * earlier + 1 for earlier, later in itertools.pairwise(off))


def test_the_pace_follows_a_change() -> None:
    pace = Pace()
    for _ in range(50):
        pace.learn(1e9, 1.0)
    for _ in range(50):
        pace.learn(9e9, 1.0)
    assert pace.steps_a_second == pytest.approx(9e9, rel=0.01)


# ---- the cost ----

LENGTH = st.integers(100, 2000)
OVERLAP = st.sampled_from([0.01, 0.1, 0.25, 0.5, 1.0])
LIMIT = st.one_of(st.none(), st.integers(0, 2500))


def steps(n_a: int, n_b: int, compare: CompareSettings) -> int:
    """Of an exact comparison, counted."""
    required = naive.required_overlap(n_a, n_b, compare.min_overlap, 1)
    lags = range(max(-compare.lag_limit, required - n_b), min(compare.lag_limit, n_a - required) + 1)
    return sum(min(n_a - lag, n_b) - max(0, -lag) for lag in lags)


@given(LENGTH, OVERLAP, st.one_of(st.none(), st.floats(0, 0.4)))
def test_steps_of_two_of_one_length(n_items: int, min_overlap: float, limit: float | None) -> None:
    max_lag = None if limit is None else int(limit * n_items)
    compare = replace(EXACT, max_lag=max_lag, min_overlap=min_overlap, min_overlap_items=1)
    assert pair_steps(n_items, n_items, compare) == pytest.approx(steps(n_items, n_items, compare), rel=0.25)


@given(LENGTH, LENGTH, OVERLAP, LIMIT)
def test_steps_of_any_two(n_a: int, n_b: int, min_overlap: float, max_lag: int | None) -> None:
    compare = replace(EXACT, max_lag=max_lag, min_overlap=min_overlap, min_overlap_items=1)
    predicted = pair_steps(n_a, n_b, compare)
    assert predicted == pair_steps(n_b, n_a, compare)
    assert 0.5 <= predicted / steps(n_a, n_b, compare) <= 2


@given(LENGTH, LENGTH, OVERLAP, LIMIT)
def test_steps_of_the_cascade(n_a: int, n_b: int, min_overlap: float, max_lag: int | None) -> None:
    compare = CompareSettings(varispeed=False, max_lag=max_lag, min_overlap=min_overlap)
    predicted = pair_steps(n_a, n_b, compare)
    assert predicted == pair_steps(n_b, n_a, compare)
    wide = replace(compare, max_lag=max(compare.lag_limit, BASE_LAG) if max_lag is not None else None)
    all_steps = steps(n_a, n_b, replace(wide, min_overlap=min(min_overlap, BASE_OVERLAP)))
    thinned = naive.item_step(min(n_a, n_b), LAG_STEP, ROWS)
    assert 0.4 <= predicted / (all_steps / (LAG_STEP * thinned)) <= 2.5


@pytest.mark.parametrize("method", METHODS)
def test_the_cost_of_a_tile_is_that_of_its_pairs(method: str) -> None:
    compare = CompareSettings(method, varispeed=False)
    cost = tile_cost({"a": (10, 9480), "b": (20, 6000), "c": (1, 500)}, compare, {})
    each = STEPS_A_PAIR + pair_steps(948, 300, compare)
    assert cost(Tile("", "a", "b")) == pytest.approx(200 * each)
    assert cost(Tile("", "a", "a")) == pytest.approx(45 * (STEPS_A_PAIR + pair_steps(948, 948, compare)))
    assert cost(Tile("", "c", "c")) == 0
    assert cost(Tile("", "a", "b")) == cost(Tile("", "b", "a"))


# ---- memory ----


@given(
    st.integers(1 << 28, 1 << 36),
    st.integers(1, 100),
    st.integers(1, 10**9),
    st.integers(1, 10**6),
    st.sampled_from([EXACT, CASCADE, JOIN, replace(EXACT, max_lag=300)]),
)
def test_as_many_blocks_as_fit(
    limit: int, n_blocks: int, largest_items: int, longest_items: int, compare: CompareSettings
) -> None:
    def fits(n_held: int) -> bool:
        return worker_bytes(min(n_held, n_blocks), largest_items, longest_items, compare) <= USABLE_SHARE * limit

    arguments = (n_blocks, largest_items, longest_items, compare)
    assert blocks_that_fit(None, *arguments) == blocks_wanted(compare)
    if not fits(FEWEST_BLOCKS):
        with pytest.raises(TooLittleMemoryError, match=f"{limit >> 20:,} MiB; expected at least"):
            blocks_that_fit(limit, *arguments)
        return
    n_held = blocks_that_fit(limit, *arguments)
    assert fits(n_held)
    assert n_held == blocks_wanted(compare) or (FEWEST_BLOCKS <= n_held < n_blocks and not fits(n_held + 1))


def test_a_band_leaves_room_for_columns() -> None:
    sizes = 2, 3, 4, 31, MOST_BLOCKS, 1000
    assert [band_of(n_held, CASCADE) for n_held in sizes] == [1, 1, 2, 15, BAND_BLOCKS, BAND_BLOCKS]
    assert [band_of(n_held, JOIN) for n_held in (3, 4, 31, JOIN_BLOCKS, 1000)] == [1, 2, 25, JOIN_BAND, JOIN_BAND]
    assert blocks_wanted(JOIN) == JOIN_BLOCKS > JOIN_BAND


def test_shares_are_bounded() -> None:
    compare = CompareSettings("exact", varispeed=False)
    cost = tile_cost({"a": (4096, 4096 * 100_000)}, compare, {})
    tile = Tile("t", "a", "a")
    planned = list(plan_batches([tile], cost, cost(tile), 2, Pace(steps=1.0, seconds=1.0)))
    assert [batch.parts[0].share for batch in planned] == list(range(MOST_SHARES))


def test_a_narrow_comparison_needs_less_memory() -> None:
    assert worker_bytes(3, 1000, 10**6, replace(EXACT, max_lag=10)) < worker_bytes(3, 1000, 10**6, EXACT)
    assert worker_bytes(3, 10**8, 1000, CASCADE) < worker_bytes(3, 10**8, 1000, EXACT)
