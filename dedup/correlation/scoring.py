"""What the numbers of a pair mean: from which on it is stored, from which on it is a match, and what kind of match.

The thresholds rest on 27 recordings in 125 versions and 476 unrelated tracks: chance-corrected agreement of the lowest
plain duplicate (bass +8 dB) 0.58, of the highest unrelated pair 0.18, but for one family of jingles. Raw agreement
separates nothing: rain and wind agree at 0.75 at every lag, silence with silence at 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dedup.settings import ITEMS_PER_SECOND, MatchSettings

Verdict = Literal["same file", "identical file", "same audio", "same recording", "contained", "other"]

MERGING: frozenset[Verdict] = frozenset({"same file", "identical file", "same audio", "same recording"})
"""Verdicts that put two tracks into one group."""

PAIR = np.dtype(
    [
        ("row_a", "<u4"),
        ("row_b", "<u4"),
        ("lag", "<i4"),
        ("overlap", "<u4"),
        ("errors", "<u4"),
        ("score", "<f8"),
        ("prominence", "<f8"),
    ]
)
"""A stored pair, 36 bytes: rows of the tile's two blocks; lag in items, positive where `a` has more in front; items
that overlap; bits that differ over them; chance-corrected agreement; prominence."""

STORED_AGREEMENT, STORED_SCORE = 0.55, 0.2
"""Pairs below either are not stored. Far below any threshold one could ask for: unrelated pairs reach 0.18."""

MIN_DISTINCT = 24
"""Different items, silence not counted, that a fingerprint needs to be evidence at all: 10 s of music have 40 and
more, a tone or a hum a handful."""

CONTAINED_SHARE = 0.55
"""A pair whose overlap is a smaller share of the longer track is an excerpt of it, not the same recording trimmed."""


@dataclass(frozen=True, slots=True)
class Match:
    """Two fingerprints at their best lag."""

    lag: int
    """Items; positive where the first has more in front."""
    overlap: int
    """Items, 1 or more."""
    errors: int
    """Bits, 0 to 32 times `overlap`."""
    score: float
    """Chance-corrected agreement over what is not silent in both, below 0 to 1."""
    prominence: float
    """Agreement minus the best one at any lag more than 16 items away, -0.5 to 0.5."""

    @property
    def agreement(self) -> float:
        """Share of equal bits over the overlap, 0 to 1; chance is about 0.5."""
        return 1 - self.errors / (32 * self.overlap)

    @property
    def lag_s(self) -> float:
        return self.lag / ITEMS_PER_SECOND

    @property
    def overlap_s(self) -> float:
        return self.overlap / ITEMS_PER_SECOND

    def swapped(self) -> Match:
        """The same pair, named the other way round."""
        return Match(-self.lag, self.overlap, self.errors, self.score, self.prominence)


def identity_match(n_items: int) -> Match:
    """A fingerprint against itself."""
    return Match(lag=0, overlap=n_items, errors=0, score=1.0, prominence=0.5)


@dataclass(frozen=True)
class Criterion:
    """One number of a pair against its threshold."""

    name: str
    value: float
    threshold: float

    @property
    def met(self) -> bool:
        return self.value >= self.threshold


def criteria(match: Match, settings: MatchSettings) -> tuple[Criterion, ...]:
    """What a pair must meet to be a match, all of it."""
    return (
        Criterion("score", match.score, settings.min_score),
        Criterion("prominence", match.prominence, settings.min_prominence),
    )


def verdict(match: Match, n_items_a: int, n_items_b: int, settings: MatchSettings) -> Verdict:
    """What two fingerprints of different audio are to each other, by sound alone."""
    if not all(criterion.met for criterion in criteria(match, settings)):
        return "other"
    if match.overlap / max(n_items_a, n_items_b) < CONTAINED_SHARE:  # the product may round past the boundary
        return "contained"
    return "same recording"
