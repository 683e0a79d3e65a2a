#!/usr/bin/env python3
"""Measures what the cascade and the join lose against the exact comparison.

    scripts/bench/cascade.py STORE GROUND_TRUTH.json [--root LIBRARY] [--json]

STORE holds the fingerprints of a labelled library (`reprise scan`), GROUND_TRUTH.json is as in `evaluate.py`. Every
pair of fingerprints is compared by each method, over all lags:

1. Recall by expectation and by class of transformation: how many of the pairs that `exact` stores the others store too.
   What both store must be the same to the last bit. And how many times the votes that it needs the weakest pair has:
   VOTES within VOTE_LAGS lags, or a single one if a track has few keys (coarser votes, which count then, left out).
2. The same for parts of true pairs, cut so that only 27 to 50 % of the shorter one overlaps: harder than any library.
3. The same for made copies with noise in every item, by the score that is left of them: the hardest for votes.
4. For other constants in place of those in `sampling` and `cascade`: the share of unrelated pairs that pass the coarse
   comparison, their cost, and how far the weakest true pair is from being lost (1 is lost). This part is computed
   from the definitions, without the kernels."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numba
import numpy as np

from dedup.correlation.cascade import CLEAR, SHARE_EXPLAINED
from dedup.correlation.kernels import Counts
from dedup.correlation.keys import FEWEST_KEYS, LAST_PLACE, PLACE_BITS, ROW_BITS, write_codes
from dedup.correlation.sampling import BASE_OVERLAP, BASE_STEP, LAG_STEP, ROWS
from dedup.correlation.tile import correlate_tile
from dedup.correlation.votes import VOTE_LAGS, VOTES
from dedup.settings import CompareSettings
from dedup.store.blocks import make_block
from dedup.store.items import Items
from dedup.store.pairs import PAIR
from dedup.store.store import open_for_reading
from dedup.synthesis.fingerprints import NOISE, RATIOS, RECTANGLES, Change, Library, copied_items, items_of_image
from scripts.bench.scan import machine
from scripts.study.evaluate import WEAKER, arguments, path_of

MIN_ITEMS = CompareSettings().min_overlap_items

N_NOISY, KAPPA_FIELD = 300, 3
"""Made copies with noise, and the place of kappa in the numbers of a stored pair."""


@dataclass
class Labelled:
    """A fingerprint and the labels of its file."""

    items: Items
    recording: str
    kind: str
    expect: str


@dataclass
class Pair:
    """Two fingerprints, the longer first."""

    x: Items
    y: Items
    expect: str
    kinds: tuple[str, ...]
    exact: tuple[Any, ...] | None
    """Numbers that the exact comparison stores; None if it does not store the pair."""
    cascade: tuple[Any, ...] | None
    join: tuple[Any, ...] | None
    votes: float
    """Most votes within VOTE_LAGS lags, divided by those that the pair needs."""


def main() -> None:
    args, root = arguments(__doc__)
    pairs = compared(list(labelled(args.store, args.truth, root)))
    report = {
        "machine": machine(),
        "recall": recall(pairs),
        "cut": recall(cut_pairs(pairs)),
        "noisy": recall(list(noisy_pairs())),
        "constants": vary(pairs),
    }
    if args.json:
        print(json.dumps(report))
    else:
        show(report)


def labelled(store_path: Path, truth: Path, root: bytes) -> Iterator[Labelled]:
    """Each different fingerprint of a labelled file."""
    files = {path_of(entry): entry for entry in json.loads(truth.read_text())["files"]}
    query = """SELECT fingerprint.block, fingerprint.row, MIN(track.path) FROM track
               JOIN audio ON audio.id = track.audio JOIN fingerprint ON fingerprint.id = audio.fingerprint
               WHERE fingerprint.block IS NOT NULL GROUP BY fingerprint.id ORDER BY 3"""
    with open_for_reading(store_path) as store:
        blocks = {name: store.blocks.read(name) for name in store.catalog.blocks.rows()}
        for block, row, path in store.catalog.connection.execute(query):
            entry = files.get(path.removeprefix(root + b"/"))
            if entry is not None:
                items = np.array(blocks[block].row(row))
                yield Labelled(items, entry["recording"], entry["class"], entry["expect"])


def compared(files: list[Labelled]) -> list[Pair]:
    items = [file.items for file in files]
    exact, cascade, join = (stored(items, method) for method in ("exact", "cascade", "join"))
    keys = [keys_of(each) for each in items]
    pairs = []
    for i, j in itertools.combinations(range(len(files)), 2):
        a, b = files[i], files[j]
        expect = "other" if a.recording != b.recording else max(a.expect, b.expect, key=WEAKER.index)
        x, y = (a.items, b.items) if len(a.items) >= len(b.items) else (b.items, a.items)
        kinds = tuple(sorted({a.kind, b.kind}))
        found = (one.get((i, j)) for one in (exact, cascade, join))
        pairs.append(Pair(x, y, expect, kinds, *found, enough_votes(keys[i], keys[j])))
    return pairs


def stored(fingerprints: list[Items], method: str) -> dict[tuple[int, int], tuple[Any, ...]]:
    """Numbers of the pairs in a tile of these fingerprints, by rows."""
    block = make_block(fingerprints)
    shared = (f"{block.name} {method}", block.items, block.offsets)
    records = np.frombuffer(correlate_tile(shared, shared, CompareSettings(method))[0], PAIR)
    return {(int(record["row_a"]), int(record["row_b"])): record.tolist()[2:] for record in records}


def recall(pairs: list[Pair]) -> dict[str, dict[str, float]]:
    """Pairs that exact stores, how many of them the others store, how many of these with other numbers, and the fewest
    votes."""
    counts: dict[str, dict[str, float]] = {}
    for pair in pairs:
        if pair.exact is None:
            assert pair.cascade is pair.join is None, "a pair is stored that the exact comparison does not store"
            continue
        for name in [pair.expect, *(f"  {kind}" for kind in pair.kinds if pair.expect == "dup")]:
            row = counts.setdefault(name, {"exact": 0, "cascade": 0, "join": 0, "different": 0, "votes": pair.votes})
            row["exact"] += 1
            row["votes"] = min(row["votes"], pair.votes)
            for found in (pair.cascade, pair.join):
                row["different"] += found is not None and repr(found) != repr(pair.exact)
            row["cascade"] += pair.cascade is not None
            row["join"] += pair.join is not None
    return dict(sorted(counts.items()))


def cut_pairs(pairs: list[Pair]) -> list[Pair]:
    """Windows of true duplicates with little overlap."""
    random = np.random.default_rng(0)
    cut = []
    for pair in pairs:
        if pair.expect != "dup" or pair.exact is None:
            continue
        lag, common = best_lag_of(pair)
        x, y = pair.x[max(0, lag) :][:common], pair.y[max(0, -lag) :][:common]
        for share, first in itertools.product((0.27, 0.35, 0.5), (False, True)):
            largest = int(common / (2 - share))
            if largest * share < 2 * MIN_ITEMS:
                continue
            window = int(random.integers(largest // 2, largest + 1))
            overlap = int(window * share)
            start = int(random.integers(0, common - (2 * window - overlap) + 1))
            early, late = slice(start, start + window), slice(start + window - overlap, start + 2 * window - overlap)
            a, b = (x[early], y[late]) if first else (x[late], y[early])
            found = (stored([a, b], method).get((0, 1)) for method in ("exact", "cascade", "join"))
            cut.append(Pair(a, b, f"overlap {share:.0%}", (), *found, enough_votes(keys_of(a), keys_of(b))))
    return cut


def noisy_pairs() -> Iterator[Pair]:
    """Made tracks, each with a copy that has 10 to 50 % of the noise of a lossy encoding or an equalizer."""
    library = Library(11, 948)
    for number in range(N_NOISY):
        random = np.random.default_rng(number)
        recording = library.recording(number)
        size, tilt = NOISE * random.uniform(0.1, 0.5) * min(1.0, recording.style.sd), random.random() ** 2
        a = items_of_image(recording.image(0, recording.n_items), RECTANGLES, RATIOS)
        b = copied_items(recording, Change("encoded", 0, 0, len(a), size * (1 - tilt), size * tilt), random)
        exact, cascade, join = (stored([a, b], method).get((0, 1)) for method in ("exact", "cascade", "join"))
        if exact is not None:
            tenth = int(exact[KAPPA_FIELD] * 10) / 10
            votes = enough_votes(keys_of(a), keys_of(b))
            yield Pair(a, b, f"score {tenth:.1f} to {tenth + 0.1:.1f}", (), exact, cascade, join, votes)


def keys_of(items: Items) -> tuple[Counts, Counts]:
    """The keys of a fingerprint, ascending, and their places, however many there are."""
    codes = np.empty(len(items), np.uint64)
    codes = np.sort(codes[: write_codes(items, np.array([0, len(items)]), codes)])
    return (codes >> np.uint64(ROW_BITS + PLACE_BITS)).astype(np.int64), (codes & np.uint64(LAST_PLACE)).astype(
        np.int64
    )


def enough_votes(x: tuple[Counts, Counts], y: tuple[Counts, Counts]) -> float:
    """The most votes of two fingerprints within VOTE_LAGS lags, divided by those that they need."""
    first, end = (np.searchsorted(y[0], x[0], side) for side in ("left", "right"))
    n = end - first
    lags = np.repeat(x[1], n) - y[1][np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.repeat(first, n)]
    lags.sort()
    most = int(np.max(np.searchsorted(lags, lags + VOTE_LAGS) - np.arange(len(lags)), initial=0))
    return round(most / (1 if min(len(x[0]), len(y[0])) < FEWEST_KEYS else VOTES), 1)


def best_lag_of(pair: Pair) -> tuple[int, int]:
    """Lag (positive if `x` has more in front) and overlap of a stored pair."""
    (match,) = stored([pair.x, pair.y], "exact").values()
    return match[0], match[1]


def vary(pairs: list[Pair]) -> list[dict[str, Any]]:
    """Results with each constant varied by itself."""
    kept = (LAG_STEP, ROWS, CLEAR, SHARE_EXPLAINED)
    variants = [kept]
    variants += [(step, *kept[1:]) for step in (2, 6, 8)]
    variants += [(kept[0], rows, *kept[2:]) for rows in (16, 20, 32, 48)]
    variants += [(*kept[:2], clear, kept[3]) for clear in (11.0, 12.0, 14.0, 16.0)]
    variants += [(*kept[:3], share) for share in (0.12, 0.14, 0.18, 0.2)]
    return [weigh(pairs, *variant) for variant in variants]


def weigh(pairs: list[Pair], lag_step: int, rows: int, clear: float, share: float) -> dict[str, Any]:
    least: dict[str, float] = {}
    n_other = n_passed = steps = 0
    for pair in pairs:
        item_step = lag_step
        while len(pair.y) >= 2 * rows * item_step:
            item_step *= 2
        nearness, cost = sieved(pair.x, pair.y, lag_step, item_step, clear, share)
        if pair.expect == "other":
            n_other += 1
            n_passed += nearness >= 1
            steps += cost
        elif pair.exact is not None:
            least[pair.expect] = min(least.get(pair.expect, np.inf), float(nearness))
    weakest = {name: round(least[name], 2) for name in ("dup", "subset", "hard") if name in least}
    return {
        "lag_step": lag_step,
        "rows": rows,
        "clear": clear,
        "share_explained": share,
        "weakest": weakest,
        "unrelated_that_pass": round(n_passed / n_other, 4),
        "steps_a_pair": round(steps / n_other),
    }


@numba.njit
def sieved(x: Items, y: Items, lag_step: int, item_step: int, clear: float, share: float) -> tuple[float, int]:
    """How far the coarse curve of a pair exceeds what it needs to pass (1: it just passes), and its number of steps."""
    nx, ny = len(x), len(y)
    required = int(np.ceil(BASE_OVERLAP * ny))
    lowest, highest = -((ny - required) // lag_step), (nx - required) // lag_step
    errors, items = np.zeros(highest - lowest + 1), np.zeros(highest - lowest + 1)
    for i in range(len(errors)):
        lag = (lowest + i) * lag_step
        for k in range(-(-max(0, -lag) // item_step) * item_step, min(ny, nx - lag), item_step):
            bits = x[k + lag] ^ y[k]
            while bits:
                bits &= bits - np.uint32(1)
                errors[i] += 1
            items[i] += 1
    base = -lowest % BASE_STEP
    average = errors[base::BASE_STEP].sum() / items[base::BASE_STEP].sum()
    best, least_overlap = -np.inf, max(MIN_ITEMS, required)
    for i in range(len(errors)):
        lag = (lowest + i) * lag_step
        n = items[i]
        if n == 0 or min(nx - lag, ny) - max(0, -lag) <= least_overlap - lag_step or average == 0:
            continue
        fewer = n * average - errors[i]
        chance = clear * np.sqrt(4 * n * average / 32 * (1 - average / 32))
        best = max(best, min(fewer / chance, fewer / (share * average * n)))
    return best, int(items.sum())


def show(report: dict[str, Any]) -> None:
    print(report["machine"])
    for title, rows in (
        ("stored pairs", report["recall"]),
        ("stored pairs with little overlap", report["cut"]),
        ("made copies with noise", report["noisy"]),
    ):
        print(f"\n{title:34} exact  cascade     join  with other numbers   fewest votes ÷ needed")
        for name, row in rows.items():
            counts = f"{row['exact']:5} {row['cascade']:8} {row['join']:8}"
            print(f"{name:34} {counts} {row['different']:19} {row['votes']:14}")
    print(
        "\nlag step   rows  clear  share   unrelated that pass   steps a pair   weakest true pair: dup, excerpt, hard"
    )
    for row in report["constants"]:
        weakest = "  ".join(f"{row['weakest'].get(name, float('nan')):6.2f}" for name in ("dup", "subset", "hard"))
        print(
            f"{row['lag_step']:8} {row['rows']:6} {row['clear']:6.0f} {row['share_explained']:6.2f} "
            f"{100 * row['unrelated_that_pass']:18.1f} % {row['steps_a_pair']:14,}   {weakest}"
        )


if __name__ == "__main__":
    main()
