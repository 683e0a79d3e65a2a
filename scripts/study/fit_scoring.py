#!/usr/bin/env python3
"""Fits the constants of the evidence on a library of unrelated tracks, and writes dedup/correlation/fitted.json.

    scripts/study/fit_scoring.py STORE [--write] [--seed N]

STORE holds tracks that are all different recordings, the more unlike the better; pairs that Reprise finds related
(look at them: `reprise report`) are left out. The tracks are split into two halves. The constants are fitted on the
first; the same numbers for the second show what holds for other music:

    half_distinct   different items with which chance varies twice as much as with many: the discount that makes the
                    evidence's upper tenth and hundredth the same for short overlaps as for long ones
    decoy_factor    ratio of unrelated pairs to decoys (reversed fingerprints)
    least_common    the evidence that a tenth of unrelated pairs reaches, and
    least_decade    how much more a tenth of these reaches: assumed for libraries that show less"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import numpy.typing as npt

from dedup.correlation.compare import compare_two
from dedup.correlation.noise import upper_tail
from dedup.correlation.scoring import MIN_DISTINCT
from dedup.groups.matches import Matches
from dedup.settings import CompareSettings, MatchSettings
from dedup.store.items import Items, n_distinct
from dedup.store.store import Store, open_for_reading

FITTED = Path(__file__).resolve().parents[2] / "dedup" / "correlation" / "fitted.json"

CANDIDATES = (0, 50, 100, 150, 200, 300, 400, 600, 800)
"""Candidates for half_distinct."""

CLASSES = (40, 100, 200, 400, 800, 1600)
"""Edges of the classes of different items whose quantiles of the score should be the same."""

LEAST_OF_CLASS = 200
"""Least number of pairs in a class that counts."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """Pairs of one kind: their scores and numbers of different items."""

    score: Floats
    distinct: Floats

    def evidence(self, half_distinct: float) -> Floats:
        return self.score / np.sqrt(1 + half_distinct / np.maximum(self.distinct, 1))

    def tail(self, half_distinct: float) -> tuple[float, float]:
        """The evidence that a tenth reaches, and the decade of the exponential tail above it."""
        return upper_tail(self.evidence(half_distinct))

    def unevenness(self, half_distinct: float) -> float:
        """How much the upper tenth and hundredth differ between classes: the standard deviation of their logarithms."""
        found, told = self.evidence(half_distinct), []
        for low, high in itertools.pairwise(CLASSES):
            of_class = found[(self.distinct >= low) & (self.distinct < high)]
            if len(of_class) >= LEAST_OF_CLASS:
                told.append(np.log(np.quantile(of_class, [0.9, 0.99])))
        return float(np.std(told, axis=0).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--write", action="store_true", help=f"write {FITTED.name}")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with open_for_reading(args.store) as store:
        tracks, related = unrelated_tracks(store)
    order = np.random.default_rng(args.seed).permutation(len(tracks))
    halves = [[tracks[i] for i in order[part::2]] for part in (0, 1)]
    measured = [measure(half, related) for half in halves]
    half_distinct = min(CANDIDATES, key=measured[0][0].unevenness)
    fitted = constants(*measured[0], half_distinct)
    print(f"{len(tracks)} tracks; pairs of unrelated tracks: {', '.join(str(len(m[0].score)) for m in measured)}")
    for name, (true, decoys) in zip(("fitted on one half", "the other half"), measured, strict=True):
        print(f"{name:20} {json.dumps(constants(true, decoys, half_distinct))}")
        print(f"{'':20} unevenness {true.unevenness(half_distinct):.3f}, without a discount {true.unevenness(0):.3f}")
    if args.write:
        about = {"made_by": "scripts/study/fit_scoring.py", "tracks": len(tracks), "pairs": len(measured[0][0].score)}
        FITTED.write_text(json.dumps({**fitted, **about, "seed": args.seed}, indent=1) + "\n")


def unrelated_tracks(store: Store) -> tuple[list[tuple[int, Items]], set[frozenset[int]]]:
    """Fingerprints with their ids, by digest; and the pairs of them that are related."""
    related = {frozenset((p.a.fingerprint, p.b.fingerprint)) for p in Matches(store, MatchSettings()).pairs()}
    query = "SELECT id FROM fingerprint WHERE n_distinct >= ? ORDER BY digest"
    rows = store.catalog.connection.execute(query, (MIN_DISTINCT,))
    return [(row[0], store.items_of(row[0])) for row in rows.fetchall()], related


def measure(tracks: list[tuple[int, Items]], related: set[frozenset[int]]) -> tuple[Pairs, Pairs]:
    """Every pair of unrelated tracks, and the same pairs with the second track reversed."""
    true, decoys = [], []
    for (id_a, a), (id_b, b) in itertools.combinations(tracks, 2):
        if frozenset((id_a, id_b)) not in related:
            true.append(compared(a, b))
            decoys.append(compared(a, b[::-1]))
    return Pairs(*np.array(true).T), Pairs(*np.array(decoys).T)


def compared(a: Items, b: Items) -> tuple[float, float]:
    match = compare_two(a, b, CompareSettings())
    return (match.score, float(match.distinct)) if match else (0.0, float(min(n_distinct(a), n_distinct(b))))


def constants(true: Pairs, decoys: Pairs, half_distinct: float) -> dict[str, Any]:
    """The constants, the factor rounded up, the least values rounded down to three digits."""
    (common, decade), (decoy_common, decoy_decade) = true.tail(half_distinct), decoys.tail(half_distinct)
    return {
        "half_distinct": half_distinct,
        "decoy_factor": math.ceil(20 * max(common / decoy_common, decade / decoy_decade)) / 20,
        "least_common": math.floor(1000 * common) / 1000,
        "least_decade": math.floor(1000 * decade) / 1000,
    }


if __name__ == "__main__":
    main()
