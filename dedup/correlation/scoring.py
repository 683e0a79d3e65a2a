"""What the numbers of a pair mean: from which on it is stored, what it is evidence of, and what the two are to each
other.

The score is chance-corrected agreement along the path of lags; the evidence is the score, less what a short or
monotonous overlap could have by luck. How much of it unrelated tracks show is measured on the library itself (`noise`),
and decides from when on a pair is more than chance. Above that line agreement alone does not tell a copy from another
version of the same tune; what does is whether all of it agrees. The few constants, and what they were fitted on, are in
`fitted.json`, which `scripts/study/fit_scoring.py` makes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from dedup.correlation.match import STORED_KAPPA, Match, fitted
from dedup.settings import ITEMS_PER_SECOND

Verdict = Literal[
    "same file",
    "identical file",
    "same audio",
    "same recording",
    "same recording, other speed",
    "contained",
    "transposed",
    "related",
    "other",
]

MERGING: frozenset[Verdict] = frozenset(
    {"same file", "identical file", "same audio", "same recording", "same recording, other speed"}
)
"""Verdicts that put two tracks into one group."""

BESIDE: tuple[Verdict, ...] = ("contained", "transposed", "related")
"""Verdicts that are shown beside a group and never merge."""

MIN_DISTINCT = 24
"""Different items, silence not counted, that a fingerprint needs to be evidence at all: 10 s of music have 40 and
more, a tone or a hum a handful."""

ALIKE_SHARE = 0.92
"""Share of the steps that must be alike. Two versions of one tune that otherwise agree as a copy does have 0.89,
plain duplicates 0.97 and more."""

LONGER_SHARE = 0.55
"""A pair that is alike over a smaller share of the longer track is no copy of it, at most trimmed, but an excerpt."""

SHORTER_SHARE = 0.7
"""... and this share of the shorter one must be alike, else the two merely share a passage."""

CERTAIN = 0.85
"""Kappa from which on prominence is not asked for: what repeats itself, as loops do, has none."""

MAX_RATE = 0.05
"""Copies run faster or slower by so much at most; what differs by more was played, or made, so."""

LESS_BY_SPEED = 5.0
"""Score that a copy of other speed may lack, for each unit of its rate: 0.05 for 1 %. Of 85 pairs whose speeds differ
the lowest had 0.43 at 1 %, 0.40 at 2 %, 0.36 at 4 %."""

TRANSPOSED_PATH, TRANSPOSED_CONTRAST = 0.8, 0.1
"""A transposed copy goes along with the other for this share of both, and the bits that a transposition leaves alone
agree so much better than the others. The lowest of 14 copies by a semitone has 0.12; other versions have 0.07 at
most."""


@dataclass(frozen=True)
class Noise:
    """The evidence that unrelated tracks show for being related."""

    common: float
    """What a tenth of the pairs reaches."""
    decade: float
    """By how much more a tenth of these, and so on."""
    n_pairs: int = 0
    """Pairs of the library's own that this rests on; 0 where it is what other music has."""
    agreement: tuple[int, ...] = ()
    """How many of them have, at their best lag, a raw agreement of 0.50 to 0.51, 0.51 to 0.52, … 0.99 to 1."""

    def false_match(self, evidence: float) -> float:
        """The estimated chance that two unrelated tracks show this much or more, 0 to 1."""
        if evidence <= self.common:
            return 10 ** -max(0.0, evidence / self.common)
        return 0.1 * 10 ** -min(300.0, (evidence - self.common) / self.decade)

    def threshold(self, n_tracks: int, max_false: float) -> float:
        """The evidence that `max_false` pairs of unrelated tracks among so many are expected to reach."""
        n_pairs = max(1.0, n_tracks * (n_tracks - 1) / 2)
        return self.common + self.decade * max(0.0, math.log10(0.1 * n_pairs / max_false))

    def share_agreeing(self, agreement: float) -> float | None:
        """The share of unrelated pairs whose raw agreement at their best lag is at least this (to a hundredth, from 0.5
        on), None where it was not measured."""
        first = min(49, round((agreement - 0.5) * 100))
        return sum(self.agreement[max(0, first) :]) / self.n_pairs if self.n_pairs else None


def usual_noise() -> Noise:
    """That of the music it was fitted on, for want of better."""
    return Noise(fitted()["least_common"], fitted()["least_decade"])


@dataclass(frozen=True)
class Thresholds:
    """Settings, made numbers by what the library is."""

    related: float
    """Evidence from which on two tracks have something to do with each other."""
    same: float
    """Score from which on they may be one recording."""
    min_prominence: float
    classic: float | None
    """Raw agreement that decides alone, where one was asked for."""
    noise: Noise
    """How well unrelated tracks of the library do."""
    n_tracks: int
    """That were compared with one another."""

    @property
    def n_pairs(self) -> int:
        return self.n_tracks * (self.n_tracks - 1) // 2

    def false_match(self, match: Match) -> float:
        """The estimated chance that two unrelated tracks of the library would do as well, 0 to 1."""
        return self.noise.false_match(match.evidence)


