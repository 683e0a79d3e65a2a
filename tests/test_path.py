"""A pair along its path: what the slow twin in `naive.py` says, and what it must come to on copies of all kinds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dedup.correlation import compare, kernels, line, match, path
from dedup.correlation.compare import compare_two, condensed, contrast
from dedup.correlation.path import MUTE, STEP, STRETCH, follow, n_steps
from dedup.settings import CompareSettings
from dedup.store.items import SILENT_ITEM, Items, frozen
from tests import naive, pieces, stores

COMPARE = CompareSettings(varispeed=False)
SEED, SHARE = st.integers(0, 9), st.sampled_from([0.0, 0.05, 0.2, 0.3, 0.36, 0.45])


def resampled(items: Items, rate: float, first: int = 0) -> Items:
    """A copy that has an item for each `1 + rate` of these, from one of them on: the nearest."""
    n = int((len(items) - first - 1) / (1 + rate))
    return items[np.rint(first + np.arange(n) * (1 + rate)).astype(np.int64)]


def without(items: Items, start: int, n_lost: int) -> Items:
    return np.concatenate([items[:start], items[start + n_lost :]])


def with_silence(items: Items, start: int, n: int) -> Items:
    muted = items.copy()
    muted[start : start + n] = SILENT_ITEM
    return muted


def followed(x: Items, y: Items, lag: int) -> tuple[path.Path, list[int]]:
    similar = np.full(n_steps(len(y)), 77, np.uint8)
    found = follow(frozen(x, np.uint32), frozen(y, np.uint32), lag, similar)
    return found, similar[: found.n_steps].tolist()


def best_lag(x: Items, y: Items) -> int:
    found = compare_two(x, y, CompareSettings(varispeed=False, min_overlap=0.1, min_overlap_items=1))
    assert found is not None
    return found.lag


# ---- what the slow twin says ----


def assert_as_naive(x: Items, y: Items, lag: int) -> naive.Path:
    found, steps = followed(x, y, lag)
    expected = naive.follow(x.tolist(), y.tolist(), lag)
    assert steps == expected.steps
    exact = (float(expected.kappa), *expected[1:4])
    assert (found.kappa, found.errors, found.n_informative, found.n_items) == exact
    assert found.rate == pytest.approx(expected.rate, rel=1e-12, abs=0)
    assert (found.y_from, found.y_to, found.x_from, found.x_to) == expected[5:9]
    return expected


def changed(seed: int, kind: str, amount: int, share: float, start: int, n_items: int) -> tuple[Items, Items, int]:
    """A recording and a copy of a part of it, the longer first, and their best lag."""
    x = stores.recording(seed, 700)
    copies = {
        "cut": lambda: x[start : start + n_items],
        "faster": lambda: resampled(x, amount / 1000, start),
        "slower": lambda: resampled(x, -amount / 1000, start + 100),
        "lost": lambda: without(x, 100 + start, 1 + amount),
        "silent": lambda: with_silence(x[start:], n_items % 300, 2 * amount),
        "both silent": lambda: with_silence(x, n_items, 3 * amount)[start:],
        "unrelated": lambda: stores.recording(seed + 100, n_items),
    }
    if kind == "both silent":
        x = with_silence(x, n_items, 3 * amount)
    y = stores.copied(copies[kind](), share, amount)
    y = np.where(y == stores.copied(np.full_like(y, SILENT_ITEM), share, amount), np.uint32(SILENT_ITEM), y)
    x, y = (x, y) if len(y) <= len(x) else (y, x)
    return x, y, best_lag(x, y)


KIND = st.sampled_from(["cut", "faster", "slower", "lost", "silent", "both silent", "unrelated"])
CHANGED = st.builds(changed, SEED, KIND, st.integers(1, 60), SHARE, st.integers(0, 90), st.integers(1, 600))


@settings(max_examples=150)
@given(CHANGED)
def test_follow(pair: tuple[Items, Items, int]) -> None:
    assert_as_naive(*pair)


@settings(max_examples=50)
@given(CHANGED, st.integers(-70, 70))
def test_follow_from_another_lag(pair: tuple[Items, Items, int], away: int) -> None:
    x, y, lag = pair
    assert_as_naive(x, y, min(max(lag + away, 1 - len(y)), len(x) - 1))


WORD = st.sampled_from([0, 1, 2**32 - 1, SILENT_ITEM, 0x55555555])


@settings(max_examples=100)
@given(st.lists(WORD, min_size=1, max_size=200), st.lists(WORD, min_size=1, max_size=200), st.integers(-199, 199))
@example([1] * 200, [1] * 200, 0)  # all lags are equal
@example([SILENT_ITEM] * 90, [SILENT_ITEM] * 90, 3)
@example([5, 6, 7] * 60, [5, 6, 7] * 43, 1)
@example([7], [7], 0)
def test_follow_what_is_full_of_ties(x: list[int], y: list[int], lag: int) -> None:
    x, y = (x, y) if len(y) <= len(x) else (y, x)
    lag = min(max(lag, 1 - len(y)), len(x) - 1)
    assert_as_naive(np.array(x, np.uint32), np.array(y, np.uint32), lag)


REAL_S = 90.0


def real_pairs() -> dict[str, tuple[Items, Items]]:
    """Of synthesized music, the longer first."""
    song, other = pieces.song(1, REAL_S), pieces.song(2, REAL_S)
    made = {
        "copy": pieces.quieter(song, 6),
        "faster": pieces.sped(song, 0.03),
        "slower": pieces.sped(song, -0.02),
        "dropped": pieces.dropped(song, 40, 0.8),
        "padded": pieces.with_silence(song, 6, 3),
        "excerpt": pieces.excerpt(song, 20, 61),
        "other vocal": pieces.other_vocal(1, 5, REAL_S),
        "unrelated": other,
    }
    items = {name: pieces.fingerprint(pcm) for name, pcm in made.items()}
    plain = pieces.fingerprint(song)
    return {name: (one, plain) if len(one) > len(plain) else (plain, one) for name, one in items.items()}


@pytest.mark.parametrize(
    "name", ["copy", "faster", "slower", "dropped", "padded", "excerpt", "other vocal", "unrelated"]
)
def test_follow_music(name: str) -> None:
    x, y = real_pairs()[name]
    found = assert_as_naive(x, y, best_lag(x, y))
    assert (found.rate != 0) == (name in ("faster", "slower"))


def test_twins_have_the_same_constants() -> None:
    names = ("STEP", "STRETCH", "KNOWN_AGREEMENT", "GIVE_UP", "SLACK", "REACH")
    for name in (*names, "NEAR_LINE", "ON_LINE", "LEAST_DRIFT"):
        assert getattr(naive, name) == getattr(path, name)
    assert naive.SLOPES_OF == line.SLOPES_OF
    assert match.N_STEPS == naive.N_STEPS
    assert (compare.KEPT, compare.LOST) == (naive.KEPT, naive.LOST)
    assert (STEP, STRETCH, MUTE) == (32, 64, 0)


# ---- level ----


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25])
@pytest.mark.parametrize(("start", "n_items"), [(0, 900), (0, 500), (123, 500), (400, 500), (17, 64), (5, 63), (3, 1)])
def test_the_path_of_a_plain_copy_is_its_best_lag(share: float, start: int, n_items: int) -> None:
    x = stores.recording(1, 900)
    y = stores.copied(x[start : start + n_items], share)
    found, steps = followed(x, y, start)
    kappa, n_informative = kernels.chance_corrected(x, y, start)
    assert (found.kappa, found.n_informative, found.rate) == (kappa, n_informative, 0)
    assert found.errors == kernels.bit_errors(x, y, start, n_items)
    assert (found.y_from, found.y_to, found.x_from, found.x_to) == (0, n_items, start, start + n_items)
    assert found.n_items == n_items
    assert len(steps) == -(-n_items // STEP)
    if share == 0:
        assert set(steps) == {255}


@pytest.mark.parametrize("front", [1, 40, 300])
def test_what_hangs_over_is_not_on_the_path(front: int) -> None:
    whole = stores.recording(2, 1000)
    x, y = whole[front:], stores.copied(whole[: 1000 - front], 0.1)
    found, steps = followed(x, y, -front)
    assert (found.y_from, found.y_to, found.x_from, found.x_to) == (front, 1000 - front, 0, 1000 - 2 * front)
    assert found.kappa == kernels.chance_corrected(x, y, -front)[0]
    assert len(steps) == -(-(1000 - front) // STEP) - front // STEP


@pytest.mark.parametrize("n_items", [1, 2, 31, 32, 33, 63])
def test_short_ones_keep_their_lag(n_items: int) -> None:
    """Less than a stretch says nothing of where it lies."""
    x = stores.recording(3, 200)
    y = without(x[50:], n_items // 2, 3)[:n_items]
    for lag in (0, 50, 53):
        found, steps = followed(x, y, lag)
        assert (found.rate, found.x_from, found.x_to - found.x_from) == (0, lag, n_items)
        assert found.kappa == kernels.chance_corrected(x, y, lag)[0]
        assert len(steps) == n_steps(n_items) == -(-n_items // STEP)


# ---- other speed ----


@pytest.mark.parametrize("percent", [-4.0, -3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0])
@pytest.mark.parametrize("share", [0.0, 0.1])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_speed_of_a_copy_is_found(percent: float, share: float, seed: int) -> None:
    original = stores.recording(seed, 1500)
    copy = stores.copied(resampled(original, percent / 100), share)
    found = compare_two(original, copy, COMPARE)
    assert found is not None
    assert found.rate == pytest.approx(percent / 100, abs=0.003)
    assert found.along > max(0.6, 2 * found.kappa)
    assert min(found.to_a - found.from_a, found.to_b - found.from_b) > 0.9 * len(copy)
    assert found.contrast == 0


@pytest.mark.parametrize("percent", [-4, -2, 1, 3])
def test_the_speed_of_sped_music_is_found(percent: int) -> None:
    song = pieces.song(3, 90.0)
    found = compare_two(pieces.fingerprint(song), pieces.fingerprint(pieces.sped(song, percent / 100)), COMPARE)
    assert found is not None
    assert found.rate == pytest.approx(percent / 100, abs=0.003)
    assert found.along > found.kappa


def test_a_drift_of_less_than_half_a_second_is_no_speed() -> None:
    original = stores.recording(4, 600)
    found = compare_two(original, resampled(original, 0.004), COMPARE)
    assert found is not None
    assert found.rate == 0
    assert found.along > 0.9


# ---- something lost ----


@pytest.mark.parametrize("lost", [1, 3, 8, 12])
@pytest.mark.parametrize("at", [200, 450, 777])
def test_both_sides_of_a_gap_are_taken(lost: int, at: int) -> None:
    whole = stores.recording(5, 1000)
    found = compare_two(whole, stores.copied(without(whole, at, lost), 0.05), COMPARE)
    assert found is not None
    assert found.rate == 0
    assert found.along > 0.85
    assert found.along > found.kappa + 0.1 * (min(at, 1000 - at) > 300) * (lost > 3)
    assert (found.from_a, found.to_a, found.from_b, found.to_b) == (0, 1000, 0, 1000 - lost)
    assert np.count_nonzero(found.similarity < match.ALIKE) <= 1


def test_what_is_added_is_followed_as_well() -> None:
    """The copy has more: a gap of the other."""
    whole = stores.recording(6, 900)
    found = compare_two(np.concatenate([whole[:400], stores.recording(60, 15), whole[400:]]), whole, COMPARE)
    assert found is not None
    assert (found.rate, found.from_a, found.to_a) == (0, 0, 915)
    assert found.along > 0.9


@pytest.mark.parametrize("lost_s", [0.5, 0.8])
def test_a_gap_in_a_short_track_is_no_other_speed(lost_s: float) -> None:
    song = pieces.song(1, 45.0)
    found = compare_two(pieces.fingerprint(song), pieces.fingerprint(pieces.dropped(song, 20, lost_s)), COMPARE)
    assert found is not None
    assert found.rate == 0


def test_a_gap_beyond_reach_is_not_crossed() -> None:
    whole = stores.recording(7, 1000)
    found = compare_two(whole, without(whole, 600, 200), COMPARE)
    assert found is not None
    assert (found.lag, found.rate) == (0, 0)
    assert np.count_nonzero(found.similarity >= match.ALIKE) == pytest.approx(600 / STEP, abs=1)


# ---- unrelated ----


def test_what_is_unrelated_gains_nothing_much() -> None:
    gained = []
    for seed in range(60):
        found = compare_two(stores.recording(seed, 1000), stores.recording(seed + 500, 900), COMPARE)
        assert found is not None
        assert found.rate == 0
        assert found.score < match.STORED_KAPPA
        gained.append(found.along - found.kappa)
    assert max(gained) < 0.05


def test_different_songs_gain_nothing_much() -> None:
    items = [pieces.fingerprint(pieces.song(seed, REAL_S)) for seed in (1, 2, 3, 4)]
    for number, one in enumerate(items):
        for other in items[number + 1 :]:
            found = compare_two(one, other, COMPARE)
            assert found is not None
            assert found.along - found.kappa < 0.1
            assert found.rate == 0


# ---- silence ----


def test_a_step_that_is_silent_in_both_is_mute() -> None:
    x = with_silence(stores.recording(8, 640), 128, 100)
    found, steps = followed(x, x.copy(), 0)
    assert [number for number, step in enumerate(steps) if step == MUTE] == [4, 5, 6]
    assert set(steps) == {int(MUTE), 255}, "four items of the fourth are silent, the others say all"
    assert (found.n_items, found.n_informative, found.errors) == (640, 540, 0)
    compared = compare_two(x, x, COMPARE)
    assert compared is not None
    assert np.isnan(compared.similarity).nonzero()[0].tolist() == [4, 5, 6]
    assert compared.core() == (0.0, 1.0, 1.0)


def test_silence_over_music_is_a_difference() -> None:
    x = stores.recording(9, 640)
    _, steps = followed(x, with_silence(x, 128, 96), 0)
    assert all(1 < step < 200 for step in steps[4:7])
    assert set(steps[:4] + steps[7:]) == {255}


def test_two_silences_are_mute_from_end_to_end() -> None:
    silence = np.full(300, SILENT_ITEM, np.uint32)
    found, steps = followed(silence, silence.copy(), 0)
    assert (found.kappa, found.n_informative, found.n_items) == (0.0, 0, 300)
    assert set(steps) == {int(MUTE)}


# ---- either way round ----


@settings(max_examples=80)
@given(CHANGED)
def test_either_way_round_is_the_same_path(pair: tuple[Items, Items, int]) -> None:
    x, y, _ = pair
    forth, back = compare_two(x, y, COMPARE), compare_two(y, x, COMPARE)
    if forth is None or back is None:
        assert forth == back
        return
    assert forth.swapped() == back
    assert forth.swapped().swapped() == forth
    assert (1 + forth.rate) * (1 + back.rate) == pytest.approx(1, abs=1e-12)
    assert math.log1p(forth.rate) == pytest.approx(forth.log_rate, abs=1e-12)
    assert (forth.rate == 0) == (back.rate == 0)
    assert (forth.from_a, forth.to_a, forth.from_b, forth.to_b) == (back.from_b, back.to_b, back.from_a, back.to_a)


def test_a_path_lies_within_both_and_is_as_long_as_it_says() -> None:
    for seed in range(12):
        for kind in ("cut", "faster", "slower", "lost", "silent", "both silent", "unrelated"):
            x, y, lag = changed(seed, kind, 5 * seed, 0.1, 7 * seed, 60 + 40 * seed)
            found, steps = followed(x, y, lag)
            assert 0 <= found.y_from < found.y_to <= len(y)
            assert 0 <= found.x_from < found.x_to <= len(x)
            assert found.y_to - found.y_from == found.n_items >= found.n_informative
            assert len(steps) == found.n_steps == -(-found.y_to // STEP) - found.y_from // STEP


# ---- what is said of a path ----


@given(st.lists(st.integers(0, 255), max_size=700))
@example([0] * 129)
@example([0, 255] * 128)
@example([1, 2] * 64 + [200])
def test_condensed(steps: list[int]) -> None:
    found = list(condensed(np.array(steps, np.uint8)))
    assert found == naive.condensed(steps)
    assert len(found) <= match.N_STEPS
    assert len(found) == len(steps) or len(steps) > match.N_STEPS


def test_steps_become_fewer_only_where_they_must() -> None:
    assert condensed(np.arange(128, dtype=np.uint8)) == bytes(range(128))
    assert condensed(np.full(129, 9, np.uint8)) == bytes([9] * 65)
    assert condensed(np.array([0, 10, 20, 30, 0, 0] * 40, np.uint8)) == bytes([10, 25, 0] * 40)


@given(st.lists(st.integers(0, 2**32 - 1), max_size=40), st.lists(st.integers(0, 2**32 - 1), max_size=40))
def test_contrast(x: list[int], y: list[int]) -> None:
    found = contrast(np.array(x, np.uint32), np.array(y, np.uint32))
    assert found == pytest.approx(float(naive.contrast(x, y)), abs=1e-12)
    assert -1 <= found <= 1


def test_contrast_of_all_and_nothing() -> None:
    zeros = np.zeros(50, np.uint32)
    lost = np.full(50, sum(3 << 2 * pair for pair in compare.LOST), np.uint32)
    kept = np.full(50, sum(3 << 2 * pair for pair in compare.KEPT), np.uint32)
    assert (contrast(zeros, lost), contrast(zeros, kept), contrast(zeros, ~zeros)) == (1.0, -1.0, 0.0)
    assert contrast(zeros[:0], zeros) == 0.0
