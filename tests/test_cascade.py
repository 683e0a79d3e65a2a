"""The cascade gives what the exact comparison gives, or nothing; and nothing only where there is no match."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.correlation import cascade, kernels, sampling
from dedup.correlation.cascade import coarse_ranges, sieve
from dedup.correlation.emit import LANES
from dedup.correlation.kernels import LagLimits, lag_limits
from dedup.correlation.lanes import lane_curve, make_curves, pack
from dedup.correlation.sampling import BASE_LAG, BASE_OVERLAP, LAG_STEP, ROWS
from dedup.settings import CompareSettings
from dedup.store.blocks import make_block
from dedup.store.items import SILENT_ITEM, Items
from dedup.synthesis.fingerprints import Library, Track, planted_pair
from tests import naive, stores
from tests.comparing import CUT, DEFAULT, SAME, SETTINGS, Found, assert_part_of_exact, compared, exact, place

# ---- what it finds is what the exact comparison says ----


@settings(max_examples=60)
@given(st.lists(CUT, min_size=2, max_size=20), SETTINGS)
def test_what_is_found_is_bit_for_bit_what_exact_gives(rows: list[Items], compare: CompareSettings) -> None:
    assert_part_of_exact(rows, compare)


# ---- a library ----


@pytest.fixture(scope="module")
def tracks() -> list[Track]:
    """Half of them copies: re-encoded, trimmed, delayed, excerpts."""
    library = Library(2, 948, duplicates=0.5)
    return [library.track(number) for number in range(200)]


@pytest.fixture(scope="module")
def rows(tracks: list[Track]) -> list[Items]:
    return [track.items for track in tracks]


@pytest.fixture(scope="module")
def found(rows: list[Items]) -> Found:
    return compared(rows)


def test_every_planted_pair_is_found_where_it_was_planted(tracks: list[Track], rows: list[Items], found: Found) -> None:
    kinds = []
    for track in tracks:
        if track.original is None:
            continue
        planted = planted_pair(track, rows[track.original])
        assert planted["overlap"] >= 0.25 * len(track.items)
        match = found[track.original, track.index]
        assert match.kappa >= SAME
        if match.lag == planted["lag"]:
            assert (match.overlap, match.errors) == (planted["overlap"], planted["errors"])
        else:  # loops
            assert match.errors / match.overlap <= 1.02 * planted["errors"] / planted["overlap"]
        kinds.append(planted["kind"])
    assert len(kinds) > 90
    assert {"encoded", "trimmed", "delayed", "excerpt"} == set(kinds)


def test_in_a_library_the_cascade_finds_what_exact_finds(rows: list[Items], found: Found) -> None:
    exactly = compared(rows, exact(DEFAULT))
    assert found.items() <= exactly.items()
    missed = [exactly[pair] for pair in exactly.keys() - found.keys()]
    assert [match for match in missed if match.kappa >= SAME] == []
    assert len(missed) <= 0.02 * len(exactly)


# ---- the same however the work is cut ----


@pytest.fixture(scope="module")
def mixed() -> list[Items]:
    """Lengths from 1 to 3,000 items, in which a group may end anywhere; some of music, some not, some the same."""
    library = Library(4, 400, spread=0.6, duplicates=0.5)
    some = [library.track(number).items for number in range(44)]
    odd = [
        np.full(300, SILENT_ITEM, np.uint32),
        np.full(90, 5, np.uint32),
        stores.recording(1, 1),
        some[3],
        some[3][7:],
    ]
    return [*some, *odd, stores.recording(2, 3000), stores.recording(2, 3000)[1000:1500]]


@pytest.fixture(scope="module")
def found_at_once(mixed: list[Items]) -> Found:
    found = compared(mixed)
    assert len(found) > 25
    return found


@pytest.mark.parametrize("block_size", [1, 3, 16, 17, 64])
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_pair_does_not_depend_on_its_block(
    mixed: list[Items], found_at_once: Found, block_size: int, shuffled: bool
) -> None:
    order = np.random.default_rng(block_size).permutation(len(mixed)).tolist() if shuffled else None
    assert compared(mixed, block_size=block_size, order=order, swapped=shuffled) == found_at_once


@pytest.mark.parametrize("n_shares", [1, 2, 7, 100])
@pytest.mark.parametrize("method", ["cascade", "exact"])
def test_shares_are_the_whole(mixed: list[Items], found_at_once: Found, n_shares: int, method: str) -> None:
    found = compared(mixed, replace(DEFAULT, method=method), block_size=20, n_shares=n_shares)
    assert found.items() >= found_at_once.items()
    if method == "cascade":
        assert found == found_at_once


# ---- settings ----

SHIFTS = (0, 1, 2, 3, 4, 9, 10, 50, 99, 100, 101, 300)


@pytest.mark.parametrize("max_lag", [0, 3, 10, 100, 300])
def test_narrow_lags(max_lag: int) -> None:
    """The first is the original, the others begin so much later, or earlier."""
    whole = stores.recording(1, 1200)
    rows = [whole[300:900]] + [stores.copied(whole[300 + s : 900 + s], 0.1, abs(s)) for s in SHIFTS]
    rows += [stores.copied(whole[300 - s : 900 - s], 0.1, s) for s in SHIFTS]
    compare = replace(DEFAULT, max_lag=max_lag)
    found = assert_part_of_exact(rows, compare)
    for number, shift in enumerate((*SHIFTS, *(-s for s in SHIFTS)), start=1):
        if abs(shift) <= max_lag:
            assert place(found[0, number]) == (shift, 600 - abs(shift))
        elif (0, number) in found:
            assert abs(found[0, number].lag) <= max_lag


@pytest.mark.parametrize("min_overlap", [0.01, 0.25, 0.5, 1.0])
def test_shares_of_overlap(min_overlap: float) -> None:
    whole = stores.recording(3, 1600)
    starts = (800, 760, 650, 400, 300, 0)
    rows = [whole[:800]] + [stores.copied(whole[start : start + 800], 0.1, start) for start in starts]
    rows += [stores.copied(whole[200:500], 0.1)]
    found = assert_part_of_exact(rows, replace(DEFAULT, min_overlap=min_overlap))
    for number, start in enumerate(starts, start=1):
        if 800 - start >= max(0.25, min_overlap) * 800:
            assert place(found[0, number]) == (start, 800 - start)
        elif 800 - start < max(80, min_overlap * 800):
            assert (0, number) not in found or found[0, number].lag != start
    assert place(found[0, 7]) == (200, 300)


@pytest.mark.parametrize("min_items", [1, 80, 300, 1000])
def test_items_of_overlap(min_items: int) -> None:
    whole = stores.recording(4, 2000)
    lengths = (1500, 999, 400, 299, 100, 79, 40, 10, 1)
    rows = [whole] + [stores.copied(whole[300 : 300 + n], 0.05, n) for n in lengths]
    found = assert_part_of_exact(rows, replace(DEFAULT, min_overlap_items=min_items))
    for number, n in enumerate(lengths, start=1):
        if n >= max(80, min_items):
            assert place(found[0, number]) == (300, n)
        elif n < min_items:
            assert (0, number) not in found


@pytest.mark.parametrize("n_items", [80, 120, 240, 600])
@pytest.mark.parametrize("start", [0, 901, 1350, 1800])
def test_by_default_an_excerpt_of_a_long_track_is_found(n_items: int, start: int) -> None:
    track = stores.recording(5, 2400)
    excerpt = stores.copied(track[start : start + n_items], 0.05)
    errors = int(np.bitwise_count(excerpt ^ track[start : start + n_items]).sum())
    found = compared([track, excerpt, stores.recording(6, 2400)])
    assert list(found) == [(0, 1)]
    assert (*place(found[0, 1]), found[0, 1].errors) == (start, n_items, errors)


# ---- what is no music ----


def static(seed: int, base: int, share: float, n_items: int = 400) -> Items:
    """One item, of which a bit flips now and then, anew in each."""
    return stores.copied(np.full(n_items, base, np.uint32), share, seed)


@pytest.mark.parametrize("method", ["cascade", "exact"])
def test_silence_tones_and_hum_match_nothing(method: str) -> None:
    rows = [np.full(n, SILENT_ITEM, np.uint32) for n in (80, 400, 401)]
    rows += [np.full(n, item, np.uint32) for n in (80, 400, 3000) for item in (0, 5, 2**32 - 1)]
    hums = itertools.product((5, 5, 5, SILENT_ITEM), (0.01, 0.05))
    rows += [static(seed, base, share) for seed, (base, share) in enumerate(hums)]
    rows += [stores.recording(1, 400), np.empty(0, np.uint32)]
    for min_items in (1, 80):
        assert compared(rows, CompareSettings(method, min_overlap_items=min_items, varispeed=False)) == {}


# ---- lengths ----


def test_very_short_ones_and_a_very_long_one() -> None:
    long = stores.recording(8, 100_000)
    lengths = [*range(80), 80, 3000]
    rows = [stores.copied(long[50_000 : 50_000 + n], 0.05, n) for n in lengths] + [long]
    found = assert_part_of_exact(rows, DEFAULT, block_size=len(lengths))
    of_the_long_one = {pair: place(match) for pair, match in found.items() if len(lengths) in pair}
    assert of_the_long_one == {(80, 82): (-50_000, 80), (81, 82): (-50_000, 3000)}
    assert all(min(len(rows[a]), len(rows[b])) >= 80 for a, b in found)
    no_least = replace(DEFAULT, min_overlap_items=1)
    assert len(assert_part_of_exact(rows[:-1], no_least)) > 2000
    again = compared(rows, no_least, block_size=9)
    for pair, match in found.items():  # there are more rivals now
        assert again[pair]._replace(prominence=match.prominence) == match


def test_two_very_long_ones() -> None:
    long = stores.recording(9, 100_000)
    other = stores.copied(long[60_001:], 0.1)
    shared = len(other)
    errors = int(np.bitwise_count(other ^ long[60_001:]).sum())
    found = compared([other, long, stores.recording(10, 90_000)], block_size=1)
    assert {pair: (*place(match), match.errors) for pair, match in found.items()} == {(0, 1): (-60_001, shared, errors)}


# ---- the parts ----


@given(
    st.integers(1, 2000),
    st.lists(st.integers(0, 2000), min_size=1, max_size=16),
    st.sampled_from([0, 1, 3, 100, 300, 1 << 30]),
    st.sampled_from([0.01, 0.25, 0.6, 1.0]),
    st.sampled_from([1, 80]),
)
def test_coarse_lags_are_around_all_exact_ones(
    n_x: int, n_items: list[int], max_lag: int, min_overlap: float, min_items: int
) -> None:
    ranges = np.full((4, LANES), 99, np.int32)
    n_items = [min(n, n_x) for n in n_items]
    limits = LagLimits(max_lag, min_overlap, min_items)
    coarse_ranges(n_x, np.array(n_items, np.int64), limits, ranges)
    for lane in range(LANES):
        low, high, first, last = ranges[:, lane].tolist()
        n_y = n_items[lane] if lane < len(n_items) else 0
        lags = kernels.allowed_lags(n_x, n_y, limits)
        if n_y == 0 or lags[0] > lags[1]:
            assert (low, high, first, last) == (1, 0, 1, 0)
            continue
        assert LAG_STEP * first <= lags[0] < LAG_STEP * (first + 1)
        assert LAG_STEP * (last - 1) < lags[1] <= LAG_STEP * last
        base = kernels.allowed_lags(n_x, n_y, LagLimits(max(max_lag, BASE_LAG), BASE_OVERLAP, 1))
        expected = [lag // LAG_STEP for lag in range(base[0], base[1] + 1) if lag % LAG_STEP == 0]
        assert list(range(low, high + 1)) == expected


def test_the_likeliest_lags_are_of_different_peaks() -> None:
    gains = {10: 5.0, 11: 9.0, 12: 8.0, 13: 7.0, 14: 6.0, 20: 6.5, 22: 1.0, 40: 2.0}
    peaks = np.array([*gains.items(), (99, 99.0)])
    taken = [cascade._take_highest(peaks, len(gains)) for _ in range(5)]
    assert taken == [11, 20, 14, 40, -1]


def test_twins_have_the_same_constants() -> None:
    ours = (naive.CLEAR, naive.SHARE_EXPLAINED, naive.BASE_STEP)
    assert ours == (cascade.CLEAR, cascade.SHARE_EXPLAINED, sampling.BASE_STEP)


@settings(max_examples=25)
@given(CUT, st.lists(CUT, min_size=1, max_size=16), SETTINGS, st.integers(-403, -400))
def test_sieve(x_items: Items, y_rows: list[Items], compare: CompareSettings, lowest: int) -> None:
    blocks = [make_block([x_items]), make_block([row[: len(x_items)] for row in y_rows])]
    x, y = (pack(block.items, block.offsets, LAG_STEP, ROWS)[0] for block in blocks)
    n_y = y.n_items[: y.first[1]]
    n_lags = 801
    curves = make_curves(n_lags)
    coarse_ranges(x.n_items[0], n_y, lag_limits(compare), curves.ranges)
    ranges = curves.ranges.T.tolist()
    curves.ranges[:] -= np.int32(lowest)
    lane_curve(x, 0, y, 0, lowest, lowest + n_lags - 1, curves.spans, curves.curve, LANES)
    sieve(curves, lowest, n_lags, y.lane_rows[0])
    plain, spans = curves.curve[:n_lags].tolist(), [(int(a), int(b)) for a, b in curves.spans.T[:n_lags]]
    for lane in range(LANES):
        expected = naive.sieve(plain, spans, lane, int(y.lane_rows[0, lane]), ranges[lane], lowest)
        assert curves.picked[lane] == (0 if expected else -1)
        assert [lowest + i for i in range(n_lags) if curves.marks[i] >> lane & 1] == expected