@dataclass(frozen=True)
class Criterion:
    """One number of a pair against its threshold."""

    name: str
    value: float
    threshold: float

    @property
    def met(self) -> bool:
        return self.value >= self.threshold


def criteria(match: Match, n_items_a: int, n_items_b: int, thresholds: Thresholds) -> tuple[Criterion, ...]:
    """The numbers that decide between the verdicts, in the order in which they do."""
    if thresholds.classic is not None:
        return (Criterion("agreement", match.agreement, thresholds.classic),)
    of_longer, of_shorter = _of_longer_and_shorter(match, n_items_a, n_items_b)
    return (
        Criterion(KEPT, match.score, STORED_KAPPA),
        Criterion(CHANCE, match.evidence, thresholds.related),
        *_copy_criteria(match, thresholds),
        Criterion(OF_LONGER, of_longer, LONGER_SHARE),
        Criterion(OF_SHORTER, of_shorter, SHORTER_SHARE),
    )


CHANCE, SPEED, SCORE, PROMINENCE, STEPS = "evidence", "speed", "score", "prominence", "steps alike"
KEPT, OF_LONGER, OF_SHORTER = "score to be kept", "share of the longer", "share of the shorter"


def _copy_criteria(match: Match, thresholds: Thresholds) -> tuple[Criterion, ...]:
    """What a pair must meet to agree as only copies do, all of it. Of copies of other speed it is less: they keep fewer
    bits, and that all steps lie on a line says what prominence and steps say of others."""
    if match.rate:
        faster = -math.expm1(-abs(match.log_rate))  # the same whichever of the two comes first
        asked = thresholds.same - LESS_BY_SPEED * faster
        return Criterion(SPEED, 1 - faster, 1 - MAX_RATE), Criterion(SCORE, match.score, asked)
    prominence = 0.0 if match.score >= CERTAIN else thresholds.min_prominence
    return (
        Criterion(SCORE, match.score, thresholds.same),
        Criterion(PROMINENCE, match.prominence_along, prominence),
        Criterion(STEPS, match.core().alike, ALIKE_SHARE),
    )


def shares(match: Match, n_items_a: int, n_items_b: int) -> tuple[float, float]:
    """Share of each of two fingerprints that is the same in the other."""
    a_from, a_to, b_from, b_to = match.place()
    return (a_to - a_from) * ITEMS_PER_SECOND / n_items_a, (b_to - b_from) * ITEMS_PER_SECOND / n_items_b


def _of_longer_and_shorter(match: Match, n_items_a: int, n_items_b: int) -> tuple[float, float]:
    """`shares` of the longer and of the shorter; of two of one length the smaller share comes first."""
    share_a, share_b = shares(match, n_items_a, n_items_b)
    if n_items_a == n_items_b:
        return min(share_a, share_b), max(share_a, share_b)
    return (share_a, share_b) if n_items_a > n_items_b else (share_b, share_a)


def verdict(match: Match, n_items_a: int, n_items_b: int, thresholds: Thresholds) -> Verdict:
    """What two fingerprints of different audio are to each other, by sound alone."""
    if thresholds.classic is not None:
        return _classic_verdict(match, n_items_a, n_items_b, thresholds.classic)
    if match.evidence < thresholds.related or match.score < STORED_KAPPA:
        return "other"
    if not all(criterion.met for criterion in _copy_criteria(match, thresholds)):
        return "transposed" if _is_transposed(match, n_items_a, n_items_b) else "related"
    of_longer, of_shorter = _of_longer_and_shorter(match, n_items_a, n_items_b)
    if of_longer >= LONGER_SHARE:
        return "same recording, other speed" if match.rate else "same recording"
    return "contained" if of_shorter >= SHORTER_SHARE else "related"


def _classic_verdict(match: Match, n_items_a: int, n_items_b: int, agreement: float) -> Verdict:
    if match.agreement < agreement:
        return "other"
    return "same recording" if match.overlap / max(n_items_a, n_items_b) >= LONGER_SHARE else "contained"


def _is_transposed(match: Match, n_items_a: int, n_items_b: int) -> bool:
    """Whether two tracks go along with each other from end to end, at one speed, but for their pitch."""
    path_a, path_b = (match.to_a - match.from_a) / n_items_a, (match.to_b - match.from_b) / n_items_b
    return min(path_a, path_b) >= TRANSPOSED_PATH and match.contrast >= TRANSPOSED_CONTRAST
