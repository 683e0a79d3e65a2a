"""A block side by side, and its lag curves: the same as its fingerprints one by one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dedup.correlation import kernels
from dedup.correlation.emit import LANES
from dedup.correlation.lanes import PADDING, Lanes, lane_curve, pack, row_spans, sort_key
from dedup.correlation.llvm import LAGS
from dedup.correlation.sampling import LAG_STEP, ROWS
from dedup.store.blocks import make_block
from dedup.store.items import Items
from tests import naive, stores

EXACT, CASCADE = (1, 0), (LAG_STEP, ROWS)
STEPS = st.sampled_from([EXACT, CASCADE, (1, 4), (2, 3), (3, 5), (4, 0), (8, 1), (5, 0)])
LENGTHS = [0, 1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 64]
LENGTH = st.one_of(st.sampled_from(LENGTHS), st.integers(0, 70))


def rows_of(lengths: Sequence[int], seed: int = 0) -> list[Items]:
    return [stores.recording(1000 * seed + number, n_items) for number, n_items in enumerate(lengths)]


FINGERPRINTS = st.builds(rows_of, st.lists(LENGTH, min_size=1, max_size=40), st.integers(0, 9))
FEW_ITEMS = st.lists(st.sampled_from([0, 1, 2**31, 2**32 - 1]), max_size=3).map(lambda row: np.array(row, np.uint32))


def packed(rows: Sequence[Items], lag_step: int, rows_aimed_at: int) -> Lanes:
    block = make_block(rows)
    return pack(block.items, block.offsets, lag_step, rows_aimed_at)[0]


def curve_of(x: Lanes, position: int, y: Lanes, group: int, lowest: int, highest: int) -> npt.NDArray[np.uint32]:
    """`[n_lags, lanes of the group]`."""
    n_lags = highest - lowest + 1
    spans, curve = np.full((2, n_lags + LAGS - 1), 99, np.int32), np.full((n_lags + LAGS - 1, LANES), 99, np.uint32)
    lane_curve(x, position, y, group, lowest, highest, spans, curve, LANES)
    return curve[:n_lags, : y.first[group + 1] - y.first[group]]


# ---- pack ----


@given(st.one_of(FINGERPRINTS, st.lists(FEW_ITEMS, min_size=1, max_size=20)), STEPS)
def test_order_and_groups(rows: list[Items], steps: tuple[int, int]) -> None:
    block = make_block(rows)
    lanes, keys = pack(block.items, block.offsets, *steps)
    plain = [row.tolist() for row in rows]
    order = naive.lane_order(plain)
    assert lanes.order.tolist() == order
    assert keys == [sort_key(rows[row]) for row in order] == sorted(keys)
    n_items = [len(plain[row]) for row in order]
    assert lanes.n_items.tolist() == n_items
    item_steps = [naive.item_step(n, *steps) for n in n_items]
    first = naive.lane_groups(item_steps)
    assert lanes.first.tolist() == first
    assert [steps[0] << shift for shift in lanes.shift.tolist()] == [item_steps[position] for position in first[:-1]]


@given(FEW_ITEMS, FEW_ITEMS)
@example(np.array([1], np.uint32), np.array([256], np.uint32))  # by value, whatever the order of the bytes
def test_of_two_the_greater_key_is_x(a: Items, b: Items) -> None:
    assert (sort_key(a) < sort_key(b)) is naive.is_swapped(a.tolist(), b.tolist())
    assert (sort_key(a) == sort_key(b)) is np.array_equal(a, b)


@given(FINGERPRINTS, STEPS)
def test_every_item_that_counts_stands_in_its_lane(rows: list[Items], steps: tuple[int, int]) -> None:
    lanes = packed(rows, *steps)
    for group, (first, last) in enumerate(itertools.pairwise(lanes.first)):
        expected = [rows[row][:: steps[0] << lanes.shift[group]].tolist() for row in lanes.order[first:last]]
        n_rows = [len(lane) for lane in expected]
        assert lanes.lane_rows[group].tolist() == n_rows + [n_rows[-1]] * (LANES - len(n_rows))
        assert lanes.n_full[group] == min(n_rows)
        start, end = lanes.row_start[group : group + 2]
        assert end - start == max(n_rows)
        expected += [[]] * (LANES - len(n_rows))
        assert lanes.rows[start:end].T.tolist() == [lane + [0] * (end - start - len(lane)) for lane in expected]
        sums = [list(itertools.accumulate(map(int.bit_count, lane), initial=0)) for lane in expected]
        running = lanes.running[start + group : end + group + 1]
        assert running.T.tolist() == [lane + [lane[-1]] * (end - start + 1 - len(lane)) for lane in sums]
    assert len(lanes.rows) == lanes.row_start[-1]
    assert len(lanes.running) == lanes.row_start[-1] + len(lanes.first) - 1


@given(FINGERPRINTS, STEPS)
def test_thinned_fingerprints_stand_between_zeros(rows: list[Items], steps: tuple[int, int]) -> None:
    lanes = packed(rows, *steps)
    thinned = [rows[row][:: steps[0]].tolist() for row in lanes.order]
    assert lanes.n_thin.tolist() == [len(row) for row in thinned]
    assert lanes.thin.tolist() == [item for row in thinned for item in [0] * PADDING + row + [0] * PADDING]
    for start, row in zip(lanes.thin_start, thinned, strict=True):
        assert lanes.thin[start : start + len(row)].tolist() == row


@pytest.mark.parametrize("n_items", [1, 127, 128, 255, 256, 511, 512, 948, 1023, 1024, 8192, 100_000])
def test_so_many_rows_are_left_as_are_aimed_at(n_items: int) -> None:
    lanes = packed([stores.recording(1, n_items)], *CASCADE)
    n_rows = lanes.row_start[-1]
    assert n_rows == -(-n_items // (LAG_STEP << lanes.shift[0]))
    assert ROWS <= n_rows <= 2 * ROWS or (lanes.shift[0] == 0 and n_rows <= 2 * ROWS)
    assert len(packed([stores.recording(1, n_items)], *EXACT).rows) == n_items


@pytest.mark.parametrize("steps", [EXACT, CASCADE])
@pytest.mark.parametrize("n_rows", [1, 16, 17, 100, 4096])
def test_blocks_of_any_size(n_rows: int, steps: tuple[int, int]) -> None:
    lengths = np.random.default_rng(n_rows).integers(0, 300, n_rows).tolist()
    rows = rows_of(lengths)
    x, y = packed([stores.recording(-1, 320)], *steps), packed(rows, *steps)
    assert sorted(y.order.tolist()) == list(range(n_rows))
    groups = range(len(y.first) - 1)
    for group in {0, len(groups) // 2, len(groups) - 1}:
        curve = curve_of(x, 0, y, group, -10, 30)
        for lane, row in enumerate(y.order[y.first[group] : y.first[group + 1]]):
            step = naive.item_step(len(rows[row]), *steps)
            for lag in (-10, 7):
                expected = naive.coarse_errors(
                    stores.recording(-1, 320).tolist(), rows[row].tolist(), lag, steps[0], step
                )
                assert curve[lag + 10, lane] == expected


# ---- lane_curve ----


@given(st.integers(0, 70), st.integers(0, 70), STEPS, st.integers(-90, 90), st.integers(0, 40))
def test_row_spans(nx: int, ny: int, steps: tuple[int, int], lowest: int, n_lags: int) -> None:
    step = naive.item_step(ny, *steps)
    shift = (step // steps[0]).bit_length() - 1
    spans = np.full((2, n_lags + LAGS), 99, np.int32)
    n_thin, n_rows = -(-nx // steps[0]), -(-ny // step)
    row_spans(n_thin, n_rows, shift, lowest, lowest + n_lags, spans)
    for i, (first, last) in enumerate(spans.T.tolist()):
        assert list(range(first, last)) == naive.coarse_span(nx, ny, lowest + i, steps[0], step)
        assert 0 <= first <= last <= n_rows


@settings(max_examples=40)
@given(
    st.builds(rows_of, st.lists(LENGTH, min_size=1, max_size=3), st.just(1)),
    st.builds(rows_of, st.lists(LENGTH, min_size=1, max_size=9), st.just(2)),
    STEPS,
    st.integers(-20, 20),
)
def test_lane_curve(rows_x: list[Items], rows_y: list[Items], steps: tuple[int, int], shifted: int) -> None:
    """From before the first overlap to behind the last one, whichever is longer."""
    x, y = packed(rows_x, *steps), packed(rows_y, *steps)
    position = len(rows_x) // 2
    items = rows_x[x.order[position]].tolist()
    lowest, highest = -(70 // steps[0]) - 3 + shifted, len(items) // steps[0] + 3 + shifted
    for group, (first, last) in enumerate(itertools.pairwise(y.first)):
        curve = curve_of(x, position, y, group, lowest, max(lowest, highest))
        for lane, row in enumerate(y.order[first:last]):
            other = rows_y[row].tolist()
            step = naive.item_step(len(other), *steps)
            lags = range(lowest, max(lowest, highest) + 1)
            expected = [naive.coarse_errors(items, other, lag, steps[0], step) for lag in lags]
            assert curve[:, lane].tolist() == expected


@pytest.mark.parametrize("n_x", LENGTHS)
def test_every_item_at_every_lag_is_what_two_at_a_time_give(n_x: int) -> None:
    """All lengths in one group."""
    rows = rows_of(LENGTHS)
    x, y = packed([stores.recording(-1, n_x)], *EXACT), packed(rows, *EXACT)
    assert y.first.tolist() == [0, len(LENGTHS)]
    curve = curve_of(x, 0, y, 0, -70, 70)
    for lane, row in enumerate(y.order):
        for lag in range(-70, 71):
            n = kernels.overlap_at(n_x, len(rows[row]), lag)
            assert curve[lag + 70, lane] == kernels.bit_errors(stores.recording(-1, n_x), rows[row], lag, n)


def test_lanes_that_are_full_and_a_lane_that_is_not() -> None:
    """Groups of 16 alike, and one of 16 of which the last is much longer."""
    lengths = [40] * 16 + [50] * 15 + [300]
    rows, x_items = rows_of(lengths), stores.recording(-1, 310)
    x, y = packed([x_items], *EXACT), packed(rows, *EXACT)
    assert y.first.tolist() == [0, 16, 32]
    for group in range(2):
        curve = curve_of(x, 0, y, group, -320, 320)
        for lane in (0, 7, 14, 15):
            items = rows[y.order[16 * group + lane]]
            for lag in (-300, -299, -45, -20, -1, 0, 3, 16, 250, 265, 309, 310):
                assert curve[lag + 320, lane] == naive.bit_errors(x_items.tolist(), items.tolist(), lag)


LONG = 100_000
"""Items: a mix of three hours and a half."""


@pytest.fixture(scope="module")
def long_items() -> Items:
    return stores.recording(7, LONG)


@pytest.mark.parametrize("steps", [EXACT, CASCADE])
def test_a_very_long_fingerprint_against_short_and_long_ones(long_items: Items, steps: tuple[int, int]) -> None:
    other_long = np.concatenate([stores.recording(8, 123), long_items[: LONG - 1000]])
    rows = [np.empty(0, np.uint32), *rows_of([1, 80, 948, 3000]), other_long]
    x, y = packed([long_items], *steps), packed(rows, *steps)
    x_plain = long_items.tolist()
    for group, (first, last) in enumerate(itertools.pairwise(y.first)):
        for exact_lag in (-LONG + 900, -3000, -124, 0, LONG // 2, LONG - 600, LONG + 50):
            middle = exact_lag // steps[0]
            curve = curve_of(x, 0, y, group, middle - 20, middle + 20)
            for lane, row in enumerate(y.order[first:last]):
                step = naive.item_step(len(rows[row]), *steps)
                expected = naive.coarse_errors(x_plain, rows[row].tolist(), middle, steps[0], step)
                assert curve[20, lane] == expected


def test_the_errors_of_a_very_long_pair(long_items: Items) -> None:
    """Every bit of 100,000 items differs; and as seen from the shorter one."""
    x, y = packed([long_items], *EXACT), packed([~long_items[5:]], *EXACT)
    assert curve_of(x, 0, y, 0, 5, 5)[0, 0] == 32 * (LONG - 5)
    assert curve_of(y, 0, x, 0, -5, -5)[0, 0] == 32 * (LONG - 5)
