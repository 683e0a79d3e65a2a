"""Every kernel says what its slow twin in `naive.py` says, to the last bit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dedup.correlation import accelerate, kernels
from dedup.correlation.compare import compare_two
from dedup.correlation.kernels import LagLimits
from dedup.settings import CompareSettings
from dedup.store.items import SILENT_ITEM, Items, frozen
from tests import naive

ROOT = Path(__file__).resolve().parent.parent

ITEM = st.integers(0, 2**32 - 1)
FEW_ITEMS = st.sampled_from([SILENT_ITEM, 0, 2**32 - 1, 0x55555555, 0x80000001])
SEED = st.integers(0, 2**32 - 1)
MIN_OVERLAP = st.one_of(st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.55, 0.7, 1.0]), st.floats(0.01, 1))
MAX_LAG = st.one_of(st.just(0), st.integers(0, 40), st.sampled_from([500, 1_000_000]))


def array(items: Sequence[int]) -> Items:
    return frozen(np.array(items, np.uint32), np.uint32)  # as all are that the kernels are compiled for


def some_music(seed: int, n_items: int) -> list[int]:
    """Items that change slowly, with a stretch of silence in some."""
    random = np.random.default_rng(seed)
    changes = np.uint32(1) << random.integers(0, 32, (n_items, 3), dtype=np.uint32)
    items = np.bitwise_xor.accumulate(np.bitwise_xor.reduce(changes, axis=1)) ^ random.integers(2**32, dtype=np.uint32)
    if seed % 3 == 0:
        start = random.integers(n_items)
        items[start : start + random.integers(1, 60)] = SILENT_ITEM
    return [int(item) for item in items]


MUSIC = st.builds(some_music, SEED, st.integers(1, 200))
PERIODIC = st.builds(lambda bar, n: (bar * n)[:200], st.lists(ITEM, min_size=1, max_size=12), st.integers(1, 30))
FINGERPRINT = st.one_of(
    st.lists(ITEM, min_size=1, max_size=40), st.lists(FEW_ITEMS, min_size=1, max_size=60), MUSIC, PERIODIC
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Two fingerprints: unrelated, or the second a cut of the first with some bits flipped."""
    x = draw(FINGERPRINT)
    if draw(st.booleans()):
        return x, draw(FINGERPRINT)
    start = draw(st.integers(0, len(x) - 1))
    y = x[start : draw(st.integers(start + 1, len(x)))]
    for _ in range(draw(st.integers(0, 3))):
        y[draw(st.integers(0, len(y) - 1))] ^= 1 << draw(st.integers(0, 31))
    return (x, y) if draw(st.booleans()) else (y, x)


PAIRS = pairs()


def in_order(x: list[int], y: list[int]) -> tuple[list[int], list[int]]:
    return (y, x) if naive.is_swapped(x, y) else (x, y)


def compare(x: Items, y: Items, max_lag: int, min_overlap: float, min_items: int) -> naive.Found | None:
    scratch = np.empty(min(2 * max_lag + 1, len(x) + len(y)), np.int64)
    found, *numbers = kernels.compare(x, y, LagLimits(max_lag, min_overlap, min_items), scratch)
    return naive.Found(*numbers) if found else None


# ---- the parts ----


@given(st.integers(0, 100_000), st.integers(0, 100_000), MIN_OVERLAP, st.integers(1, 200))
@example(100, 300, 0.55, 1)  # 0.55 * 100 is a little more than 55 in float64
@example(10, 10, 0.1, 1)
def test_required_overlap(nx: int, ny: int, min_overlap: float, min_items: int) -> None:
    expected = naive.required_overlap(nx, ny, min_overlap, min_items)
    assert kernels.required_overlap(nx, ny, min_overlap, min_items) == expected
    assert kernels.required_overlap.py_func(nx, ny, min_overlap, min_items) == expected


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 70), st.sampled_from([0, 1, 7, 59, 60, 200]))
def test_lags_are_those_at_which_enough_overlaps(nx: int, ny: int, required: int, max_lag: int) -> None:
    for lag_range in (kernels.lag_range, kernels.lag_range.py_func):
        lowest, highest = lag_range(nx, ny, required, max_lag)
        assert list(range(lowest, highest + 1)) == naive.lag_range(nx, ny, required, max_lag)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(-70, 70))
