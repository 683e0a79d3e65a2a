"""The program's results on a library in which every pair is false, against its predictions: `calibrate.py` prints
them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.correlation.compare import compare_two
from dedup.correlation.match import STORED_KAPPA, evidence_of, fitted
from dedup.correlation.noise import upper_tail
from dedup.correlation.scoring import MERGING, MIN_DISTINCT, Noise, verdict
from dedup.groups.matches import Matches
from dedup.settings import ITEMS_PER_SECOND, CompareSettings, MatchSettings
from dedup.store.items import Items
from dedup.store.store import Store

CLAIMS = MERGING | {"contained"}
"""Verdicts that are false here; related and transposed say less."""

MAX_FALSE = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
EVERYTHING = 1e12
"""Allowed pairs with which everything stored above the noise's upper tenth is read."""

CLASSIC = 0.58
"""Raw agreement at which older tools call a pair the same."""

N_HIGHEST = 5
CLOSER_LOOK = 10.0
"""Allowed pairs in the table of the kinds of sound."""

Pairs = npt.NDArray[np.int64]
"""`[n, 2]`: indices of two prints, the lower first."""
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class Print(NamedTuple):
    """A fingerprint with the first track, by path, that has it."""

    id: int
    path: str
    kind: str
    """Kind of sound, or "made"."""
    n_distinct: int
    items: Items


@dataclass(frozen=True)
class Scores:
    """Pairs and their numbers, `[n]` each."""

    pairs: Pairs
    evidence: Floats
    score: Floats
    agreement: Floats
    """Raw agreement at the best lag."""

    def only(self, kept: Mask) -> Scores:
        return Scores(self.pairs[kept], self.evidence[kept], self.score[kept], self.agreement[kept])


@dataclass(frozen=True)
class Row:
    allowed: float
    """Number of false pairs that the setting allows."""
    predicted: float
    """Predicted number of false pairs; at most a tenth of all pairs, because the noise below is unknown."""
    threshold: float
    counted: float
    """Pairs with this evidence or more, whatever their verdict."""
    few_items: float
    """Counted pairs with a track of fewer than MIN_DISTINCT different items."""
    seen: int | None
    """Random pairs from which `counted` was scaled; None if it is an exact count."""
    stored: int
    """Stored pairs with this evidence or more."""


def weighed(store: Store, prints: Sequence[Print], sampled: Scores) -> dict[str, Any]:
    """The whole report of a library."""
    by_default, stored = Matches(store, MatchSettings()), read_stored(store, prints)
    noise, n_prints = by_default.thresholds.noise, len(prints)
    n_pairs = n_prints * (n_prints - 1) // 2
    verdicts = by_default.count_pairs()
    wrong = [pair for pair in by_default.pairs() if pair.verdict in CLAIMS]
    n_distinct = np.array([one.n_distinct for one in prints])
    complete_from = evidence_of(STORED_KAPPA, 0.0, int(np.sort(n_distinct)[-2]))
    weigher = Weigher(noise, n_prints, stored, sampled, n_distinct < MIN_DISTINCT, complete_from)
    agreeing = int(np.count_nonzero(sampled.agreement >= CLASSIC))
    share = noise.share_agreeing(CLASSIC)
    return {
        "tracks": sum(1 for _ in store.catalog.tracks.all()),
        "fingerprints": n_prints,
        "few_items": int(weigher.few.sum()),
        "pairs": n_pairs,
        "sampled": len(sampled.pairs),
        "fitted": fitted(),
        "noise": {"common": noise.common, "decade": noise.decade, "decoys": noise.n_pairs},
        "noise_of_sample": dict(zip(("common", "decade"), upper_tail(sampled.evidence), strict=True)),
        "reached": list(reached(noise, sampled.evidence)),
        "rows": [{**asdict(weigher.row(allowed)), "claimed": claimed(store, allowed)} for allowed in MAX_FALSE],
        "classic": {
            "agreement": CLASSIC,
            "predicted": None if share is None else share * n_pairs,
            "counted": agreeing * n_pairs / len(sampled.pairs),
            "seen": agreeing if len(sampled.pairs) < n_pairs else None,
        },
        "stored": {
            "complete_from": complete_from,
            **lost(stored, sampled, n_prints, by_default.thresholds.noise.common),
        },
        "verdicts": dict(sorted(verdicts.items())),
        "claimed": [(pair.verdict, pair.a.path.decode(), pair.b.path.decode()) for pair in wrong],
        "kinds": list(by_kind(prints, weigher)),
        "highest": highest(prints, stored, sampled, by_default),
    }


def claimed(store: Store, allowed: float) -> int:
    """Pairs that are called the same, or contained, if `allowed` false ones are accepted."""
    counts = Matches(store, MatchSettings(max_false=allowed)).count_pairs()
    return sum(n for name, n in counts.items() if name in CLAIMS)


def read_stored(store: Store, prints: Sequence[Print]) -> Scores:
    """The stored pairs, except those below the evidence that a tenth of all pairs should reach."""
    index = {one.id: i for i, one in enumerate(prints)}
    related = Matches(store, MatchSettings(max_false=EVERYTHING)).related
    matches = ((*sorted((index[a], index[b])), related.match(place)) for a, b, place in related.all())
    found = sorted((a, b, match.evidence, match.score, match.agreement) for a, b, match in matches)
    table = np.array(found, np.float64).reshape(-1, 5)
    return Scores(table[:, :2].astype(np.int64), *table[:, 2:].T)


