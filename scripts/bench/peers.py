#!/usr/bin/env python3
"""Times Reprise's comparison and those of other programs: the same pairs of fingerprints, one core, in turn.

    scripts/bench/make_library.py --tracks 500 --out FILE.jsonl
    scripts/bench/peers.py FILE.jsonl [--pairs 100000] [--rounds 3] [--bard-library bard_ext.so] [--audio FOLDER]

FILE.jsonl has a line for each fingerprint, {"path", "duration", "fingerprint"}, as `fpcalc -raw -json` prints it. All
pairs of the file's first tracks are compared; a slow program gets as many of them, evenly spread, as fit in --seconds.
Figures are pairs per second of CPU time, without reading files and making fingerprints, but with each program's
preparation of them.

All installed programs take part; Reprise does not need them:

- bard (github.com/antlarr/bard): `bard.bard_ext` or the extension alone, --bard-library. To build that,
  `python setup.py build_ext`, or, outside this repository, c++ with the options in its setup.py. It is called as
  `bard find-audio-duplicates` does: lags -99 to 99, and it gives up a lag if less than 60 % of the bits can be equal.
- pyacoustid: `acoustid.compare_fingerprints`, lags -120 to 119, plain Python. It comes with Reprise.
- audiomatch: `audiomatch.fingerprints.compare`, 30 seconds against all, every second lag.
- soundalike: on PATH. Its database has the first 15 seconds; its figure includes starting and reading that.
- czkawka_cli: on PATH. It does not take fingerprints: with --audio FOLDER it gets the files in that folder, twice, and
  the second run counts, with the fingerprints in its cache. So its pairs are different ones, unless FILE.jsonl is made
  from these files. All pairs count as compared, though it leaves out files that it cannot read or has grouped."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import itertools
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from dedup.correlation.tile import SharedBlock, correlate_tile
from dedup.scan.imported import parse_line
from dedup.settings import DEFAULT_EXTENSIONS, ITEMS_PER_SECOND, METHODS, CompareSettings
from dedup.store.items import Items
from scripts.bench.scan import machine

BARD_LAGS, BARD_THRESHOLD, BARD_SHORT_THRESHOLD, BARD_SHORT_S = 100, 0.60, 0.68, 53.0
"""Values of bard's own configuration."""

SOUNDALIKE_ITEMS = round((15 - 2.6) * ITEMS_PER_SECOND)
"""Items of 15 seconds of sound; the last item needs the 2.6 seconds after its start."""

FPCALC = """#!/bin/sh
for last; do :; done
case $last in -version) echo "fpcalc version 0";; *) cat "$last";; esac
"""


class Track(NamedTuple):
    duration_s: float
    items: Items


class Done(NamedTuple):
    pairs: int
    cpu_s: float


@dataclass(frozen=True)
class Contender:
    name: str
    run: Callable[[], Done]


class AbsentError(Exception):
    """A program is not installed; the text says what to do."""


def main() -> None:
    args = arguments()
    tracks = read_tracks(args.file, args.pairs)
    with contextlib.ExitStack() as cleanup:
        contenders, absent = [], {}
        for name, make in MAKERS.items():
            try:
                contenders.append(make(name, tracks, args, cleanup))
            except AbsentError as error:
                absent[name] = str(error)
        contenders += reprise(tracks)
        rates: dict[str, list[float]] = {contender.name: [] for contender in contenders}
        pairs = {}
        for _ in range(args.rounds):
            for contender in contenders:
                pairs[contender.name], cpu_s = contender.run()
                rates[contender.name].append(pairs[contender.name] / cpu_s)
    show(args, tracks, pairs, rates, absent)


