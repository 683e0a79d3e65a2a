#!/usr/bin/env python3
"""Times the pass for other speeds beside the first: processor time a pair, on one core, in one process.

    scripts/bench/varispeed.py [--tracks 1500] [--rounds 3] [--at-one-pitch] [--json]

The fingerprints are made, and unrelated, with lengths as songs have: about 1,900 items (4 minutes), a third shorter or
longer; so are those at other pitches, unless there are none (`--at-one-pitch`), as of imported ones. They are one
block, compared with itself in each pass in turn; of the rounds the least counts, after one in which everything is
compiled and prepared."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from dedup.correlation.other_speeds import HeardBlock, correlate_stretched
from dedup.correlation.tile import Part, SharedBlock, correlate_parts
from dedup.settings import CompareSettings
from dedup.store.items import frozen
from dedup.store.pitches import N_PITCHES
from scripts.bench.scan import machine

TYPICAL_ITEMS, SPREAD = 1900, 0.35
FEWEST_ITEMS, MOST_ITEMS = 300, 6000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--at-one-pitch", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    block = made_block(given.tracks, np.random.default_rng(1))
    others = [made_block(given.tracks, np.random.default_rng(1), 1 + number)[1] for number in range(N_PITCHES)]
    heard = *block, frozen(np.stack(others), np.uint32), np.full(given.tracks, not given.at_one_pitch)
    n_pairs = given.tracks * (given.tracks - 1) // 2
    rounds = [timed(block, heard) for _ in range(1 + given.rounds)][1:]
    first, second = (1e6 * min(each) / n_pairs for each in zip(*rounds, strict=True))
    report = {"machine": machine(), "pairs": n_pairs, "first_us": round(first, 2), "varispeed_us": round(second, 2)}
    if given.json:
        print(json.dumps(report))
    else:
        print(f"{machine()}; {n_pairs:,} pairs")
        print(f"first pass {first:.2f} µs a pair; for other speeds {second:.2f} µs, {second / first:.1f} times as long")


def made_block(n_tracks: int, rng: np.random.Generator, pitch: int = 0) -> SharedBlock:
    """Fingerprints in which a bit stays as it is from one item to the next seven times in eight, as in music."""
    typical = rng.lognormal(np.log(TYPICAL_ITEMS), SPREAD, n_tracks)
    lengths = np.clip(typical, FEWEST_ITEMS, MOST_ITEMS).astype(np.int64)
    rng = np.random.default_rng([pitch, 2])
    rows = [np.bitwise_xor.accumulate(flips(int(n), rng)) for n in lengths]
    return "made", frozen(np.concatenate(rows), np.uint32), frozen(np.cumsum([0, *lengths]), np.int64)


def flips(n: int, rng: np.random.Generator) -> np.ndarray:
    """Bits that change from the item before: one in eight."""
    noise = rng.integers(0, 1 << 32, (3, n), np.uint32)
    return noise[0] & noise[1] & noise[2]


def timed(block: SharedBlock, heard: HeardBlock) -> tuple[float, float]:
    """Seconds of processor time that each pass takes."""
    first, varispeed = CompareSettings().passes
    began = time.process_time()
    correlate_parts(first, 2, [Part(0, 0)], block)
    between = time.process_time()
    correlate_stretched(varispeed, 2, [b""], [Part(0, 0)], heard)
    return between - began, time.process_time() - between


if __name__ == "__main__":
    main()
