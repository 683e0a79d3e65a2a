#!/usr/bin/env python3
"""Compares predicted with actual numbers of false pairs, in libraries in which every pair is false.

    scripts/study/calibrate.py [--tracks 1000,3000,10000] [--kind made,sounds] [--seed N] [--pairs 100000] [--workers N]
                         [--json] [--keep DIR]

`made` are the fingerprints of `make_library.py` without duplicates, `sounds` those of synthesized sounds that are hard
to tell apart (`sounds.py`): drones, rain and wind, loops, spoken word, songs between long silences. Each library is
stored and correlated as `reprise correlate` does; then `--pairs` random pairs of it are compared exactly.

A row of the table shows a number of false pairs that is allowed in the whole library, the evidence above which that
many are predicted, and how many pairs have it. If all pairs with that evidence are worth storing, they are counted in
the store; otherwise they are counted in the random pairs ("seen") and scaled ("~"). "few items" are pairs with a track
of too few different items to be evidence, which no report names. "stored" are pairs in the store, which a report can
name, and "claimed" those that this setting calls the same, or contained. The store may lack pairs that the exact
comparison finds: the last lines show how many of the random ones.

With --keep, libraries stay in DIR and are used again. The same command gives the same tables with any number of
workers."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from cluster.open import open_runner
from dedup.correlation.compare import compare_two
from dedup.correlation.correlate import correlate
from dedup.errors import RepriseError
from dedup.observer import Silent
from dedup.runner import Runner, Stop, Task
from dedup.scan.imported import Imported
from dedup.settings import ITEMS_PER_SECOND, CompareSettings
from dedup.store.items import Items
from dedup.store.store import Store, open_for_reading, open_for_writing
from dedup.synthesis import sounds
from dedup.synthesis.fingerprints import Library, path_of
from scripts.bench.make_library import BLOCK_SIZE, make_store
from scripts.study.false_pairs import CLOSER_LOOK, N_HIGHEST, Floats, Pairs, Print, Scores, weighed

KINDS = ("made", "sounds")
N_ITEMS = 948
TRACKS_A_TASK, PAIRS_A_TASK = 25, 2000


def main() -> None:
    args = arguments()
    with contextlib.ExitStack() as stack:
        runner = stack.enter_context(open_runner(args.workers, Stop()))
        folder = args.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reprise-calibrate-")))
        folder.mkdir(parents=True, exist_ok=True)
        reports = []
        for kind, n_tracks in itertools.product(args.kind, args.tracks):
            reports.append(calibrate(kind, n_tracks, args.seed, args.pairs, folder, runner))
            if not args.json:
                show(reports[-1])
    if args.json:
        print(json.dumps(reports))


def arguments() -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=numbers, default="1000,3000,10000", metavar="N,…", help="%(default)s")
    parser.add_argument("--kind", type=kinds, default=",".join(KINDS), help="kinds of library (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=100_000, help="pairs to compare exactly (default: %(default)s)")
    parser.add_argument("--workers", type=int, help="processes; 0: only this one (default: one per core)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder that keeps the libraries")
    args = parser.parse_args()
    if min(args.tracks) < 2 or args.pairs < 1 or args.seed < 0:
        parser.error("--tracks must be 2 or more, --pairs 1 or more, --seed 0 or more")
    return args


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def kinds(text: str) -> list[str]:
    named = text.split(",")
    if not set(named) <= set(KINDS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of {' and '.join(KINDS)}, separated by commas")
    return named


def calibrate(kind: str, n_tracks: int, seed: int, n_sampled: int, folder: Path, runner: Runner) -> dict[str, Any]:
    """Makes the library, correlates it, and weighs the results."""
    store_folder = folder / f"{kind}-{seed}-{n_tracks}"
    if not is_whole(store_folder, n_tracks):
        with telling(f"{store_folder.name}: making {n_tracks:,} tracks"):
            make_store(store_folder, made_tracks(kind, n_tracks, seed, runner), BLOCK_SIZE)
    with telling(f"{store_folder.name}: correlating"), open_for_writing(store_folder, "calibrate") as store:
        done = correlate(store, CompareSettings(), runner, Silent())
    if done.n_failed or done.n_left:
        sys.exit(f"{done.n_failed + done.n_left} of {done.n_tiles} tiles were not computed")
    with open_for_reading(store_folder) as store, telling(f"{store_folder.name}: comparing random pairs"):
        prints = read_prints(store)
        pairs = random_pairs(len(prints), n_sampled, seed)
        sampled = compared(pairs, prints, f"{store_folder.name}-{n_sampled}", runner)
        return {"library": kind, "seed": seed, **weighed(store, prints, sampled)}


@contextlib.contextmanager
def telling(what: str) -> Iterator[None]:
    """Reports on stderr what was done, and how long it took."""
    began = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)


# ---- the library ----


def is_whole(folder: Path, n_tracks: int) -> bool:
    """Whether the library was completely made before."""
    if not folder.exists():
        return False
    with open_for_reading(folder) as store:
        return sum(1 for _ in store.catalog.tracks.all()) == n_tracks


def made_tracks(kind: str, n_tracks: int, seed: int, runner: Runner) -> Iterator[Imported]:
    """The tracks in their order. Raises RuntimeError if a track was not made."""
    starts = range(0, n_tracks, TRACKS_A_TASK)
    tasks = (Task(f"{kind}-{seed}-{i}", (kind, seed, i, min(i + TRACKS_A_TASK, n_tracks))) for i in starts)
    of_task = finished(runner, make_items, tasks)
    for start in starts:
        for index, items in enumerate(of_task[f"{kind}-{seed}-{start}"], start):
            duration_s = len(items) / ITEMS_PER_SECOND
            yield Imported(path_in(kind, index).encode(), duration_s, items)


def path_in(kind: str, index: int) -> str:
    """Path of a track; its last folder is the kind of sound."""
    return path_of(index) if kind == "made" else f"/sounds/{sounds.kind_of(index)}/{index:07}.flac"


def make_items(kind: str, seed: int, first: int, end: int) -> list[Items]:
    """The fingerprints of some tracks of a library."""
    if kind == "made":
        library = Library(seed, N_ITEMS)
        return [library.track(index).items for index in range(first, end)]
    return [sounds.items_of(sounds.sound(seed, index)) for index in range(first, end)]


def finished(runner: Runner, function: Any, tasks: Iterator[Task]) -> dict[str, Any]:
    """The results of all tasks by name. Raises RuntimeError for one that failed."""
    results = {}
    for outcome in runner.run(function, tasks):
        if outcome.failure is not None:
            raise RuntimeError(f"{outcome.name}: {outcome.failure}")
        results[outcome.name] = outcome.result
    return results


_PRINTS = """
    SELECT fingerprint.id, fingerprint.n_distinct, fingerprint.block, fingerprint.row, MIN(track.path)
    FROM track JOIN audio ON audio.id = track.audio JOIN fingerprint ON fingerprint.id = audio.fingerprint
    GROUP BY fingerprint.id
