"""What the numbers of a pair come to, on words small enough to check by eye."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import stores

from dedup.correlation.correlate import compare_two, correlate
from dedup.correlation.scoring import (
    CONTAINED_SHARE,
    PAIR,
    Match,
    Verdict,
    criteria,
    identity_match,
    verdict,
)
from dedup.correlation.tile import correlate_tile
from dedup.matches import Matches
from dedup.observer import Silent
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings, MatchSettings
from dedup.store.blocks import make_block

FOUR = CompareSettings(max_lag=0, min_overlap=1.0, min_overlap_items=1)


def match_of(lag: int = 0, overlap: int = 100, errors: int = 0, score: float = 1.0, prominence: float = 0.5) -> Match:
    return Match(lag, overlap, errors, score, prominence)


def test_scores_are_exact_fractions() -> None:
    a = np.array([0b0011, 0b0101, 0b1111, 0b0000], np.uint32)
    b = np.array([0b0011, 0b0111, 0b1111, 0b0000], np.uint32)
    match = compare_two(a, b, FOUR)
    assert match is not None
    assert (match.lag, match.overlap, match.errors) == (0, 4, 1)
    assert match.agreement == 1 - 1 / 128
    assert match.prominence == match.agreement - 0.5, "no other lag: the rival is chance"
    # Bits set, of 4 items, in a: 3 2 2 1, in b: 3 3 2 1; the other 28 bits never, which chance explains wholly.
    by_chance = (3 * 3 + 1 * 1) + (2 * 3 + 2 * 1) + (2 * 2 + 2 * 2) + (1 * 1 + 3 * 3) + 28 * 16
    assert by_chance == 484
    assert match.score == (127 * 4 - 484) / (512 - 484)  # 24 of the 28 that chance leaves open


def test_opposite_and_unrelated_bits() -> None:
    a = np.array([0b01, 0b10] * 2, np.uint32) * np.uint32(0x55555555)
    opposite, unrelated = (
        compare_two(a, ~a, FOUR),
        compare_two(a, np.array([0, 0, 2**32 - 1, 2**32 - 1], np.uint32), FOUR),
    )
    assert opposite is not None
    assert unrelated is not None
    assert (opposite.agreement, opposite.score, opposite.prominence) == (0.0, -1.0, -0.5)
    assert (unrelated.agreement, unrelated.score) == (0.5, 0.0)


def test_a_match_in_seconds() -> None:
    match = match_of(lag=-11025, overlap=1365 * 2, errors=1365 * 16)
    assert (match.lag_s, match.overlap_s, match.agreement) == (-1365.0, pytest.approx(338.0, abs=1e-2), 0.75)


def test_swapped_is_the_other_way_round_and_back() -> None:
    match = match_of(lag=7, errors=3)
    assert match.swapped() == match_of(lag=-7, errors=3)
    assert match.swapped().swapped() == match


def test_a_stored_pair_is_small() -> None:
    assert PAIR.itemsize == 36
    assert all(PAIR[name].str.startswith("<") for name in PAIR.names or ()), "the same bytes on every machine"


def test_identity_match() -> None:
    assert identity_match(9) == match_of(overlap=9)
    assert all(criterion.met for criterion in criteria(identity_match(9), MatchSettings(1.0, 0.5)))


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (match_of(overlap=120, score=0.45, prominence=0.05), "same recording"),
        (match_of(overlap=120, score=np.nextafter(0.45, 0), prominence=0.05), "other"),
        (match_of(overlap=120, score=0.45, prominence=np.nextafter(0.05, 0)), "other"),
        (match_of(overlap=111), "same recording"),
        (match_of(overlap=110), "same recording"),
        (match_of(overlap=109), "contained"),
        (match_of(overlap=109, score=0.4), "other"),
    ],
)
def test_verdict_at_its_boundaries(match: Match, expected: Verdict) -> None:
    longer = 200
    assert CONTAINED_SHARE * longer == pytest.approx(110)
    assert verdict(match, longer, 120, MatchSettings()) == expected
    assert verdict(match.swapped(), 120, longer, MatchSettings()) == expected


def test_criteria_name_value_and_threshold() -> None:
    found = criteria(match_of(score=0.3, prominence=0.2), MatchSettings())
    assert [(c.name, c.value, c.threshold, c.met) for c in found] == [
        ("score", 0.3, 0.45, False),
        ("prominence", 0.2, 0.05, True),
    ]


def test_a_positive_lag_means_that_the_first_has_more_in_front(tmp_path: Path) -> None:
    music = stores.recording(1, 200)
    late = np.concatenate([stores.recording(2, 30), music])  # 30 items of something else in front
    settings = CompareSettings()

    match = compare_two(late, music, settings)
    assert match is not None
    assert (match.lag, match.overlap, match.errors, match.score) == (30, 200, 0, 1.0)
    assert np.array_equal(late[match.lag :], music)
    assert compare_two(music, late, settings) == match.swapped()

    blocks = {name: make_block([items]) for name, items in (("late", late), ("music", music))}
    for a, b, lag in (("late", "music", 30), ("music", "late", -30)):
        arrays = ((blocks[name].name, blocks[name].items, blocks[name].offsets) for name in (a, b))
        (record,) = np.frombuffer(correlate_tile(*arrays, settings)[0], PAIR)
        assert record["lag"] == lag

    for names in (("a late", "b plain"), ("b late", "a plain")):
        with stores.open_store(tmp_path / names[0]) as store:
            for name, items in zip(names, (late, music), strict=True):
                stores.add_track(store, name, items)
            correlate(store, settings, InlineRunner(), Silent())
            (pair,) = Matches(store, MatchSettings()).pairs()
        assert pair.match.lag == (30 if b"late" in pair.a.path else -30)