def arguments() -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", metavar="FILE.jsonl")
    parser.add_argument("--pairs", type=int, default=100_000, help="most pairs (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="per round of a slow program (default: %(default)s)")
    parser.add_argument("--bard-library", metavar="FILE", help="bard's extension module, bard_ext.*.so")
    parser.add_argument("--audio", metavar="FOLDER", help="files for czkawka_cli")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.pairs < 1 or args.rounds < 1:
        parser.error("--pairs and --rounds must be 1 or more")
    return args


def read_tracks(file: str, n_pairs: int) -> list[Track]:
    """The first tracks of a file: as many as make at most `n_pairs` pairs."""
    n_tracks = 2
    while (n_tracks + 1) * n_tracks // 2 <= n_pairs:
        n_tracks += 1
    with open(file, "rb") as lines:
        parsed = [parse_line(line) for line in itertools.islice(lines, n_tracks)]
    if len(parsed) < 2:
        sys.exit(f"{file}: only {len(parsed)} fingerprints. Give a file with 2 or more")
    return [Track(duration_s, items) for _, duration_s, items in parsed]


def n_pairs_of(tracks: Sequence[Track]) -> int:
    return len(tracks) * (len(tracks) - 1) // 2


def reprise(tracks: list[Track]) -> list[Contender]:
    offsets = np.cumsum([0, *(len(track.items) for track in tracks)]).astype(np.int64)
    block = np.concatenate([track.items for track in tracks]), offsets
    names = (f"block {number}" for number in itertools.count())  # a new name makes it prepare the block again

    def contender(method: str, max_lag: int | None) -> Contender:
        settings = CompareSettings(method, max_lag)
        n_warm = min(len(tracks), 20)
        correlate((next(names), block[0][: offsets[n_warm]], offsets[: n_warm + 1]), settings)
        lags = "all lags" if max_lag is None else f"±{max_lag}"
        return Contender(f"{method}, {lags}", lambda: correlate((next(names), *block), settings))

    return [contender(method, lags) for method in METHODS for lags in (BARD_LAGS - 1, None)]


def correlate(block: SharedBlock, settings: CompareSettings) -> Done:
    began = time.thread_time()
    _, n_compared = correlate_tile(block, block, settings)
    return Done(n_compared, time.thread_time() - began)


def bard(name: str, tracks: list[Track], args: argparse.Namespace, _: object) -> Contender:
    module = bard_module(args.bard_library)
    songs = [(number, track.items.tolist(), track.duration_s) for number, track in enumerate(tracks, 1)]

    def run() -> Done:
        manager = module.FingerprintManager()
        manager.setMaxOffset(BARD_LAGS)
        manager.setCancelThreshold(BARD_THRESHOLD)
        manager.setShortSongCancelThreshold(BARD_SHORT_THRESHOLD)
        manager.setShortSongLength(BARD_SHORT_S)
        manager.setExpectedSize(len(songs) + 5)
        began = time.thread_time()
        for song in songs:
            manager.addSongAndCompare(*song)
        return Done(n_pairs_of(tracks), time.thread_time() - began)

    return Contender(name, run)


def bard_module(path: str | None) -> Any:
    os.environ["OMP_NUM_THREADS"] = "1"  # its loop uses OpenMP, which reads this when it is loaded
    if path is None:
        with contextlib.suppress(ImportError):
            return importlib.import_module("bard.bard_ext")
        raise AbsentError("Build bard_ext from github.com/antlarr/bard and name it with --bard-library")
    spec = importlib.util.spec_from_file_location("bard_ext", path)
    if spec is None or spec.loader is None:
        raise AbsentError(f"{path} is not an extension module for this Python")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pyacoustid(name: str, tracks: list[Track], args: argparse.Namespace, _: object) -> Contender:
    try:
        import acoustid
        import chromaprint
    except ImportError as error:
        raise AbsentError("Run pip install pyacoustid, and install libchromaprint") from error
    given = [(t.duration_s, chromaprint.encode_fingerprint(t.items.tolist(), 1)) for t in tracks]
    return Contender(name, lambda: sampled(given, acoustid.compare_fingerprints, args.seconds))


def audiomatch(name: str, tracks: list[Track], args: argparse.Namespace, _: object) -> Contender:
    try:
        from audiomatch.fingerprints import compare
    except ImportError as error:
        raise AbsentError("Run pip install audiomatch (Cython compiles it up to Python 3.10)") from error
    return Contender(name, lambda: sampled([track.items.tolist() for track in tracks], compare, args.seconds))


def sampled(given: Sequence[Any], compare: Callable[[Any, Any], object], seconds: float) -> Done:
    """Compares pairs until time is up: each track with the next one, then with the one after that, and so on."""
    n_compared, began = 0, time.thread_time()
    for distance in range(1, len(given)):
        for first, second in zip(given, given[distance:], strict=False):
            compare(first, second)
            n_compared += 1
            if time.thread_time() - began >= seconds:
                return Done(n_compared, time.thread_time() - began)
    return Done(n_compared, time.thread_time() - began)


def soundalike(name: str, tracks: list[Track], _: object, cleanup: contextlib.ExitStack) -> Contender:
    """It makes fingerprints with the program fpcalc, which is a script here that prints them."""
    program = found("soundalike", "Run go install codeberg.org/derat/soundalike@latest")
    folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
    (folder / "bin").mkdir()
    (folder / "music").mkdir()
    fpcalc = folder / "bin" / "fpcalc"
    fpcalc.write_text(FPCALC)
    fpcalc.chmod(0o755)
    for number, track in enumerate(tracks):
        printed = {"duration": track.duration_s, "fingerprint": track.items[:SOUNDALIKE_ITEMS].tolist()}
        (folder / "music" / f"{number:06}.mp3").write_text(json.dumps(printed))
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    command = [program, "-db", str(folder / "soundalike.db"), "-log-sec", "0", str(folder / "music")]
    env = {"PATH": path, "GOMAXPROCS": "1", "HOME": str(folder)}
    cpu_s_of(command, env)
    return Contender(name, lambda: Done(n_pairs_of(tracks), cpu_s_of(command, env)))


def czkawka(name: str, _: object, args: argparse.Namespace, cleanup: contextlib.ExitStack) -> Contender:
    program = found("czkawka_cli", "Run cargo install czkawka_cli")
    if args.audio is None:
        raise AbsentError("It takes only files: name a folder with --audio")
    folder = cleanup.enter_context(tempfile.TemporaryDirectory())
    places = {f"{what}_PATH": f"{folder}/{what}" for what in ("CZKAWKA_CACHE", "CZKAWKA_CONFIG")}
    env = {"PATH": os.environ["PATH"], "HOME": folder, **places}
    command = [program, "music", "-d", str(Path(args.audio).resolve()), "-s", "CONTENT", "-T", "1"]
    n_files = sum(path.suffix[1:].lower() in DEFAULT_EXTENSIONS for path in Path(args.audio).rglob("*"))
    cpu_s_of(command, env)
    return Contender(name, lambda: Done(n_files * (n_files - 1) // 2, cpu_s_of(command, env)))


def found(program: str, remedy: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise AbsentError(remedy)
    return path


def cpu_s_of(command: list[str], env: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=env, capture_output=True, check=False)
    if done.returncode not in (0, 11):  # 11: czkawka found something
        sys.exit(f"{command[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


MAKERS = {
    "bard, ±99": bard,
    "pyacoustid": pyacoustid,
    "audiomatch": audiomatch,
    "soundalike": soundalike,
    "czkawka_cli": czkawka,
}


def show(
    args: argparse.Namespace,
    tracks: list[Track],
    pairs: dict[str, int],
    rates: dict[str, list[float]],
    absent: dict[str, str],
) -> None:
    ours = [name for name in rates if name not in MAKERS]
    peers = [name for name in rates if name in MAKERS]
    ratios = {peer: {name: spread(rates[name], rates[peer]) for name in ours} for peer in peers}
    figures = {
        "machine": machine(),
        "tracks": len(tracks),
        "items": round(statistics.mean(len(track.items) for track in tracks)),
        "rounds": args.rounds,
        "pairs": pairs,
        "pairs_per_s": {name: spread(values) for name, values in rates.items()},
        "ratios": ratios,
        "not_measured": absent,
    }
    if args.json:
        print(json.dumps(figures))
        return
    print(f"{figures['machine']}; one core")
    print(f"{len(tracks)} tracks of {figures['items']} items, {args.rounds} rounds; median (lowest to highest)\n")
    for name, rate in figures["pairs_per_s"].items():
        print(f"{name:20} {told(rate)} pairs/s   of {pairs[name]:,}")
    for peer, ratio_of in ratios.items():
        print(f"\ntimes as fast as {peer}")
        for name, ratio in ratio_of.items():
            print(f"  {name:18} {told(ratio)}")
    for name, remedy in absent.items():
        print(f"\nnot measured: {name}. {remedy}", end="")
    print()


def spread(values: list[float], divisors: list[float] | None = None) -> dict[str, float]:
    if divisors is not None:
        values = [value / divisor for value, divisor in zip(values, divisors, strict=True)]
    return {"median": shown(statistics.median(values)), "low": shown(min(values)), "high": shown(max(values))}


def shown(value: float) -> float:
    """The value rounded to four digits."""
    return float(f"{value:.4g}")


def told(values: dict[str, float]) -> str:
    median, low, high = (f"{value:,.0f}" if value >= 1000 else f"{value:,.4g}" for value in values.values())
    return f"{median:>12}  ({low} to {high})"


if __name__ == "__main__":
    main()
