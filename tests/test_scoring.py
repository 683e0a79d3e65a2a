"""What the numbers of a pair come to, on words small enough to check by eye and on matches made by hand."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.correlation.compare import compare_two
from dedup.correlation.correlate import correlate
from dedup.correlation.match import STORED_KAPPA, Match, identity_match
from dedup.correlation.scoring import (
    ALIKE_SHARE,
    BESIDE,
    CERTAIN,
    CHANCE,
    KEPT,
    LESS_BY_SPEED,
    LONGER_SHARE,
    MAX_RATE,
    MERGING,
    OF_LONGER,
    OF_SHORTER,
    OWN,
    OWN_S,
    PROMINENCE,
    SCORE,
    SHORTER_SHARE,
    SPEED,
    STEPS,
    TRANSPOSED_CONTRAST,
    TRANSPOSED_PATH,
    Noise,
    Thresholds,
    Verdict,
    criteria,
    shares,
    usual_noise,
    verdict,
)
from dedup.correlation.tile import correlate_tile
from dedup.groups.matches import Matches
from dedup.observer import Silent
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings, MatchSettings
from dedup.store.blocks import make_block
from dedup.store.pairs import PAIR
from tests import stores
from tests.made_matches import limits, made

FOUR = CompareSettings(varispeed=False, max_lag=0, min_overlap=1.0, min_overlap_items=1)
YES, NO = 0.9, 0.5
N = 640
"""Items of both tracks, unless a test says otherwise: 20 steps."""


def below(value: float) -> float:
    return float(np.nextafter(value, -math.inf))


def above(value: float) -> float:
    return float(np.nextafter(value, math.inf))


def told(match: Match, n_a: int = N, n_b: int = N, thresholds: Thresholds | None = None) -> Verdict:
    """The verdict, which is the same whichever of the two comes first."""
    found = verdict(match, n_a, n_b, thresholds or limits())
    assert found == verdict(match.swapped(), n_b, n_a, thresholds or limits())
    return found


# ---- numbers ----


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
    assert match.kappa == match.along == match.score == (127 * 4 - 484) / (512 - 484)  # 24 of 28 that chance leaves
    assert match.similarity.tolist() == [252 / 254], "127 of 128 bits, to a 254th"
    assert (match.from_a, match.to_a, match.from_b, match.to_b, match.rate) == (0, 4, 0, 4, 0.0)


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


# ---- verdicts, at their limits ----


def test_identity_meets_every_limit() -> None:
    match = identity_match(N, 600)
    strictest = limits(related=match.evidence, same=1.0, min_prominence=0.5)
    assert told(match, thresholds=strictest) == "same recording"
    assert all(criterion.met for criterion in criteria(match, N, N, strictest))


def test_evidence_decides_what_is_more_than_chance() -> None:
    for match in (made(0.3), made(1.0), made(0.3, rate=0.01), made(0.3, similarity=[NO] * 20, contrast=0.2)):
        assert told(match, thresholds=limits(related=match.evidence)) != "other"
        assert told(match, thresholds=limits(related=above(match.evidence))) == "other"


def test_the_score_decides_what_may_be_a_copy() -> None:
    assert told(made(0.45)) == "same recording"
    assert told(made(0.2, along=0.45)) == "same recording"
    assert told(made(below(0.45))) == "related"
    assert told(made(below(0.45)), thresholds=limits(same=below(0.45))) == "same recording"


def test_few_different_items_are_less_evidence_and_no_lower_score() -> None:
    few, many = made(0.5, distinct=24), made(0.5, distinct=600)
    assert told(few, thresholds=limits(related=few.evidence)) == "same recording"
    assert told(few, thresholds=limits(related=many.evidence)) == "other"
    assert told(many, thresholds=limits(related=many.evidence)) == "same recording"


@pytest.mark.parametrize(
    ("kappa", "along", "prominence", "expected"),
    [
        (0.5, 0.5, 0.05, "same recording"),
        (0.5, 0.5, below(0.05), "related"),
        (0.5, 0.61, 0.0, "same recording"),  # the path agrees better than the lag: 0.05 more
        (0.5, 0.59, 0.0, "related"),
        (CERTAIN, CERTAIN, 0.0, "same recording"),
        (CERTAIN, CERTAIN, below(0.0), "related"),
        (0.0, CERTAIN, -0.4, "same recording"),
        (below(CERTAIN), 0.0, 0.0, "related"),
    ],
)
def test_what_repeats_itself_must_be_certain(kappa: float, along: float, prominence: float, expected: Verdict) -> None:
    assert told(made(kappa, along=along, prominence=prominence)) == expected


@pytest.mark.parametrize(
    ("n_alike", "n_unlike", "expected"),
    [
        (23, 1, "same recording"),
        (23, 2 + 1, "same recording"),  # one is forgiven: 23 of 25 are 0.92
        (22, 2 + 1, "related"),
        (24, 2 + 1, "same recording"),
        (23, 3 + 1, "related"),
        (2, 1, "same recording"),
        (2, 2, "related"),
    ],
)
def test_all_of_a_copy_is_alike(n_alike: int, n_unlike: int, expected: Verdict) -> None:
    assert ALIKE_SHARE == 23 / 25
    steps = [*[YES] * (n_alike - 1), *[NO] * n_unlike, YES]
    n_items = 32 * len(steps)
    assert told(made(overlap=n_items, similarity=steps), n_items, n_items) == expected


def test_silence_is_neither_alike_nor_unlike() -> None:
    silent = math.nan
    assert told(made(similarity=[YES, *[silent] * 18, YES])) == "same recording"
    assert told(made(similarity=[silent] * 20)) == "related"


def test_a_transposed_copy_agrees_in_the_bits_that_pitch_leaves_alone() -> None:
    unlike = {"similarity": [YES, *[NO] * 19], "overlap": N}
    assert told(made(0.4, contrast=TRANSPOSED_CONTRAST, **unlike)) == "transposed"
    assert told(made(0.4, contrast=below(TRANSPOSED_CONTRAST), **unlike)) == "related"
    assert told(made(1.0, contrast=1.0)) == "same recording", "a copy is a copy"
    assert told(made(0.4, contrast=1.0, **unlike), thresholds=limits(related=1.0)) == "other"


def test_a_transposed_copy_goes_along_from_end_to_end() -> None:
    assert TRANSPOSED_PATH * N == 512
    of = {"similarity": [NO] * 16, "contrast": 0.2, "overlap": 512}
    assert told(made(0.4, **of, path=(0, 512, 0, 512))) == "transposed"
    assert told(made(0.4, **of, path=(0, 512, 0, 511))) == "related", "of both"
    assert told(made(0.4, **of, path=(0, 512, 0, 512)), N, 512) == "transposed"
    assert told(made(0.4, **of, path=(0, 512, 0, 512)), N + 1, 512) == "related"


@pytest.mark.parametrize(
    ("rate", "score", "expected"),
    [
        (0.02, 0.45, "same recording, other speed"),
        (-0.02, 0.45, "same recording, other speed"),
        (MAX_RATE - 1e-6, 0.45, "same recording, other speed"),
        (-MAX_RATE + 1e-6, 0.45, "same recording, other speed"),
        (1 / (1 - MAX_RATE) - 1 - 1e-6, 0.45, "same recording, other speed"),  # 5 % slower
        (1 / (1 - MAX_RATE) - 1 + 1e-6, 1.0, "related"),
        (-MAX_RATE - 1e-6, 1.0, "related"),
        (-0.02, 0.45 - 0.02 * LESS_BY_SPEED + 1e-6, "same recording, other speed"),
        (-0.02, 0.45 - 0.02 * LESS_BY_SPEED - 1e-6, "related"),
        (-0.04, 0.45 - 0.04 * LESS_BY_SPEED + 1e-6, "same recording, other speed"),
        (-0.04, 0.45 - 0.04 * LESS_BY_SPEED - 1e-6, "related"),
    ],
)
def test_a_copy_of_other_speed(rate: float, score: float, expected: Verdict) -> None:
    assert told(made(score, rate=rate)) == expected
    assert told(made(score, rate=rate, prominence=-0.1, similarity=[NO] * 20)) == expected, "the line says as much"


@pytest.mark.parametrize("rate", [0.0, 0.02])
def test_a_copy_is_most_of_the_longer_and_an_excerpt_is_most_of_the_shorter(rate: float) -> None:
    whole = "same recording, other speed" if rate else "same recording"
    n_longer = 1000
    assert LONGER_SHARE * n_longer == pytest.approx(550)
    for n_alike, expected in ((551, whole), (549, "contained")):
        assert told(made(overlap=n_alike, lag=300, rate=rate), n_longer, n_alike) == expected
    n_shorter = 200
    assert SHORTER_SHARE * n_shorter == pytest.approx(140)
    for n_alike, expected in ((141, "contained"), (139, "related")):
        assert told(made(overlap=n_alike, lag=300, rate=rate), n_longer, n_shorter) == expected


def test_unlike_ends_count_for_no_share() -> None:
    """Property: it is what is alike that is compared with the lengths, not what lies over each other."""
    steps = [*[NO] * 5, *[YES] * 10, *[NO] * 5]
    assert shares(made(similarity=steps), N, N) == pytest.approx((0.5, 0.5))
    assert told(made(similarity=steps)) == "related", "half of either, at the same speed"
    assert told(made(similarity=[*[NO] * 5, *[YES] * 15])) == "same recording"
    assert told(made(similarity=steps), 2 * N, N) == "related"
    assert told(made(similarity=steps, overlap=N), 2 * N, 400) == "contained"


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (made(-1.0, errors=640 * 32 * 2 // 5, prominence=-0.5, distinct=1), "same recording"),
        (made(1.0, errors=640 * 32 * 2 // 5 + 1), "other"),
        (made(1.0, overlap=551, path=(0, 1, 0, 1)), "same recording"),
        (made(1.0, overlap=549), "contained"),
        (made(1.0, rate=0.2), "same recording"),
    ],
)
def test_the_classic_way_raw_agreement_decides_alone(match: Match, expected: Verdict) -> None:
    n_longer = 1000 if match.overlap < N else N
    asked = limits(classic=0.6, related=1.0, same=1.0)
    assert told(match, n_longer, 640, asked) == expected
    assert [(c.name, c.value, c.threshold) for c in criteria(match, n_longer, 640, asked)] == [
        ("agreement", match.agreement, 0.6)
    ]


# ---- why ----


def test_criteria_name_value_and_threshold() -> None:
    match = made(0.3, prominence=0.2, similarity=[NO, *[YES] * 15, *[NO] * 4])
    found = criteria(match, N, 2 * N, limits())
    assert [(c.name, c.threshold, c.met) for c in found] == [
        (KEPT, STORED_KAPPA, True),
        (CHANCE, 0.1, True),
        (SCORE, 0.45, False),
        (PROMINENCE, 0.05, True),
        (STEPS, ALIKE_SHARE, True),
        (OWN, OWN_S, True),
        (OF_LONGER, LONGER_SHARE, False),
        (OF_SHORTER, SHORTER_SHARE, True),
    ]
    assert [c.value for c in found] == pytest.approx([0.3, match.evidence, 0.3, 0.2, 1.0, 0.0, 0.375, 0.75])


def test_criteria_of_another_speed() -> None:
    found = criteria(made(0.4, rate=-0.02), N, N, limits())
    assert [(c.name, c.met) for c in found] == [
        *((name, True) for name in (KEPT, CHANCE, SPEED, SCORE, OWN, OF_LONGER, OF_SHORTER)),
    ]
    assert [c.value for c in found][2:4] == pytest.approx([0.98, 0.4])
    assert [c.threshold for c in found][2:4] == pytest.approx([0.95, 0.45 - 0.02 * LESS_BY_SPEED])


def test_what_is_certain_is_not_asked_for_prominence() -> None:
    asked = {c.name: c for c in criteria(made(CERTAIN, prominence=0.0), N, N, limits())}[PROMINENCE]
    assert (asked.threshold, asked.met) == (0.0, True)


@st.composite
def judged_matches(draw: st.DrawFn) -> tuple[Match, int, int, Thresholds]:
    """Matches around all limits, of tracks of any lengths."""
    n_a, n_b = draw(st.integers(80, 3000)), draw(st.integers(80, 3000))
    n_b = draw(st.sampled_from([n_a, n_b]))
    here = draw(st.integers(32, min(n_a, n_b)))
    start_a, start_b = draw(st.integers(0, n_a - here)), draw(st.integers(0, n_b - here))
    n_steps = min(128, -(-here // 32))
    n_unlike = draw(st.integers(0, min(4, n_steps)))
    steps = draw(st.permutations([NO] * n_unlike + [YES] * (n_steps - n_unlike)))
    kappa = draw(st.one_of(st.sampled_from([0.45, CERTAIN]), st.floats(0.1, 1)))
    match = made(
        kappa,
        lag=start_a - start_b,
        overlap=here,
        along=draw(st.one_of(st.just(kappa), st.floats(0.1, 1))),
        prominence=draw(st.one_of(st.sampled_from([0.0, 0.05]), st.floats(-0.1, 0.3))),
        rate=draw(st.one_of(st.just(0.0), st.floats(-0.06, -0.001), st.floats(0.001, 0.06))),
        contrast=draw(st.one_of(st.just(TRANSPOSED_CONTRAST), st.floats(-0.1, 0.3))),
        distinct=draw(st.integers(0, here)),
        path=(start_a, start_a + here, start_b, start_b + here - draw(st.integers(0, 3))),
        similarity=steps,
    )
    related = draw(st.sampled_from([0.05, 0.2, 0.3, match.evidence]))
    return match, n_a, n_b, limits(related=related)


@given(judged_matches())
def test_the_criteria_tell_what_the_verdict_is(judged: tuple[Match, int, int, Thresholds]) -> None:
    """Property: the verdict follows from which criteria are met, and from nothing else but whether it is transposed;
    nothing merges for which one of those that decide is not met."""
    match, n_a, n_b, thresholds = judged
    found = told(match, n_a, n_b, thresholds)
    met = {criterion.name: criterion.met for criterion in criteria(match, n_a, n_b, thresholds)}
    copy = all(met.get(name, True) for name in (KEPT, CHANCE, SPEED, SCORE, PROMINENCE, STEPS))
    assert (found == "other") == (not (met[KEPT] and met[CHANCE]))
    whole = copy and met[OWN] and met[OF_LONGER]
    assert (found in MERGING) == (whole and match.rate == 0)
    assert (found == "same recording, other speed") == (whole and match.rate != 0) == (whole and SPEED in met)
    assert (found == "contained") == (copy and met[OWN] and not met[OF_LONGER] and met[OF_SHORTER])
    assert found != "overlapping" or (copy and not met[OWN])
    assert found in {"other", "same recording", *BESIDE}
    assert not (found == "transposed" and copy)
    other_way = criteria(match.swapped(), n_b, n_a, thresholds)
    assert {criterion.name: criterion.met for criterion in other_way} == met


# ---- noise ----


def test_the_usual_noise_is_that_of_the_labelled_libraries() -> None:
    noise = usual_noise()
    assert (noise.n_pairs, noise.agreement) == (0, ())
    assert noise.share_agreeing(0.58) is None


def test_a_tenth_reaches_what_is_common_and_a_tenth_of_these_a_decade_more() -> None:
    noise = Noise(0.1, 0.02)
    chances = [noise.false_match(score) for score in (-1.0, 0.0, 0.1, 0.12, 0.14, 0.5)]
    assert chances == pytest.approx([1, 1, 0.1, 0.01, 0.001, 1e-21])
    assert noise.false_match(1e9) > 0
    fine = [noise.false_match(score) for score in np.linspace(0, 1, 1001)]
    assert all(one >= other for one, other in pairwise(fine))
    assert noise.false_match(above(0.1)) == pytest.approx(noise.false_match(0.1))


@pytest.mark.parametrize("n_tracks", [200, 10_000, 1_000_000])
@pytest.mark.parametrize("max_false", [0.0001, 0.01, 1.0])
def test_at_the_threshold_as_many_false_pairs_are_expected_as_were_asked_for(n_tracks: int, max_false: float) -> None:
    noise = usual_noise()
    expected = noise.false_match(noise.threshold(n_tracks, max_false)) * n_tracks * (n_tracks - 1) / 2
    assert expected == pytest.approx(max_false)


@pytest.mark.parametrize("n_tracks", [0, 1, 2, 3])
def test_the_threshold_of_few_tracks_is_never_below_what_is_common(n_tracks: int) -> None:
    noise = usual_noise()
    assert noise.threshold(n_tracks, 1000.0) == noise.common
    assert noise.threshold(n_tracks, 0.01) > noise.common


def test_the_share_of_unrelated_pairs_that_agree_so_well() -> None:
    noise = Noise(0.1, 0.02, 100, (50, 30, 10, 5, 3, 2, *[0] * 44))
    assert [noise.share_agreeing(agreement) for agreement in (0.4, 0.5, 0.51, 0.55, 0.56, 1.0)] == pytest.approx(
        [1.0, 1.0, 0.5, 0.02, 0.0, 0.0]
    )


def test_pairs_of_the_library_are_all_pairs_of_different_tracks() -> None:
    assert [limits(n_tracks=n).n_pairs for n in (0, 1, 2, 10)] == [0, 0, 1, 45]


# ---- which of the two has more in front ----


def test_a_positive_lag_means_that_the_first_has_more_in_front(tmp_path: Path) -> None:
    music = stores.recording(1, 200)
    late = np.concatenate([stores.recording(2, 30), music])  # 30 items of something else in front
    settings = CompareSettings(varispeed=False)

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
