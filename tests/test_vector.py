"""Every intrinsic says what its slow twin in `naive.py` says, to the last bit."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numba.core.errors import TypingError

from dedup.correlation import vector
from dedup.correlation.accelerate import jit
from dedup.correlation.emit import LANES
from dedup.correlation.llvm import LAGS
from dedup.correlation.vector import (
    AVERAGE_FROM,
    BITS_AT_A_TIME,
    CHOICE_FROM,
    CHOICE_TO,
    COUNTED_ERRORS,
    COUNTED_ITEMS,
    N_COUNTS,
)
from dedup.store.items import SILENT_ITEM
from tests import naive

SEED = st.integers(0, 2**32 - 1)
SILENT = np.uint32(SILENT_ITEM)

# An intrinsic can be called from compiled code alone.


@jit
def add_bit_errors(total: Any, a: Any, b: Any) -> Any:
    return vector.add_bit_errors(total, a, b)


@jit
def lag_errors(
    thin: Any, start: Any, stride: Any, rows: Any, running: Any, begin: Any, n_full: Any, n_partial: Any,
    lane_rows: Any, firsts: Any, lasts: Any, sums: Any,
) -> None:  # fmt: skip
    vector.lag_errors(
        thin, start, stride, rows, running, begin, n_full, n_partial, lane_rows, firsts, lasts, sums
    )  # fmt: skip


@jit
def add_lags(
    curve: Any, spans: Any, first: Any, step: Any, n_lags: Any, lane_rows: Any, ranges: Any, totals: Any
) -> None:
    vector.add_lags(curve, spans, first, step, n_lags, lane_rows, ranges, totals)


@jit
def mark_lanes(
    curve: Any, spans: Any, n_lags: Any, lane_rows: Any, ranges: Any, needed: Any, passed: Any, marks: Any
) -> None:
    vector.mark_lanes(curve, spans, n_lags, lane_rows, ranges, needed, passed, marks)


@jit
def best_lags(curve: Any, spans: Any, n_lags: Any, lane_rows: Any, ranges: Any, lowest: Any, best: Any) -> None:
    vector.best_lags(curve, spans, n_lags, lane_rows, ranges, lowest, best)


@jit
def add_bits(x: Any, x_start: Any, y: Any, y_start: Any, n: Any, silent: Any, counts: Any) -> None:
    vector.add_bits(x, x_start, y, y_start, n, silent, counts)


@jit
def add_many_bits(x: Any, x_start: Any, y: Any, y_start: Any, n: Any, silent: Any, counts: Any) -> Any:
    return vector.add_many_bits(x, x_start, y, y_start, n, silent, counts)


@jit
def run_errors(x: Any, x_start: Any, y: Any, y_start: Any, n: Any) -> Any:
    return vector.run_errors(x, x_start, y, y_start, n)


def noise(random: np.random.Generator, *shape: int) -> npt.NDArray[np.uint32]:
    return random.integers(0, 2**32, shape, dtype=np.uint32)


# ---- bits ----


@given(SEED, SEED, SEED)
@example(0, 2**32 - 1, 0)
@example(2**32 - 1, 1, 0)  # the sum wraps
def test_add_bit_errors(total: int, a: int, b: int) -> None:
    expected = (total + naive.bit_errors([a], [b], 0)) % 2**32
    assert add_bit_errors(*map(np.uint32, (total, a, b))) == expected


@settings(max_examples=30)
@given(SEED, st.integers(0, BITS_AT_A_TIME), st.integers(0, 9), st.integers(0, 9))
@example(1, 0, 0, 0)
@example(2, 1, 3, 0)
@example(3, BITS_AT_A_TIME, 0, 1)
def test_add_bits(seed: int, n: int, x_start: int, y_start: int) -> None:
    random = np.random.default_rng(seed)
    x, y = noise(random, n + 9), noise(random, n + 9)
    for items in (x, y):
        items[random.random(len(items)) < 0.3] = SILENT
    before = random.integers(-1000, 1000, N_COUNTS).astype(np.int32)
    counts = before.copy()
    add_bits(x, x_start, y, y_start, n, SILENT, counts)
    expected = naive.bit_counts(x[x_start : x_start + n].tolist(), y[y_start : y_start + n].tolist())
    assert (counts - before).tolist() == expected


@pytest.mark.parametrize(("a", "b", "n_items"), [(2**32 - 1, 2**32 - 1, 255), (2**32 - 1, 0, 255), (SILENT, SILENT, 0)])
def test_add_bits_of_as_many_equal_items_as_there_may_be(a: int, b: int, n_items: int) -> None:
    x, y = (np.full(BITS_AT_A_TIME, item, np.uint32) for item in (a, b))
    counts = np.zeros(N_COUNTS, np.int32)
    add_bits(x, 0, y, 0, BITS_AT_A_TIME, SILENT, counts)
    assert counts.tolist() == naive.bit_counts(x.tolist(), y.tolist())
    assert counts[COUNTED_ITEMS] == n_items


EIGHTS = 4 * LANES
"""Items that full adders count at a time."""


@pytest.mark.parametrize("n", [-3, 0, 1, EIGHTS - 1, EIGHTS, 2 * EIGHTS + 17, 31 * EIGHTS, 63 * EIGHTS + 5])
@pytest.mark.parametrize("kind", ["noise", "all differ", "all equal"])
def test_bits_of_long_runs(n: int, kind: str) -> None:
    """With the most that a byte must hold, and beyond what bytes hold."""
    random = np.random.default_rng(max(0, n))
    x, y = noise(random, max(0, n) + 3), noise(random, max(0, n) + 5)
    for items in (x, y):
        items[random.random(len(items)) < 0.3] = SILENT
    if kind != "noise":
        x[:], y[:] = 2**32 - 1, 0 if kind == "all differ" else 2**32 - 1
    lying_over = zip(x[3:].tolist(), y[1 : 1 + max(0, n)].tolist(), strict=True)
    assert run_errors(x, 3, y, 1, n) == sum((a ^ b).bit_count() for a, b in lying_over)
    before = random.integers(-1000, 1000, N_COUNTS).astype(np.int32)
    counts = before.copy()
    n_done = add_many_bits(x, 3, y, 1, n, SILENT, counts)
    assert n_done in ((0,) if vector.COUNTS_WORDS else (max(0, n) // EIGHTS * EIGHTS,))
    expected = naive.bit_counts(x[3 : 3 + n_done].tolist(), y[1 : 1 + n_done].tolist())
    expected[COUNTED_ERRORS] = 0
    assert (counts - before).tolist() == expected


@pytest.mark.parametrize(
    "counts",
    [np.zeros(N_COUNTS, np.int64), np.zeros(2 * N_COUNTS, np.int32)[::2], np.zeros((1, N_COUNTS), np.int32), 0],
    ids=["other items", "not contiguous", "two dimensions", "no array"],
)
def test_an_intrinsic_refuses_what_it_would_misread(counts: Any) -> None:
    x = np.zeros(5, np.uint32)
    with pytest.raises(TypingError):
        add_bits(x, 0, x, 0, 5, SILENT, counts)


# ---- errors at 16 lags ----


@settings(max_examples=40)
@given(
    SEED,
    st.sampled_from([0, 1, 7, 8, 9, 15, 16, 40]),
    st.sampled_from([0, 1, 3, 20]),
    st.sampled_from([1, 2, 8]),
    st.integers(0, 5),
)
@example(1, 0, 0, 1, 0)
@example(2, 248, 3, 1, 1)  # a byte holds the sums of no more than 31 times eight rows
@example(3, 249, 0, 2, 0)
@example(4, 2 * 248 + 15, 9, 1, 2)
def test_lag_errors(seed: int, n_full: int, n_partial: int, stride: int, begin: int) -> None:
    """`x` lies anywhere over the rows, so that at each lag some rows in front and behind meet its zeros."""
    random = np.random.default_rng(seed)
    n_rows, end = begin + n_full + n_partial + 3, begin + n_full + n_partial
    lane_rows = random.integers(begin + n_full, n_rows + 1, LANES).astype(np.int32)
    rows = noise(random, n_rows, LANES)
    rows[np.arange(n_rows)[:, None] >= lane_rows] = 0
    running = np.zeros((n_rows + 1, LANES), np.uint32)
    running[1:] = np.bitwise_count(rows).cumsum(axis=0, dtype=np.uint32)
    start = int(random.integers(4))
    thin = np.zeros(start + stride * (n_full + n_partial) + LAGS, np.uint32)
    x_first = int(random.integers(len(thin))) // 3
    x_end = len(thin) - int(random.integers(len(thin))) // 3
    thin[x_first:x_end] = noise(random, max(0, x_end - x_first))
    own = [
        [r for r in range(begin, end) if x_first <= start + stride * (r - begin) + lag < x_end] for lag in range(LAGS)
    ]
    firsts = np.array([r[0] if r else begin for r in own], np.int32)
    lasts = np.array([r[-1] + 1 if r else begin for r in own], np.int32)
    sums = np.full((LAGS, LANES), 77, np.uint32)
    lag_errors(thin, start, stride, rows, running, begin, n_full, n_partial, lane_rows, firsts, lasts, sums)
    for lag, lane in ((lag, lane) for lag in (0, 1, 7, 15) for lane in (0, 5, 8, 15)):
        compared = [r for r in own[lag] if r < lane_rows[lane]]
        x = [int(thin[start + stride * (r - begin) + lag]) for r in compared]
        assert sums[lag, lane] == naive.bit_errors(x, [int(rows[r, lane]) for r in compared], 0)
    x_bits = thin[start + np.arange(LAGS)[:, None] + stride * np.arange(n_full + n_partial)]
    everything = np.bitwise_count(x_bits[:, :, None] ^ rows[None, begin:end]).astype(np.int64)
    r = np.arange(begin, end)
    counts = (r >= firsts[:, None]) & (r < lasts[:, None])
    expected = (everything * (counts[:, :, None] & (r[:, None] < lane_rows)[None])).sum(axis=1)
    assert sums.tolist() == expected.tolist()


@pytest.mark.parametrize("n_full", [7, 8, 248, 256, 5000])
def test_lag_errors_where_all_bits_differ(n_full: int) -> None:
    thin, rows = np.full(n_full + LAGS, 2**32 - 1, np.uint32), np.zeros((n_full, LANES), np.uint32)
    running, sums = np.zeros((n_full + 1, LANES), np.uint32), np.empty((LAGS, LANES), np.uint32)
    lane_rows, firsts, lasts = (np.full(16, n, np.int32) for n in (n_full, 0, n_full))
    lag_errors(thin, 0, 1, rows, running, 0, n_full, 0, lane_rows, firsts, lasts, sums)
    assert np.all(sums == 32 * n_full)


# ---- curves of 16 lanes ----


class Curves(NamedTuple):
    curve: npt.NDArray[np.uint32]
    spans: npt.NDArray[np.int32]
    lane_rows: npt.NDArray[np.int32]
    ranges: npt.NDArray[np.int32]

    @property
    def n_lags(self) -> int:
        return len(self.curve) - 3  # what lies behind must not be looked at

    @property
    def naive_spans(self) -> list[tuple[int, int]]:
        return [(int(first), int(last)) for first, last in self.spans.T[: self.n_lags]]

    def lane(self, lane: int, low: int) -> tuple[int, int, int, int]:
        """What the twins ask of a lane; its range is that of rows `low` and on."""
        return lane, int(self.lane_rows[lane]), int(self.ranges[low, lane]), int(self.ranges[low + 1, lane])


def some_curves(seed: int, n_lags: int, n_shares: int) -> Curves:
    """Curves of lanes with few different shares of errors, so that many lags are equally good. Some lanes have no
    lags, some lags no rows."""
    random = np.random.default_rng(seed)
    lane_rows = random.integers(0, 40, LANES).astype(np.int32)
    spans = np.sort(random.integers(0, 40, (2, n_lags + 3)), axis=0).astype(np.int32)
    if seed % 2:
        spans[0], spans[1] = 0, random.choice([8, 16])  # of equals the nearer wins, and there are equals
    n_rows = np.maximum(0, np.minimum(spans[1][:, None], lane_rows) - spans[0][:, None])
    curve = (n_rows * 32 // n_shares * random.integers(0, n_shares + 1, n_rows.shape)).astype(np.uint32)
    ranges = np.stack([random.integers(-2, n_lags + 2, (2, LANES)) for _ in range(2)]).astype(np.int32)
    ranges.sort(axis=1)
    ranges = ranges.reshape(4, LANES)
    ranges[:, random.random(LANES) < 0.2] = np.array([1, 0, 1, 0])[:, None]
    return Curves(curve, spans, lane_rows, ranges)


CURVES = st.builds(some_curves, SEED, st.integers(0, 40), st.sampled_from([4, 16, 32]))


@settings(max_examples=40)
@given(CURVES, st.sampled_from([(0, 1), (0, 4), (1, 4), (3, 4), (2, 3)]))
def test_add_lags(curves: Curves, some: tuple[int, int]) -> None:
    totals = np.full((2, LANES), 1000, np.int32)
    add_lags(curves.curve, curves.spans, *some, curves.n_lags, curves.lane_rows, curves.ranges, totals)
    plain, spans = curves.curve.tolist(), curves.naive_spans
    expected = [naive.add_lags(plain, spans, *curves.lane(lane, AVERAGE_FROM), *some) for lane in range(LANES)]
    assert (totals.T - 1000).tolist() == [list(lane) for lane in expected]


@settings(max_examples=60)
@given(CURVES, st.sampled_from([0, 0, -5, -40, 7, -(10**6)]))
def test_best_lags(curves: Curves, lowest: int) -> None:
    best = np.full(LANES, 99, np.int32)
    lowest = -(curves.n_lags // 2) if lowest == -5 else lowest
    best_lags(curves.curve, curves.spans, curves.n_lags, curves.lane_rows, curves.ranges, lowest, best)
    plain, spans = curves.curve.tolist(), curves.naive_spans
    expected = [naive.best_index(plain, spans, *curves.lane(lane, CHOICE_FROM), lowest) for lane in range(LANES)]
    assert best.tolist() == expected


@pytest.mark.parametrize(
    ("lowest", "equals", "best"),
    [(-3, [1, 5], 1), (-3, [0, 4, 5], 4), (-3, [2, 3], 3), (-9, [0, 6], 6), (2, [1, 6], 1), (-3, range(7), 3)],
)
def test_of_equal_lags_the_one_nearest_to_zero_then_the_lower(lowest: int, equals: list[int], best: int) -> None:
    curve = np.full((7, LANES), 100, np.uint32)
    curve[list(equals)] = 3
    spans = np.array([[0] * 7, [9] * 7], np.int32)
    ranges = np.zeros((4, LANES), np.int32)
    ranges[CHOICE_TO] = 6
    found = np.empty(LANES, np.int32)
    best_lags(curve, spans, 7, np.full(LANES, 9, np.int32), ranges, lowest, found)
    assert found.tolist() == [best] * LANES


def test_the_best_of_bad_lags_is_found_too() -> None:
    curve = np.full((5, LANES), 32 * 9, np.uint32)
    curve[3] -= 1
    spans, ranges = np.array([[0] * 5, [9] * 5], np.int32), np.array([[1], [0], [0], [4]], np.int32)
    best = np.empty(LANES, np.int32)
    best_lags(curve, spans, 5, np.full(LANES, 9, np.int32), np.repeat(ranges, LANES, axis=1), 0, best)
    assert best.tolist() == [3] * LANES


@settings(max_examples=60)
@given(CURVES, SEED, st.booleans())
def test_mark_lanes(curves: Curves, seed: int, whole_numbers: bool) -> None:
    random = np.random.default_rng(seed)
    needed = (random.random((3, LANES)) * np.array([[32], [300], [16]])).astype(np.float32)
    if whole_numbers:
        needed = needed.round()  # then a lag may just not exceed what is needed
    passed, marks = np.full(LANES, 99, np.int32), np.full(curves.n_lags + 3, 99, np.uint16)
    mark_lanes(curves.curve, curves.spans, curves.n_lags, curves.lane_rows, curves.ranges, needed, passed, marks)
    spans, expected = curves.naive_spans, np.zeros((curves.n_lags, LANES), bool)
    for lane in range(LANES):
        _, lane_rows, low, high = curves.lane(lane, CHOICE_FROM)
        average, clear, share = (float(value) for value in needed[:, lane])
        for i in naive.lane_lags(spans, lane_rows, low, high):
            n, errors = naive.n_rows(spans[i], lane_rows), int(curves.curve[i, lane])
            expected[i, lane] = naive.stands_out(n, errors, average, clear, share)
    assert passed.tolist() == [0 if any(lane) else -1 for lane in expected.T]
    assert marks.tolist() == [*(expected @ (1 << np.arange(LANES))), 99, 99, 99]


def test_a_lag_that_just_has_what_is_needed_does_not_pass() -> None:
    spans, lane_rows = np.array([[0], [16]], np.int32), np.full(LANES, 16, np.int32)
    ranges = np.zeros((4, LANES), np.int32)
    curve = np.full((1, LANES), 16 * 16 - 64, np.uint32)  # 64 bits fewer than 16 of an item
    for clear, share, mark in ((256, 4, -1), (255, 4, -1), (256, 3, -1), (255, 3, 0)):
        needed = np.repeat(np.array([[16], [clear], [share]], np.float32), LANES, axis=1)
        passed, marks = np.empty(LANES, np.int32), np.empty(1, np.uint16)
        mark_lanes(curve, spans, 1, lane_rows, ranges, needed, passed, marks)
        assert passed.tolist() == [mark] * LANES
        assert marks[0] == (0 if mark else 2**LANES - 1)