"""


def read_prints(store: Store) -> list[Print]:
    """Every different fingerprint of a correlated store, by path. Each block is read once, which takes milliseconds."""
    blocks = {name: store.blocks.read(name) for name in store.catalog.blocks.sizes()}
    prints = []
    for identity, n_distinct, block, row, path in store.catalog.connection.execute(_PRINTS):
        name = path.decode()
        kind = "made" if name.startswith("/made/") else Path(name).parent.name
        prints.append(Print(identity, name, kind, n_distinct, np.array(blocks[block].row(row))))
    return sorted(prints, key=lambda one: one.path)


# ---- random pairs, compared exactly ----


def random_pairs(n_prints: int, n_sampled: int, seed: int) -> Pairs:
    """`n_sampled` different pairs, or all if there are fewer, in ascending order."""
    n_pairs = n_prints * (n_prints - 1) // 2
    chosen = np.arange(n_pairs)
    if n_sampled < n_pairs:
        chosen = np.sort(np.random.default_rng(seed).choice(n_pairs, n_sampled, replace=False, shuffle=False))
    upper = np.arange(n_prints, dtype=np.int64)
    before = upper * (upper - 1) // 2  # number of pairs with a lower second print
    b = np.searchsorted(before, chosen, side="right") - 1
    return np.stack([chosen - before[b], b], axis=1)


def compared(pairs: Pairs, prints: Sequence[Print], name: str, runner: Runner) -> Scores:
    shared = runner.share(name, tuple(one.items for one in prints))
    starts = range(0, len(pairs), PAIRS_A_TASK)
    tasks = (Task(f"{name}-{start}", (pairs[start : start + PAIRS_A_TASK], shared)) for start in starts)
    of_task = finished(runner, compare_pairs, tasks)
    found = np.concatenate([of_task[f"{name}-{start}"] for start in starts])
    return Scores(pairs, *found.T)


def compare_pairs(pairs: Pairs, items: Sequence[Items]) -> Floats:
    """`float64[n, 3]`: evidence, score and raw agreement; 0, 0 and 0.5 for pairs that cannot overlap enough."""
    settings = CompareSettings()
    matches = (compare_two(items[a], items[b], settings) for a, b in pairs.tolist())
    return np.array([(match.evidence, match.score, match.agreement) if match else (0.0, 0.0, 0.5) for match in matches])


# ---- for people ----


def show(report: dict[str, Any]) -> None:
    print(
        f"{report['library']}, seed {report['seed']}: {report['tracks']:,} tracks, {report['fingerprints']:,}"
        f" fingerprints ({report['few_items']:,} with few items), {report['pairs']:,} pairs, {report['sampled']:,} of"
        " them compared exactly"
    )
    for name, noise in (("decoys", report["noise"]), ("random pairs", report["noise_of_sample"])):
        print(
            f"  a tenth of {name:12} reaches {noise['common']:.4f}; each {noise['decade']:.4f} more divides that by ten"
        )
    for name, form in (("one_in", ",.0f"), ("predicted", ".4f"), ("found", ".4f")):
        print(f"  {name.replace('_', ' '):>9}" + "".join(f" {row[name]:>9{form}}" for row in report["reached"]))
    print(
        f"  {'allowed':>9} {'predicted':>11} {'evidence':>9} {'counted':>11} {'ratio':>6} {'seen':>7}"
        f" {'few items':>9} {'stored':>9} {'claimed':>8}"
    )
    for row in report["rows"]:
        ends = f"{row['few_items']:9,.0f} {row['stored']:9,} {row['claimed']:8,}"
        print(f"  {row['allowed']:9,g} {row['predicted']:11,.6g} {row['threshold']:9.4f} {counts(row)} {ends}")
    if report["classic"]["predicted"] is not None:
        classic = report["classic"]
        print(f"  {'classic':>9} {classic['predicted']:11,.0f} {classic['agreement']:9.4f} {counts(classic)}")
    show_stored(report)
    if len(report["kinds"]) > 1:
        show_kinds(report["kinds"])
    print("  pairs with the most evidence")
    for pair in report["highest"]:
        print(f"    {described(pair)}")
    print(flush=True)


def counts(row: dict[str, Any]) -> str:
    """The count, its ratio to the prediction, and the number of pairs seen."""
    counted = f"{'' if row['seen'] is None else '~'}{row['counted']:,.0f}"
    ratio = row["counted"] / row["predicted"] if row["predicted"] else math.inf
    return f"{counted:>11} {ratio:6.3g} {'' if row['seen'] is None else format(row['seen'], ','):>7}"


def show_stored(report: dict[str, Any]) -> None:
    stored = report["stored"]
    print(
        f"  all pairs with evidence {stored['complete_from']:.4f} or more are worth storing; of {stored['sampled']:,}"
        f" random ones with the score for it, {stored['of_these_stored']:,} are stored"
    )
    called = ", ".join(f"{name} {n:,}" for name, n in report["verdicts"].items()) or "nothing"
    print(f"  under default settings: {called}; {len(report['claimed']):,} merged or contained")
    for name, a, b in report["claimed"][:N_HIGHEST]:
        print(f"    {name}: {a} <-> {b}")


def show_kinds(rows: Sequence[dict[str, Any]]) -> None:
    print(f"  {'kinds':20} {'sampled':>8} {'a tenth':>8} {'highest':>8} {f'where {CLOSER_LOOK:g} are allowed':>20}")
    for row in rows:
        name = " + ".join(row["kinds"])
        print(f"  {name:20} {row['sampled']:8,} {row['common']:8.4f} {row['highest']:8.4f} {row['counted']:20,.0f}")


def described(pair: dict[str, Any]) -> str:
    names = ("evidence", "score", "kappa", "along", "prominence", "agreement", "alike")
    ratios = "  ".join(f"{name} {pair[name]:.3f}" for name in names)
    times = f"lag {pair['lag_s']:+.1f} s  overlap {pair['overlap_s']} s of {pair['lengths_s'][0]} and "
    return (
        f"{pair['verdict']}: {pair['a']} <-> {pair['b']}\n      {ratios}\n"
        f"      rate {pair['rate']:+.4f}  distinct {pair['distinct']}  {times}{pair['lengths_s'][1]} s"
    )


if __name__ == "__main__":
    try:
        main()
    except RepriseError as error:
        sys.exit(str(error))