def test_overlap_at(nx: int, ny: int, lag: int) -> None:
    expected = naive.overlap_at(nx, ny, lag)
    assert max(0, kernels.overlap_at(nx, ny, lag)) == expected
    assert max(0, kernels.overlap_at.py_func(nx, ny, lag)) == expected


def test_bits_are_counted_exactly() -> None:
    x, y = array([0b0000, 0b0001, 0b0011, 2**32 - 1]), array([0b0000, 0b0111, 0])
    assert kernels.bit_errors(x, y, 0, 3) == 0 + 2 + 2
    assert kernels.bit_errors(x, y, 1, 3) == 1 + 1 + 32
    assert kernels.bit_errors(x, y, -1, 2) == 3 + 1
    assert kernels.bit_errors(x, y, 3, 1) == 32
    assert kernels.bit_errors(x, y, 9, 0) == 0
    errors = np.full(7, -1, np.int64)
    kernels.lag_curve(x, y, -2, 3, errors)
    assert errors.tolist() == [0, 4, 4, 34, 31, 32, -1]


@given(PAIRS)
def test_lag_curve(pair: tuple[list[int], list[int]]) -> None:
    x, y = pair
    lags = range(1 - len(y), len(x))
    errors = np.empty(len(lags), np.int64)
    kernels.lag_curve(array(x), array(y), lags[0], lags[-1], errors)
    assert errors.tolist() == list(naive.lag_curve(x, y, lags).values())


CURVES = st.integers(1, 80).flatmap(
    lambda nx: st.integers(1, 80).flatmap(
        lambda ny: st.tuples(
            st.just(nx),
            st.just(ny),
            # Shares of the worst, few of them: full of ties.
            st.lists(st.integers(0, 8), min_size=nx + ny - 1, max_size=nx + ny - 1),
        )
    )
)


@given(CURVES)
def test_best_lag_and_its_rival(curve: tuple[int, int, list[int]]) -> None:
    nx, ny, shares = curve
    lags = range(1 - ny, nx)
    errors = {lag: naive.overlap_at(nx, ny, lag) * 4 * s for lag, s in zip(lags, shares, strict=True)}
    data = np.array(list(errors.values()), np.int64)
    best, rival = naive.best_lag(nx, ny, errors), naive.rival_agreement(nx, ny, errors, naive.best_lag(nx, ny, errors))
    for best_lag in (kernels.best_lag, kernels.best_lag.py_func):
        assert best_lag(nx, ny, lags[0], lags[-1], data) == best
    for rival_agreement in (kernels.rival_agreement, kernels.rival_agreement.py_func):
        assert rival_agreement(nx, ny, lags[0], lags[-1], data, best) == rival


def test_of_equal_lags_the_one_nearest_to_zero_then_the_lower() -> None:
    perfect, chance = 0, 16 * 9
    inside = np.full(7, perfect, np.int64)  # y within x: 9 items overlap at each of the lags
    assert kernels.best_lag(20, 9, 0, 6, inside) == 0
    inside[:2] = chance
    assert kernels.best_lag(20, 9, 0, 6, inside) == 2
    assert kernels.best_lag(9, 20, -6, 0, inside[::-1].copy()) == -2
    both_ways = np.array([16 * 7, 0, 16 * 8, chance, 16 * 8, 0, 16 * 7], np.int64)
    assert kernels.best_lag(9, 9, -3, 3, both_ways) == -2


def test_rival_is_more_than_the_peak_width_away() -> None:
    n, lags = 100, range(-20, 21)
    errors = np.array([16 * naive.overlap_at(n, n, lag) for lag in lags], np.int64)
    errors[16 + 20] = 0  # at lag 16: still the peak's
    assert kernels.rival_agreement(n, n, -20, 20, errors, 0) == 0.5
    errors[17 + 20] = 8 * naive.overlap_at(n, n, 17)
    assert kernels.rival_agreement(n, n, -20, 20, errors, 0) == 0.75
    assert kernels.rival_agreement(n, n, -16, 16, errors[4:37], 0) == 0.5, "no lag is far enough away"


