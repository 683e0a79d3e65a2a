"""What only one of two files has, over time and frequency: at its moment and its pitch, on the side that has it, and
small however long the files are."""

from __future__ import annotations

import numpy as np
import pytest

from dedup.nulltest.compare import compare
from dedup.nulltest.residual import MOST_STEPS, Residual, residual
from tests.test_nulltest import at, music

HZ = 1000.0


def bleeped() -> np.ndarray:
    """The music with 1 kHz over it from second 10 to 12."""
    sound = music().copy()
    sound[at(10) : at(12)] += 9000 * np.sin(2 * np.pi * HZ * np.arange(at(12) - at(10)) / 11_025).astype(np.float32)
    return sound


def found(*given: object) -> Residual:
    left = residual(*given)  # type: ignore[arg-type]
    assert left is not None
    return left


def place(left: Residual, sign: int) -> tuple[float, float, float, float]:
    """First and last second, lowest and highest Hz of what one side has clearly more."""
    steps, bands = np.nonzero(sign * left.excess > 10)
    seconds = left.start_s + (left.end_s - left.start_s) / len(left.excess) * np.array([steps.min(), steps.max() + 1])
    return (*seconds, left.edges_hz[bands.min()], left.edges_hz[bands.max() + 1])


@pytest.mark.parametrize("in_front_s", [0, 3])
def test_a_bleep_is_where_it_sounds(in_front_s: int) -> None:
    """Property: times are those of the first file, whichever of the two the null test takes first."""
    other = music()[at(in_front_s) :]
    start_s, end_s, low, high = place(found(bleeped(), other, float(in_front_s)), 1)
    assert (start_s, end_s) == (pytest.approx(10, abs=0.15), pytest.approx(12, abs=0.15))
    assert HZ / 1.5 < low < HZ < high < HZ * 1.5
    turned = place(found(other, bleeped(), float(-in_front_s)), -1)
    assert turned == pytest.approx((start_s - in_front_s, end_s - in_front_s, low, high), abs=0.06)


def test_it_covers_what_the_two_share() -> None:
    left = found(music()[: at(20)], music()[at(5) :], 5.0)
    assert (left.start_s, left.end_s) == (pytest.approx(5, abs=0.1), pytest.approx(20, abs=0.1))
    assert np.abs(left.excess).max() < 1
    assert not found(music(), music(), 0.0).excess.any()


def test_where_one_has_a_stretch_more_there_is_nothing_to_compare() -> None:
    inserted = np.concatenate([music()[: at(12)], music("piano", 9)[: at(6)], music()[at(12) :]])
    (span,) = compare(inserted, music(), 0.0).only_a
    left = found(inserted, music(), 0.0)
    steps = np.flatnonzero(np.isnan(left.excess).all(axis=1))
    step_s = (left.end_s - left.start_s) / len(left.excess)
    assert len(steps) * step_s == pytest.approx(span.length_s, abs=0.3)
    assert left.start_s + steps[0] * step_s == pytest.approx(span.start_s, abs=0.3)


def test_a_long_file_takes_no_more_steps_and_loses_no_place() -> None:
    whole, other = (np.concatenate([music("song", 1), sound] * 8) for sound in (music(), bleeped()))
    left = found(whole, other, 0.0)
    assert left.excess.shape[0] in range(MOST_STEPS // 2, MOST_STEPS + 1)
    assert np.array_equal(left.excess, found(whole, other, 0.0).excess)
    bleeps = np.flatnonzero(np.diff((left.excess < -10).any(axis=1).astype(int)) == 1)
    assert len(bleeps) == 8


def test_what_shares_nothing_has_no_residual() -> None:
    assert residual(music()[: at(0.05)], music()[: at(0.05)], 0.0) is None
