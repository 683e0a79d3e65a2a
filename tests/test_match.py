"""The numbers of a pair: what is made of them, how they are stored, and the same pair the other way round."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.correlation.compare import compare_two, condensed
from dedup.correlation.match import (
    ALIKE,
    Core,
    Match,
    evidence_of,
    evidence_of_records,
    fitted,
    identity_match,
    match_at,
    record,
)
from dedup.settings import ITEMS_PER_SECOND, CompareSettings
from dedup.store.pairs import N_STEPS, PAIR
from tests import stores
from tests.made_matches import made, steps_of

SILENT = math.nan
YES, NO = 0.9, 0.5

similarities = st.lists(st.one_of(st.just(SILENT), st.floats(0, 1)), max_size=N_STEPS)
kappas = st.floats(-1, 1)


@st.composite
def matches(draw: st.DrawFn) -> Match:
    """Any match that can be stored."""
    n = draw(st.integers(1, 1 << 20))
    path = tuple(draw(st.integers(0, 1 << 31)) for _ in range(4))
    return made(
        draw(kappas),
        lag=draw(st.integers(-(1 << 31) + 1, (1 << 31) - 1)),
        overlap=n,
        errors=draw(st.integers(0, 32 * n)),
        prominence=draw(st.floats(-0.5, 0.5)),
        along=draw(kappas),
        rate=draw(st.one_of(st.just(0.0), st.floats(-0.1, -1e-4), st.floats(1e-4, 0.1))),
        contrast=draw(kappas),
        distinct=draw(st.integers(0, 1 << 20)),
        path=path,
        similarity=draw(similarities),
    )


# ---- score and evidence ----


def test_the_score_is_the_better_of_the_best_lag_and_the_path() -> None:
    assert made(0.3, along=0.7).score == 0.7
    assert made(0.7, along=0.3).score == 0.7


def test_few_different_items_are_less_evidence() -> None:
    """Property: with `half_distinct` chance varies twice as much as with many, with none there is no evidence at all,
    and the score itself stays."""
    half = fitted()["half_distinct"]
    assert evidence_of(0.8, 0.6, half) == 0.8 / math.sqrt(2)
    assert evidence_of(0.6, 0.8, half) == 0.8 / math.sqrt(2)
    assert evidence_of(0.8, 0.6, 0) == 0.0
    assert evidence_of(0.8, 0.6, 1000 * half) == pytest.approx(0.8, rel=1e-3)
    found = [made(0.8, distinct=distinct).evidence for distinct in (0, 1, 24, 100, 1000, 10_000)]
    assert found == sorted(found)
    assert len(set(found)) == len(found)
    assert found[-1] < 0.8 == made(0.8, distinct=1).score


@given(st.lists(matches(), max_size=5))
def test_evidence_of_records_is_that_of_each_match(some: list[Match]) -> None:
    """Property: what is read from the store by its records is, to the last bit, what is decided by each match."""
    records = np.concatenate([np.zeros(0, PAIR), *(record(0, 1, match) for match in some)])
    assert evidence_of_records(records).tolist() == [match.evidence for match in some]


def test_prominence_of_a_path_is_that_of_the_lag_and_what_the_path_is_better() -> None:
    assert made(0.4, along=0.6, prominence=0.1).prominence_along == pytest.approx(0.2)
    assert made(0.6, along=0.4, prominence=0.1).prominence_along == 0.1


def test_a_match_at_seconds() -> None:
    match = made(lag=-11025, overlap=1365 * 2, errors=1365 * 16)
    assert (match.lag_s, match.overlap_s, match.agreement) == (-1365.0, pytest.approx(338.0, abs=1e-2), 0.75)


# ---- the core ----


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [
        pytest.param([YES] * 4, Core(0, 1, 1), id="all of it"),
        pytest.param([NO, NO, YES, YES, YES, NO, NO, NO], Core(2 / 8, 5 / 8, 1), id="unlike ends"),
        pytest.param([SILENT, SILENT, YES, YES, SILENT], Core(0, 1, 1), id="silence on either side"),
        pytest.param([NO, SILENT, YES, SILENT, NO], Core(1 / 5, 4 / 5, 1), id="silence up to what is unlike"),
        pytest.param([YES, SILENT, NO, SILENT], Core(0, 2 / 4, 1), id="silence beyond what is unlike"),
        pytest.param([YES, YES, NO, YES], Core(0, 1, 1), id="one flaw"),
        pytest.param([YES, NO, NO, YES], Core(0, 1, 2 / 3), id="two flaws"),
        pytest.param([YES, NO, YES, NO, NO, YES, YES], Core(0, 1, 4 / 6), id="three flaws"),
        pytest.param([YES, SILENT, SILENT, NO, NO, YES], Core(0, 1, 2 / 3), id="silence inside says nothing"),
        pytest.param([NO, YES, NO], Core(1 / 3, 2 / 3, 1), id="a single step"),
        pytest.param([NO, NO], Core(0, 0, 0), id="nothing alike"),
        pytest.param([SILENT, SILENT], Core(0, 0, 0), id="nothing but silence"),
        pytest.param([], Core(0, 0, 0), id="no steps"),
    ],
)
def test_the_core_is_what_is_alike_and_the_silence_around_it(similarity: list[float], expected: Core) -> None:
    assert made(similarity=similarity).core() == expected


def test_a_step_is_alike_from_that_agreement_on() -> None:
    just = math.ceil(254 * ALIKE)
    assert made(similarity=[just / 254]).core().alike == 1
    assert made(similarity=[(just - 1) / 254]).core().alike == 0


@given(similarities)
def test_the_core_of_any_steps(similarity: list[float]) -> None:
    """Property: it begins and ends within the path; all that is alike is inside, and only silence is on its edge."""
    core, found = made(similarity=similarity).core(), made(similarity=similarity).similarity
    first, last = round(core.start * len(found)), round(core.end * len(found))
    assert 0 <= first <= last <= len(found)
    alike = found >= ALIKE
    assert np.count_nonzero(alike[first:last]) == np.count_nonzero(alike)
    assert 0 <= core.alike <= 1
    if alike.any():
        for outside in (found[first - 1] if first else NO, found[last] if last < len(found) else NO):
            assert outside < ALIKE
        assert not (found[first] < ALIKE)
        assert not (found[last - 1] < ALIKE)


def test_similarity_is_as_it_was_measured_and_nan_where_both_are_silent() -> None:
    match = made(similarity=[0.0, 1.0, SILENT, 0.75])
    assert match.steps == steps_of([0.0, 1.0, SILENT, 0.75]) == bytes([1, 255, 0, 191])
    assert match.similarity[:2].tolist() == [0.0, 1.0]
    assert math.isnan(match.similarity[2])
    assert match.similarity[3] == pytest.approx(0.75, abs=1 / 254)


def test_the_place_of_what_is_the_same() -> None:
    """Property: in seconds of each, the core; of a pair without one, or of two speeds, the whole path."""
    path, steps = (80, 400, 0, 320), [NO, YES, YES, NO, NO, NO, NO, NO, NO, NO]
    seconds = [items / ITEMS_PER_SECOND for items in (112, 176, 32, 96)]
    assert made(path=path, similarity=steps).place() == pytest.approx(seconds)
    whole = [items / ITEMS_PER_SECOND for items in path]
    assert made(path=path, similarity=[NO] * 10).place() == pytest.approx(whole)
    assert made(path=path, similarity=[]).place() == pytest.approx(whole)
    faster = made(path=(80, 410, 0, 320), similarity=steps, rate=0.03).place()
    assert faster == pytest.approx([items / ITEMS_PER_SECOND for items in (80, 410, 0, 320)])


# ---- the other way round ----


def test_swapped_is_the_other_way_round_and_back() -> None:
    match = made(0.5, lag=7, errors=3, along=0.6, contrast=0.1, path=(7, 100, 0, 95), similarity=[NO, YES])
    assert match.swapped() == made(
        0.5, lag=-7, errors=3, along=0.6, contrast=0.1, path=(0, 95, 7, 100), similarity=[NO, YES]
    )
    assert match.swapped().swapped() == match


@given(matches())
def test_the_other_way_round_only_sides_change(match: Match) -> None:
    other = match.swapped()
    assert other.swapped() == match
    assert (other.score, other.evidence, other.agreement) == (match.score, match.evidence, match.agreement)
    assert (other.prominence_along, other.core()) == (match.prominence_along, match.core())
    assert other.place() == (*match.place()[2:], *match.place()[:2])
    assert (1 + other.rate) * (1 + match.rate) == pytest.approx(1)
    assert (other.rate == 0) == (match.rate == 0)


def test_the_rate_of_the_other_against_the_one() -> None:
    assert made(rate=0.0).swapped().rate == 0.0
    assert made(rate=0.25).swapped().rate == pytest.approx(-0.2)
    assert made(rate=-0.2).swapped().rate == pytest.approx(0.25)


# ---- stored ----


def test_a_stored_pair_is_small_and_the_same_on_every_machine() -> None:
    assert PAIR.itemsize == 209
    for name in PAIR.names or ():
        assert PAIR[name].base.str[0] in "<|", "the same bytes on every machine"


@given(st.lists(matches(), max_size=4))
def test_what_is_stored_comes_back(some: list[Match]) -> None:
    """Property: every number and every step, to the last bit."""
    stored = b"".join(record(3, row, match).tobytes() for row, match in enumerate(some))
    records = np.frombuffer(stored, PAIR)
    assert [match_at(stored, number * PAIR.itemsize) for number in range(len(some))] == some
    assert records["row_a"].tolist() == [3] * len(some)
    assert records["row_b"].tolist() == list(range(len(some)))


def test_what_is_read_is_plain_numbers() -> None:
    """Property: a match read from the store is written as JSON as one that was just made."""
    found = match_at(record(0, 1, made(lag=-3, rate=0.01)).tobytes(), 0)
    kinds: list[Any] = [type(getattr(found, name)) for name in Match._fields]
    assert set(kinds) == {int, float, bytes}


# ---- steps of long pairs ----


def test_as_many_steps_as_are_kept_stay_as_they_are() -> None:
    steps = np.arange(N_STEPS, dtype=np.uint8)
    assert condensed(steps) == steps.tobytes()
    assert condensed(steps[:0]) == b""


def test_of_more_steps_neighbours_become_one_their_mean_without_silence() -> None:
    steps = np.full(2 * N_STEPS + 1, 9, np.uint8)  # so that three become one
    steps[:12] = [10, 20, 30, 0, 10, 21, 0, 0, 0, 0, 0, 200]
    steps[-2:] = [100, 200]
    found = condensed(steps)
    assert len(found) == 86
    assert list(found[:5]) == [20, 16, 0, 200, 9]
    assert found[-1] == 150, "what is missing in the last is no silence"


@given(st.integers(0, 5000), st.integers(0, 2**32 - 1))
def test_no_pair_keeps_more_steps(n_steps: int, seed: int) -> None:
    steps = np.random.default_rng(seed).integers(0, 256, n_steps).astype(np.uint8)
    found = condensed(steps)
    assert min(n_steps, N_STEPS // 2) <= len(found) <= N_STEPS
    together = -(-n_steps // N_STEPS)
    for number, one in enumerate(found):
        heard = [value for value in steps[number * together : (number + 1) * together].tolist() if value]
        assert min(heard, default=0) <= one <= max(heard, default=0)


def test_a_long_pair_keeps_where_it_is_unlike() -> None:
    items = stores.recording(1, 5000)
    other = items.copy()
    other[2432:2560] = stores.recording(2, 128)  # steps 76 to 79
    match = compare_two(items, other, CompareSettings(varispeed=False))
    assert match is not None
    assert len(match.steps) == 79  # 157 steps, two by two
    unlike = np.flatnonzero(match.similarity < ALIKE)
    assert unlike.tolist() == [38, 39]
    assert (np.delete(match.similarity, unlike) == 1).all()


@pytest.mark.parametrize("n_items", [9, 32, 33, 4096, 5000])
def test_a_fingerprint_against_itself(n_items: int) -> None:
    match = identity_match(n_items, 7)
    assert (match.score, match.agreement, match.lag, match.distinct) == (1.0, 1.0, 0, 7)
    assert match.core() == Core(0, 1, 1)
    assert match.place() == pytest.approx((0, n_items / ITEMS_PER_SECOND) * 2)
    assert match.swapped() == match