@given(PAIRS, st.integers(-60, 60))
def test_chance_corrected(pair: tuple[list[int], list[int]], lag: int) -> None:
    x, y = pair
    assume(-len(y) < lag < len(x))
    expected, n_informative = naive.chance_corrected(x, y, lag)
    assert kernels.chance_corrected(array(x), array(y), lag) == (float(expected), n_informative)
    assert -1 <= expected <= 1


@given(PAIRS)
def test_kappa(pair: tuple[list[int], list[int]]) -> None:
    n = min(map(len, pair))
    counts = naive.bit_counts(pair[0][:n], pair[1][:n])
    expected, n_informative = naive.kappa(counts)
    for kappa in (kernels.kappa, kernels.kappa.py_func):
        assert kappa(np.array(counts, np.int64)) == (float(expected), n_informative)
    assert (expected, n_informative) == naive.chance_corrected(pair[0][:n], pair[1][:n], 0)


@pytest.mark.parametrize("constant", [0, 2**32 - 1, SILENT_ITEM, 0x12345678])
def test_constant_overlaps_score_0(constant: int) -> None:
    x = array([constant] * 100)
    n_informative = 0 if constant == SILENT_ITEM else 100
    assert kernels.chance_corrected(x, x, 0) == (0.0, n_informative)
    assert kernels.chance_corrected(x, array(some_music(1, 100)), 0)[0] == 0.0, "one constant side tells nothing either"


def test_only_what_is_silent_in_both_is_not_informative() -> None:
    x, y = array([SILENT_ITEM] * 3 + [1, 2]), array([SILENT_ITEM] * 2 + [5, SILENT_ITEM, 2])
    assert kernels.chance_corrected(x, y, 0)[1] == 3
    music = some_music(2, 50)
    padded = array([SILENT_ITEM] * 70 + music)
    assert kernels.chance_corrected(padded, padded, 0) == (1.0, sum(item != SILENT_ITEM for item in music))


@given(FINGERPRINT, FINGERPRINT, st.booleans())
def test_is_swapped(x: list[int], y: list[int], same_length: bool) -> None:
    if same_length:
        y = (y * len(x))[: len(x)]
    expected = naive.is_swapped(x, y)
    assert kernels.is_swapped(array(x), array(y)) is expected
    assert kernels.is_swapped.py_func(array(x), array(y)) is expected
    assert kernels.is_swapped(array(y), array(x)) is (not expected and x != y)


# ---- the whole ----


@given(PAIRS, MAX_LAG, MIN_OVERLAP, st.sampled_from([1, 2, 10, 80]))
def test_compare(pair: tuple[list[int], list[int]], max_lag: int, min_overlap: float, min_items: int) -> None:
    x, y = in_order(*pair)
    expected = naive.compare(x, y, min(max_lag, 500), min_overlap, min_items)
    assert compare(array(x), array(y), max_lag, min_overlap, min_items) == expected


def settings_of(max_lag: int, min_overlap: float, min_items: int) -> CompareSettings:
    return CompareSettings(varispeed=False, max_lag=max_lag, min_overlap=min_overlap, min_overlap_items=min_items)


@given(PAIRS, MAX_LAG, MIN_OVERLAP, st.sampled_from([1, 10]))
@example((some_music(4, 60) * 3, some_music(4, 60) * 2), 1_000_000, 0.01, 1)  # the same peak at three lags
@example(([7, 9] * 50, [9, 7] * 50), 40, 0.5, 1)  # lags 1 and -1 are equal
@example(([7, 9] * 50, [9, 7] * 49), 40, 0.5, 1)
@example(([1], [1]), 0, 1.0, 1)
def test_both_orientations_say_the_same(
    pair: tuple[list[int], list[int]], max_lag: int, min_overlap: float, min_items: int
) -> None:
    a, b = map(array, pair)
    settings = settings_of(max_lag, min_overlap, min_items)
    forth, back = compare_two(a, b, settings), compare_two(b, a, settings)
    assert forth == (None if back is None else back.swapped())


@given(FINGERPRINT, MAX_LAG)
def test_against_itself(items: list[int], max_lag: int) -> None:
    match = compare_two(array(items), array(items), settings_of(max_lag, 0.1, 1))
    assert match is not None
    assert (match.lag, match.overlap, match.errors) == (0, len(items), 0)
    assert match.kappa == match.along
    assert match.kappa in (0.0, 1.0)
    assert (match.rate, match.from_a, match.to_a, match.from_b, match.to_b) == (0, 0, len(items), 0, len(items))


