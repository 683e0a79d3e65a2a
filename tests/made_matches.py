"""Matches and thresholds made by hand, for the tests of what they come to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dedup.correlation.match import Match
from dedup.correlation.scoring import Thresholds, usual_noise

LIMITS = Thresholds(
    related=0.1, other_speed=0.12, same=0.45, min_prominence=0.05, classic=None, noise=usual_noise(), n_tracks=1000
)


def limits(**changes: Any) -> Thresholds:
    return replace(LIMITS, **changes)


def made(
    kappa: float = 1.0,
    *,
    lag: int = 0,
    overlap: int = 640,
    errors: int = 0,
    prominence: float = 0.5,
    along: float | None = None,
    rate: float = 0.0,
    contrast: float = 0.0,
    distinct: int = 600,
    path: tuple[int, int, int, int] | None = None,
    similarity: Sequence[float] | None = None,
) -> Match:
    """A match that is the same from end to end, but for what is said. The path is the overlap at that lag, and along it
    the pair agrees as at that lag; NaN is a step that is silent in both."""
    start_a, start_b = max(0, lag), max(0, -lag)
    path = path or (start_a, start_a + overlap, start_b, start_b + overlap)
    steps = steps_of([1.0] * math.ceil(overlap / 32) if similarity is None else similarity)
    along = kappa if along is None else along
    return Match(
        lag, overlap, errors, kappa, prominence, along, round(math.log1p(rate), 9), contrast, distinct, *path, steps
    )


def steps_of(similarity: Sequence[float]) -> bytes:
    """Steps as a match keeps them."""
    return bytes(0 if math.isnan(value) else 1 + round(254 * value) for value in similarity)
