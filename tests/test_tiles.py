"""Tiles are planned from names alone: each pair once, under a name that nothing but blocks and settings decide."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.settings import CompareSettings
from dedup.store import tiles
from dedup.store.tiles import BAND_BLOCKS, count_tiles, plan_tiles, tile_name

SETTINGS = CompareSettings()
NAMES = st.sets(st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}"), max_size=40)
SOME_NAMES = [hashlib.blake2b(bytes([i]), digest_size=16).hexdigest() for i in range(3 * BAND_BLOCKS + 1)]


@given(NAMES)
def test_every_unordered_pair_once(names: set[str]) -> None:
    plan = list(plan_tiles(names, SETTINGS))
    pairs = [(tile.block_a, tile.block_b) for tile in plan]
    assert sorted(pairs) == list(itertools.combinations_with_replacement(sorted(names), 2))
    assert len({tile.name for tile in plan}) == len(plan) == count_tiles(len(names))
    assert all(tile.name == tile_name(tile.block_a, tile.block_b, SETTINGS) for tile in plan)


@given(st.permutations(SOME_NAMES))
def test_the_order_of_the_blocks_does_not_matter(names: list[str]) -> None:
    assert list(plan_tiles(names, SETTINGS)) == list(plan_tiles(SOME_NAMES, SETTINGS))


@given(NAMES, NAMES)
def test_more_blocks_add_tiles_and_keep_the_old_ones(old: set[str], new: set[str]) -> None:
    before, after = set(plan_tiles(old, SETTINGS)), set(plan_tiles(old | new, SETTINGS))
    assert before <= after
    assert all({tile.block_a, tile.block_b} & (new - old) for tile in after - before)


def test_a_name_is_a_function_of_blocks_settings_and_kernel_version(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = SOME_NAMES[:2]
    name = tile_name(a, b, SETTINGS)
    text = " ".join([*sorted((a, b)), SETTINGS.digest(), str(tiles.KERNEL_VERSION)])
    assert name == tile_name(b, a, SETTINGS) == hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    others = [
        replace(SETTINGS, max_lag=301),
        replace(SETTINGS, min_overlap=0.5),
        replace(SETTINGS, min_overlap_items=81),
    ]
    names = {name, tile_name(a, a, SETTINGS), *(tile_name(a, b, other) for other in others)}
    monkeypatch.setattr(tiles, "KERNEL_VERSION", tiles.KERNEL_VERSION + 1)
    assert len(names | {tile_name(a, b, SETTINGS)}) == 6


def test_another_join_makes_other_names_for_its_own_tiles_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = [CompareSettings(method) for method in ("join", "cascade", "exact")]
    before = [tile_name(*SOME_NAMES[:2], method) for method in methods]
    monkeypatch.setattr(tiles, "JOIN_VERSION", tiles.JOIN_VERSION + 1)
    after = [tile_name(*SOME_NAMES[:2], method) for method in methods]
    assert before[0] != after[0]
    assert before[1:] == after[1:]


def test_names_do_not_change_between_releases() -> None:
    # Else every store would compute everything again; then KERNEL_VERSION says so and this line changes.
    assert tile_name("0" * 32, "f" * 32, CompareSettings("exact", 300, 0.5)) == "bbd64ce25474cca47c8e3a0f3bde32c4"


@pytest.mark.parametrize(("n_blocks", "n_tiles"), [(0, 0), (1, 1), (2, 3), (8, 36), (9, 45), (2000, 2_001_000)])
def test_count_tiles(n_blocks: int, n_tiles: int) -> None:
    assert count_tiles(n_blocks) == n_tiles


def test_who_holds_a_band_and_two_columns_loads_each_block_once_a_band() -> None:
    n_loads, held = 0, []
    for tile in plan_tiles(SOME_NAMES, SETTINGS):
        for block in (tile.block_a, tile.block_b):
            if block in held:
                held.remove(block)
            else:
                n_loads += 1
            held = [*held, block][-(BAND_BLOCKS + 2) :]
    assert n_loads <= sum(len(SOME_NAMES) - band for band in range(0, len(SOME_NAMES), BAND_BLOCKS))