def reached(noise: Noise, evidence: Floats) -> Iterator[dict[str, float]]:
    """The evidence that one pair in ten, one in a hundred and so on reaches, as long as ten random pairs do."""
    for decades in range(1, 9):
        if len(evidence) >= 10 ** (decades + 1):
            predicted = noise.common + (decades - 1) * noise.decade
            found = float(np.quantile(evidence, 1 - 10**-decades))
            yield {"one_in": 10**decades, "predicted": predicted, "found": found}


@dataclass(frozen=True)
class Weigher:
    """Counts pairs above a threshold of evidence, in the store or among the random ones."""

    noise: Noise
    n_prints: int
    stored: Scores
    sampled: Scores
    few: Mask
    """Mask of the prints with too few different items."""
    complete_from: float
    """Evidence at which every pair is worth storing."""

    def row(self, allowed: float) -> Row:
        n_pairs = self.n_prints * (self.n_prints - 1) / 2
        threshold = self.noise.threshold(self.n_prints, allowed)
        found, scale = self.reaching(threshold)
        few = int(np.count_nonzero(self.few[found.pairs].any(axis=1)))
        return Row(
            allowed=allowed,
            predicted=n_pairs * self.noise.false_match(threshold),
            threshold=threshold,
            counted=scale * len(found.pairs),
            few_items=scale * few,
            seen=len(found.pairs) if scale > 1 else None,
            stored=int(np.count_nonzero(self.stored.evidence >= threshold)),
        )

    def reaching(self, threshold: float) -> tuple[Scores, float]:
        """The pairs that reach the threshold, and the number of pairs for which each stands."""
        source, scale = self.stored, 1.0
        if threshold < self.complete_from:
            source, scale = self.sampled, self.n_prints * (self.n_prints - 1) / 2 / len(self.sampled.pairs)
        return source.only(source.evidence >= threshold), scale


def lost(stored: Scores, sampled: Scores, n_prints: int, common: float) -> dict[str, int]:
    """Number of random pairs with a score worth storing and evidence that a report could require, and how many are
    stored."""
    high = sampled.only((sampled.score >= STORED_KAPPA) & (sampled.evidence >= common)).pairs
    key = np.array([n_prints, 1])
    return {"sampled": len(high), "of_these_stored": int(np.isin(high @ key, stored.pairs @ key).sum())}


def by_kind(prints: Sequence[Print], weigher: Weigher) -> Iterator[dict[str, Any]]:
    """For each two kinds of sound: the evidence that a tenth of their pairs reaches, the highest, and the number of
    pairs above a threshold."""
    names = sorted({one.kind for one in prints})
    kind = np.array([names.index(one.kind) for one in prints])
    threshold = weigher.noise.threshold(weigher.n_prints, CLOSER_LOOK)
    found, scale = weigher.reaching(threshold)
    for a, b in itertools.combinations_with_replacement(range(len(names)), 2):

        def of_kinds(scores: Scores, both: tuple[int, int] = (a, b)) -> Scores:
            return scores.only((np.sort(kind[scores.pairs], axis=1) == both).all(axis=1))

        sampled, stored = of_kinds(weigher.sampled).evidence, of_kinds(weigher.stored).evidence
        if len(sampled):
            yield {
                "kinds": [names[a], names[b]],
                "sampled": len(sampled),
                "common": float(np.quantile(sampled, 0.9)),
                "highest": float(np.max(np.concatenate([sampled, stored]))),
                "counted": scale * len(of_kinds(found).pairs),
            }


def highest(prints: Sequence[Print], stored: Scores, sampled: Scores, matches: Matches) -> list[dict[str, Any]]:
    """The pairs with the most evidence, stored or among the random ones, with their numbers."""
    pairs = np.concatenate([stored.pairs, sampled.pairs])
    evidence = np.concatenate([stored.evidence, sampled.evidence])
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -evidence))
    best = dict.fromkeys(map(tuple, pairs[order[: 2 * N_HIGHEST]].tolist()))  # in order, each once
    return [numbers_of(prints[a], prints[b], matches) for a, b in itertools.islice(best, N_HIGHEST)]


def numbers_of(a: Print, b: Print, matches: Matches) -> dict[str, Any]:
    match = compare_two(a.items, b.items, CompareSettings())
    assert match is not None
    able = min(a.n_distinct, b.n_distinct) >= MIN_DISTINCT
    ratios = ("evidence", "score", "kappa", "along", "prominence", "rate", "agreement", "contrast")
    return {
        "a": a.path,
        "b": b.path,
        "kinds": [a.kind, b.kind],
        "verdict": verdict(match, len(a.items), len(b.items), matches.thresholds) if able else "other",
        **{name: round(getattr(match, name), 4) for name in ratios},
        "alike": round(match.core().alike, 4),
        "distinct": match.distinct,
        "lag_s": round(match.lag_s, 2),
        "overlap_s": round(match.overlap_s, 1),
        "lengths_s": [round(len(one.items) / ITEMS_PER_SECOND, 1) for one in (a, b)],
    }
