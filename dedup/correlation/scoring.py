"""What the numbers of a pair mean: whether it is more than chance, and what the two tracks are to each other.

The score is chance-corrected agreement, at the best lag or along the path of lags. The evidence is the score, less what
a short or monotonous overlap could reach by luck. How much evidence unrelated tracks show is measured on the library
itself (`noise`), and decides whether a pair is more than chance. Above that line, agreement alone does not tell a copy
from another version of the same tune; whether all of it agrees does. The few constants, and what they were fitted on,
are in `fitted.json`, which `scripts/study/fit_scoring.py` makes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from dedup.correlation.match import STORED_KAPPA, Match, fitted
from dedup.settings import ITEMS_PER_SECOND

Verdict = Literal[
    "same file",
    "identical file",
    "same audio",
    "same recording",
    "same audio, picture not compared",
    "same recording, other speed",
    "another mix",
    "overlapping",
    "contained",
    "transposed",
    "related",
    "other",
]

MERGING: frozenset[Verdict] = frozenset({"same file", "identical file", "same audio", "same recording"})
"""Verdicts that put two tracks in one group."""

BESIDE: tuple[Verdict, ...] = (
    "same audio, picture not compared",
    "same recording, other speed",
    "another mix",
    "overlapping",
    "contained",
    "transposed",
    "related",
)
"""Verdicts that are shown beside a group and never merge tracks."""

MIN_DISTINCT = 24
"""Different items, without silence, that a fingerprint needs to be evidence at all: 10 s of music have 40 or more, a
tone or a hum has a handful."""

ALIKE_SHARE = 0.92
"""Share of the steps that must be alike. Two versions of one tune that otherwise agree like a copy have 0.89, plain
duplicates 0.97 or more."""

LONGER_SHARE = 0.55
"""Share of the longer track that must be alike in a copy, trimmed or not; with less, the shorter is an excerpt."""

SHORTER_SHARE = 0.7
"""Share of the shorter track that must be alike in an excerpt; with less, the two only have a passage in common."""

OVERLAPPING_SHARE = 0.25
"""Share of the shorter track that must be alike in two that overlap; with less, they only have a passage in common."""

OWN_S = 10.0
"""Seconds that each of two tracks must have before or after what they share, where the other has nothing, for neither
to be a copy of the other: less may be silence, which only listening tells."""

CERTAIN = 0.85
"""Score from which no prominence is needed: music that repeats itself, such as loops, has none."""

MAX_RATE = 0.05
"""Largest difference in speed of a copy that was not heard again (`confirm`); without that, music that differs by more
may have been played, or made, that way."""

HYPOTHESES = 50
"""Rates and pitches that are tried for each pair (`tilted.HYPOTHESES`)."""

MORE_EVIDENCE = 0.02
"""Evidence that a pair at another speed or pitch must have beyond that: the best of several is chosen."""

LESS_BY_SPEED = 5.0
"""Score that a copy at another speed may lack, for each unit of its rate: 0.05 for 1 %. The lowest of 85 pairs whose
speeds differ had 0.43 at 1 %, 0.40 at 2 %, 0.36 at 4 %."""

LEAST_AT_OTHER_SPEED = 0.25
"""Score that a copy must have at any speed."""

TRANSPOSED_PATH, TRANSPOSED_CONTRAST = 0.8, 0.1
"""Share of both tracks on the path of a transposed copy, and how much better the bits that a transposition leaves alone
agree than the others. The lowest of 14 copies by a semitone has 0.12; other versions have 0.07 at most."""


class Change(NamedTuple):
    """What was changed in a copy, as hearing it again at another pitch has shown (`confirm`)."""

    kind: str
    """"speed" (its pitch went with it), "tempo" (its pitch was kept), "pitch" (its tempo was kept), "both" (each by
    another ratio), or "none" of these."""
    pitch: float
    """How many times as high as the second the first sounds."""

    def swapped(self) -> Change:
        return Change(self.kind, 1 / self.pitch)


@dataclass(frozen=True)
class Noise:
    """How much evidence unrelated tracks show for being related."""

    common: float
    """Evidence that a tenth of the unrelated pairs reach."""
    decade: float
    """Further evidence that a tenth of these reach, and so on."""
    n_pairs: int = 0
    """Pairs of this library that were measured; 0 if the noise is that of other music."""
    agreement: tuple[int, ...] = ()
    """Number of these pairs whose raw agreement at the best lag is 0.50 to 0.51, 0.51 to 0.52, … 0.99 to 1."""

    def false_match(self, evidence: float) -> float:
        """The estimated chance that two unrelated tracks show this much or more, 0 to 1."""
        if evidence <= self.common:
            return 10 ** -max(0.0, evidence / self.common)
        return 0.1 * 10 ** -min(300.0, (evidence - self.common) / self.decade)

    def threshold(self, n_tracks: int, max_false: float) -> float:
        """The evidence that `max_false` pairs of unrelated tracks are expected to reach among this many tracks."""
        n_pairs = max(1.0, n_tracks * (n_tracks - 1) / 2)
        return self.common + self.decade * max(0.0, math.log10(0.1 * n_pairs / max_false))

    def share_agreeing(self, agreement: float) -> float | None:
        """The share of unrelated pairs whose raw agreement at the best lag is at least this (to a hundredth, 0.5 or
        more); None if it was not measured."""
        first = min(49, round((agreement - 0.5) * 100))
        return sum(self.agreement[max(0, first) :]) / self.n_pairs if self.n_pairs else None


def usual_noise() -> Noise:
    """The noise of the music it was fitted on, for libraries that have none of their own."""
    return Noise(fitted()["least_common"], fitted()["least_decade"])


@dataclass(frozen=True)
class Thresholds:
    """The settings, turned into numbers for this library."""

    related: float
    """Evidence from which two tracks are related."""
    other_speed: float
    """Evidence from which they are related if one of them was stretched: more pairs were tried then."""
    same: float
    """Score from which they may be one recording."""
    min_prominence: float
    """Prominence from which they may be one recording."""
    classic: float | None
    """Raw agreement that decides alone; None if it does not."""
    noise: Noise
    """Evidence that unrelated tracks of the library show."""
    n_tracks: int
    """Tracks that were compared with one another."""

    @property
    def n_pairs(self) -> int:
        return self.n_tracks * (self.n_tracks - 1) // 2

    def false_match(self, match: Match) -> float:
        """The estimated chance that two unrelated tracks of the library would agree as well, 0 to 1."""
        return self.noise.false_match(match.evidence)


class Criterion(NamedTuple):
    """One number of a pair against its threshold."""

    name: str
    value: float
    threshold: float
    at_most: bool = False
    """Whether the threshold is the most that is allowed, rather than the least."""

    @property
    def met(self) -> bool:
        return self.value <= self.threshold if self.at_most else self.value >= self.threshold


def criteria(
    match: Match, n_items_a: int, n_items_b: int, thresholds: Thresholds, change: Change | None = None
) -> tuple[Criterion, ...]:
    """The numbers that decide the verdict, in the order in which they are asked; `change` as of `verdict`."""
    if thresholds.classic is not None:
        return (Criterion("agreement", match.agreement, thresholds.classic),)
    of_longer, of_shorter = _of_longer_and_shorter(match, n_items_a, n_items_b)
    return (
        Criterion(KEPT, match.score, STORED_KAPPA),
        Criterion(CHANCE, match.evidence, thresholds.related),
        *_copy_criteria(match, thresholds, confirmed=change is not None and change.kind in _CHANGED),
        Criterion(OWN, own_s(match, n_items_a, n_items_b), OWN_S, at_most=True),
        Criterion(OF_LONGER, of_longer, LONGER_SHARE),
        Criterion(OF_SHORTER, of_shorter, SHORTER_SHARE),
    )


CHANCE, SPEED, SCORE, PROMINENCE, STEPS = "evidence", "speed", "score", "prominence", "steps alike"
OWN = "seconds of its own that each has"
KEPT, OF_LONGER, OF_SHORTER = "score to be kept", "share of the longer", "share of the shorter"


def _copy_criteria(match: Match, thresholds: Thresholds, confirmed: bool = False) -> tuple[Criterion, ...]:
    """What a pair must meet, all of it, to agree as only copies do. Copies at another speed must meet less until they
    are `confirmed`: they keep fewer bits, and steps that all lie on a line show what prominence and alike steps show
    for others."""
    if match.rate and not confirmed:
        faster = -math.expm1(-abs(match.log_rate))  # the same whichever of the two comes first
        asked = max(LEAST_AT_OTHER_SPEED, thresholds.same - LESS_BY_SPEED * faster)
        return Criterion(SPEED, 1 - faster, 1 - MAX_RATE), Criterion(SCORE, match.score, asked)
    prominence = 0.0 if match.score >= CERTAIN else thresholds.min_prominence
    return (
        Criterion(SCORE, match.score, thresholds.same),
        Criterion(PROMINENCE, match.prominence_along, prominence),
        Criterion(STEPS, match.core().alike, ALIKE_SHARE),
    )


def shares(match: Match, n_items_a: int, n_items_b: int) -> tuple[float, float]:
    """The share of each fingerprint that is the same in the other."""
    a_from, a_to, b_from, b_to = match.place()
    return (a_to - a_from) * ITEMS_PER_SECOND / n_items_a, (b_to - b_from) * ITEMS_PER_SECOND / n_items_b


def _of_longer_and_shorter(match: Match, n_items_a: int, n_items_b: int) -> tuple[float, float]:
    """`shares` of the longer and of the shorter; if both have the same length, the smaller share comes first."""
    share_a, share_b = shares(match, n_items_a, n_items_b)
    if n_items_a == n_items_b:
        return min(share_a, share_b), max(share_a, share_b)
    return (share_a, share_b) if n_items_a > n_items_b else (share_b, share_a)


def verdict(
    match: Match,
    n_items_a: int,
    n_items_b: int,
    thresholds: Thresholds,
    change: Change | None = None,
    is_at_other_pitch: bool = False,
) -> Verdict:
    """What two fingerprints of different audio are to each other, by sound alone. `change` is what was confirmed; the
    numbers are those at the pitch that it says. What is of another pitch, and that is not confirmed, is related."""
    if thresholds.classic is not None:
        return _classic_verdict(match, n_items_a, n_items_b, thresholds.classic)
    if match.evidence < thresholds.related or match.score < STORED_KAPPA:
        return "other"
    if is_at_other_pitch:
        return "related"
    if change is not None and change.kind in _CHANGED:
        return _verdict_on_change(match, n_items_a, n_items_b, thresholds, change)
    return _verdict_as_it_is(match, n_items_a, n_items_b, thresholds)


def _verdict_on_change(match: Match, n_items_a: int, n_items_b: int, thresholds: Thresholds, change: Change) -> Verdict:
    is_copy = all(criterion.met for criterion in _copy_criteria(match, thresholds, confirmed=True))
    of_longer, _ = _of_longer_and_shorter(match, n_items_a, n_items_b)
    return _CHANGED[change.kind] if is_copy and of_longer >= LONGER_SHARE else "related"


def _verdict_as_it_is(match: Match, n_items_a: int, n_items_b: int, thresholds: Thresholds) -> Verdict:
    if not all(criterion.met for criterion in _copy_criteria(match, thresholds)):
        return "transposed" if _is_transposed(match, n_items_a, n_items_b) else "related"
    of_longer, of_shorter = _of_longer_and_shorter(match, n_items_a, n_items_b)
    if own_s(match, n_items_a, n_items_b) > OWN_S:
        return "overlapping" if of_shorter >= OVERLAPPING_SHARE else "related"
    if of_longer >= LONGER_SHARE:
        return "same recording, other speed" if match.rate else "same recording"
    return "contained" if of_shorter >= SHORTER_SHARE else "related"


_CHANGED: dict[str, Verdict] = {
    "speed": "same recording, other speed",
    "tempo": "same recording, other speed",
    "both": "same recording, other speed",
    "pitch": "transposed",
}
"""The verdict on a copy in which this was changed."""


def is_at_same_pitch(match: Match, n_items_a: int, n_items_b: int, thresholds: Thresholds) -> bool:
    """Whether nothing speaks for two fingerprints being of one recording at another speed or pitch: they are unrelated
    or copies as they are, or have no more than a passage in common."""
    if thresholds.classic is not None or match.evidence < thresholds.related or match.score < STORED_KAPPA:
        return True
    share = min((match.to_a - match.from_a) / n_items_a, (match.to_b - match.from_b) / n_items_b)
    if share < LONGER_SHARE:
        return True
    return not match.rate and all(criterion.met for criterion in _copy_criteria(match, thresholds))


def own_s(match: Match, n_items_a: int, n_items_b: int) -> float:
    """Seconds that each of two tracks has, at least, where the other has already ended or not yet begun."""
    own_a = max(match.from_a, n_items_a - match.to_a)
    own_b = max(match.from_b, n_items_b - match.to_b)
    return max(0, min(own_a, own_b)) / ITEMS_PER_SECOND


def _classic_verdict(match: Match, n_items_a: int, n_items_b: int, agreement: float) -> Verdict:
    if match.agreement < agreement:
        return "other"
    return "same recording" if match.overlap / max(n_items_a, n_items_b) >= LONGER_SHARE else "contained"


def _is_transposed(match: Match, n_items_a: int, n_items_b: int) -> bool:
    """Whether two tracks agree from end to end, except in their pitch."""
    path_a, path_b = (match.to_a - match.from_a) / n_items_a, (match.to_b - match.from_b) / n_items_b
    return min(path_a, path_b) >= TRANSPOSED_PATH and match.contrast >= TRANSPOSED_CONTRAST