@pytest.mark.parametrize(("n_informative", "kappa"), [(79, 0.0), (80, 1.0)])
def test_silence_that_agrees_with_silence_is_no_evidence(n_informative: int, kappa: float) -> None:
    music = some_music(1, n_informative)
    items = array([SILENT_ITEM] * 500 + music)
    match = compare_two(items, items[100:], CompareSettings(varispeed=False))
    assert match is not None
    assert (match.lag, match.errors, match.kappa, match.along) == (100, 0, kappa, kappa)
    assert (match.score > 0) == (kappa > 0)


@pytest.mark.parametrize(("n_a", "n_b"), [(0, 0), (0, 5), (1, 79), (79, 5000), (80, 79)])
def test_what_cannot_overlap_enough_is_not_compared(n_a: int, n_b: int) -> None:
    a, b = (array(some_music(5, n)[:n] if n else []) for n in (n_a, n_b))
    assert compare_two(a, b, CompareSettings(varispeed=False)) is None


def test_one_item_is_enough_where_one_is_asked_for() -> None:
    match = compare_two(array([6]), array([3]), settings_of(300, 0.01, 1))
    assert match is not None
    assert (match.lag, match.overlap, match.errors) == (0, 1, 2)


def test_very_long_fingerprints() -> None:
    # Sums go past 2^31 in the chance correction and past 2^16 everywhere.
    random = np.random.default_rng(6)
    a: npt.NDArray[np.uint32] = random.integers(0, 2**32, 100_000, dtype=np.uint32)
    b = a[321:].copy()
    b[::7] ^= np.uint32(0xFF00FF00)
    match = compare_two(a, b, settings_of(400, 0.5, 80))
    assert match is not None
    n_flipped = len(range(0, len(b), 7))
    assert (match.lag, match.overlap, match.errors) == (321, 99_679, 16 * n_flipped)
    ones_a, ones_b = ([int(np.sum(v >> np.uint32(k) & np.uint32(1))) for k in range(32)] for v in (a[321:], b))
    n = len(b)
    chance = sum(p * q + (n - p) * (n - q) for p, q in zip(ones_a, ones_b, strict=True))
    assert match.kappa == match.along == (n * (32 * n - match.errors) - chance) / (32 * n * n - chance)
    worst = compare_two(np.zeros_like(a), np.full_like(a, 2**32 - 1), settings_of(0, 0.5, 80))
    assert worst is not None
    assert (worst.errors, worst.agreement, worst.prominence) == (3_200_000, 0.0, -0.5)


def test_read_only_and_unaligned_items_are_as_good() -> None:
    items = array(some_music(7, 150))
    unaligned = np.frombuffer(b"." + items.tobytes(), np.uint32, offset=1)
    strided = np.repeat(items, 2)[::2]
    expected = compare_two(items, items, CompareSettings(varispeed=False))
    for other in (unaligned, strided):
        assert compare_two(items, other, CompareSettings(varispeed=False)) == expected
        assert compare_two(other, items, CompareSettings(varispeed=False)) == expected


def cache_folder(code: str, environment: dict[str, str]) -> str:
    script = f"{code}\nfrom dedup.correlation import kernels\nprint(kernels.compare.stats.cache_path)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, text=True, capture_output=True, check=True
    )
    return done.stdout.strip()


def test_compiled_code_is_kept_in_the_users_cache(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "REPRISE_KERNEL_CACHE"}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    # Numba reads its variables when it is imported, be it by somebody else and before.
    assert cache_folder("import numba", environment).startswith(str(tmp_path))


def test_kernels_work_where_compiled_code_cannot_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    njit = accelerate.numba.njit

    def njit_without_a_cache(function: Any, cache: bool = False, **options: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function 'f': no locator available for file 'f.py'")
        return njit(function, **options)

    monkeypatch.setattr(accelerate.numba, "njit", njit_without_a_cache)
    assert accelerate.jit(kernels.overlap_at.py_func)(5, 7, 2) == 3
