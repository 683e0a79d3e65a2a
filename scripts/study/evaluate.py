#!/usr/bin/env python3
"""Evaluates a store of a labelled library: which pairs it finds, what it calls them, and which claims are wrong.

    scripts/study/evaluate.py STORE GROUND_TRUTH.json [--root LIBRARY] [--json] [--plot FILE.png|svg]

GROUND_TRUTH.json names the files of the library: {"files": [{"path", "recording", "class", "expect", "filter"?,
"path_hex"?}]} with paths below the library's root; `filter` is FFmpeg's filter that made the file, which shows the
part of its recording that it plays, and the speed. Two files of one recording are a true pair; it gets the weaker of
their two expectations: dup (must be called the same), hard (other speed, by the right rate), subset (contained, at the
right place), may (right either way), no (transposed: must not be called the same). A pair of different recordings that
is called the same, or contained, is false.

Then every pair of different fingerprints is compared exactly, by the score and by the methods of others (`methods.py`).
The report shows how well each method separates true pairs (dup, hard, subset) from those of different recordings:
average precision; the margin (worst dup - best unrelated) / (best dup - best unrelated); and the pairs found at a
threshold."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from dedup.errors import RepriseError
from dedup.groups.matches import Matches, TrackPair
from dedup.report.plot import require_plot
from dedup.settings import ITEMS_PER_SECOND, MatchSettings
from dedup.store.items import Items
from dedup.store.store import Store, open_for_reading
from scripts.study.methods import DIFFERENT, METHODS, POSITIVE, Scored, plot, weigh

WEAKER = ("dup", "hard", "subset", "may", "no")
SIGNAL = "signal"
"""Class of silence, tones and noise, which are not music and hardest to keep apart."""
SIGNALS = "touching test signals"

SAME = frozenset({"same file", "identical file", "same audio", "same recording", "same audio, picture not compared"})
OTHER_SPEED = "same recording, other speed"
CLAIMS = SAME | {OTHER_SPEED, "contained"}
"""Verdicts that are false between different recordings."""

RATE_OFF, PLACE_OFF_S = 0.003, 1.0
"""Largest errors with which a rate, and the place of an excerpt, count as right."""

Paths = frozenset[bytes]


@dataclass(frozen=True)
class File:
    """A labelled file: at its time `t` it plays what its recording has at `start_s + speed * t`."""

    path: bytes
    recording: str
    kind: str
    expect: str
    start_s: float
    speed: float


def main() -> None:
    args, root = arguments(__doc__, plots=True)
    if args.plot:
        require_plot(args.plot)
    files = [labelled(entry) for entry in json.loads(args.truth.read_text())["files"]]
    with open_for_reading(args.store) as store:
        pairs = {paths_of(pair, root): pair for pair in Matches(store, MatchSettings()).pairs()}
        prints = list(fingerprints(store, files, root))
    if not prints:
        print(unknown_text(args.store, root), file=sys.stderr)
    scored = compared(prints, {paths for paths, pair in pairs.items() if pair.verdict in CLAIMS})
    report = {"files": judged(files, pairs, root), "methods": weigh(scored)}
    if args.plot:
        plot(scored, args.plot)
    if args.json:
        print(json.dumps(report))
    else:
        show(report["files"])
        show_methods(report["methods"])


def arguments(description: str, *, plots: bool = False) -> tuple[argparse.Namespace, bytes]:
    """Arguments STORE, GROUND_TRUTH.json, --json and, if it `plots`, --plot; and the root of the labelled library."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--root", type=Path, help="the library's folder (default: library/ beside GROUND_TRUTH.json)")
    parser.add_argument("--json", action="store_true")
    if plots:
        parser.add_argument(
            "--plot", type=Path, metavar="FILE", help="draw scores, precision and recall (.png or .svg)"
        )
    args = parser.parse_args()
    return args, bytes((args.root or args.truth.resolve().parent / "library").resolve())


def unknown_text(store: Path, root: bytes) -> str:
    """What is said if nothing that follows means anything."""
    return (
        f"warning: no file of the ground truth below {os.fsdecode(root)} is in the store {store}, so every pair counts "
        "as not found. Name the folder that was scanned with --root"
    )


# ---- the labels ----


def path_of(entry: dict[str, str]) -> bytes:
    return bytes.fromhex(entry["path_hex"]) if "path_hex" in entry else entry["path"].encode()


def labelled(entry: dict[str, str]) -> File:
    start_s, speed = timeline(entry.get("filter", ""))
    return File(path_of(entry), entry["recording"], entry["class"], entry["expect"], start_s, speed)


def timeline(filters: str) -> tuple[float, float]:
    """`start_s` and `speed` (as in `File`) of a recording after these FFmpeg filters."""
    start_s, speed = 0.0, 1.0
    for step in filters.split(","):
        name, _, value = step.partition("=")
        if name == "atrim" and (cut := re.match(r"start=([\d.]+)", value)):
            start_s += speed * float(cut[1])
        elif name == "adelay" and (delay_ms := re.match(r"[\d.]+", value)):
            start_s -= speed * float(delay_ms[0]) / 1000
        elif name in ("asetrate", "atempo"):
            speed *= float(value.rpartition("*")[2])
    return start_s, speed


def expected(a: File, b: File) -> str:
    """One of WEAKER, or DIFFERENT."""
    return DIFFERENT if a.recording != b.recording else max(a.expect, b.expect, key=WEAKER.index)


def paths_of(pair: TrackPair, root: bytes) -> Paths:
    """Both paths, relative to the root."""
    return frozenset(below(track.path, root) for track in (pair.a, pair.b))


def below(path: bytes, root: bytes) -> bytes:
    return path.removeprefix(root + b"/")


# ---- what the store says about the files ----


@dataclass
class Row:
    """Pairs of one kind."""

    pairs: int = 0
    found: int = 0
    """Pairs with any verdict except related."""
    right: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)

    def count(self, pair: TrackPair | None, right: bool) -> None:
        self.pairs += 1
        self.right += right
        if pair is not None:
            self.found += pair.verdict != "related"
            self.verdicts[pair.verdict] += 1

    def told(self) -> dict[str, Any]:
        return {
            "pairs": self.pairs,
            "found": self.found,
            "right": self.right,
            "verdicts": dict(self.verdicts.most_common()),
        }


def judged(files: Sequence[File], pairs: dict[Paths, TrackPair], root: bytes) -> dict[str, Any]:
    """Counts by expectation and by class of transformation, and each pair of different recordings that is claimed or
    related. A pair counts for the class of each of its files that has the pair's expectation."""
    rows = {name: Row() for name in (*WEAKER, DIFFERENT)}
    classes: dict[str, dict[str, Row]] = {name: {} for name in WEAKER}
    signals = Row()
    wrong, false, beside = (list[dict[str, Any]]() for _ in range(3))
    for a, b in itertools.combinations(sorted(files, key=lambda file: file.path), 2):
        expect, pair = expected(a, b), pairs.get(frozenset((a.path, b.path)))
        if pair is not None and below(pair.a.path, root) != a.path:
            a, b = b, a  # noqa: PLW2901
        right = is_right(expect, pair, a, b)
        rows[expect].count(pair, right)
        if SIGNAL in (a.kind, b.kind):
            signals.count(pair, right)
        if expect != DIFFERENT:
            for kind in {file.kind for file in (a, b) if file.expect == expect}:
                classes[expect].setdefault(kind, Row()).count(pair, right)
            wrong += (
                [] if right else [{"expect": expect, "true_rate": round(true_rate(a, b), 4), **numbers(a, b, pair)}]
            )
        elif pair is not None:
            (false if pair.verdict in CLAIMS else beside).append(numbers(a, b, pair))
    return {
        **{
            name: {**row.told(), "classes": {kind: row.told() for kind, row in sorted(classes.get(name, {}).items())}}
            for name, row in rows.items()
        },
        SIGNALS: signals.told(),
        "wrong": wrong,
        "false": false,
        "related": beside,
    }


def is_right(expect: str, pair: TrackPair | None, a: File, b: File) -> bool:
    """Whether a pair with tracks `a` and `b` has the right verdict."""
    verdict = "other" if pair is None else pair.verdict
    if expect in ("no", DIFFERENT):
        return verdict not in CLAIMS
    if expect == "may":
        return True
    if pair is None:
        return False
    if expect == "subset":
        return verdict == "contained" and is_in_place(pair, a, b)
    if expect == "hard" and (true_rate(a, b) != 0 or verdict == OTHER_SPEED):
        return verdict == OTHER_SPEED and abs(pair.match.rate - true_rate(a, b)) <= RATE_OFF
    return verdict in SAME


def true_rate(a: File, b: File) -> float:
    """The right `Match.rate`: time in `a` per time in `b`, minus 1."""
    return b.speed / a.speed - 1


def is_in_place(pair: TrackPair, a: File, b: File) -> bool:
    """Whether the lag is right somewhere in the shared part; at equal speed it is the same everywhere."""
    ends = (file.start_s + file.speed * track.n_items / ITEMS_PER_SECOND for file, track in ((a, pair.a), (b, pair.b)))
    common = max(a.start_s, b.start_s), min(ends)
    lags_s = [(at_s - a.start_s) / a.speed - (at_s - b.start_s) / b.speed for at_s in common]
    return min(lags_s) - PLACE_OFF_S <= pair.match.lag_s <= max(lags_s) + PLACE_OFF_S


def numbers(a: File, b: File, pair: TrackPair | None) -> dict[str, Any]:
    """A pair in the form of the lists."""
    told: dict[str, Any] = {name: file.path.decode(errors="backslashreplace") for name, file in (("a", a), ("b", b))}
    if pair is None:
        return {**told, "verdict": "other"}
    match = pair.match
    ratios = {name: round(getattr(match, name), 4) for name in ("score", "kappa", "along", "prominence", "rate")}
    times = {"lag_s": round(match.lag_s, 2), "overlap_s": round(match.overlap_s, 1)}
    return {**told, "verdict": pair.verdict, **ratios, **times}


# ---- every pair of different fingerprints ----


@dataclass(frozen=True)
class Print:
    """A fingerprint, and the first labelled file that has it."""

    items: Items
    file: File


def fingerprints(store: Store, files: Iterable[File], root: bytes) -> Iterator[Print]:
    """Each different fingerprint of a labelled file once."""
    of_path = {file.path: file for file in files}
    seen = set()
    query = "SELECT track.path, audio.fingerprint FROM track JOIN audio ON audio.id = track.audio ORDER BY track.path"
    for path, fingerprint in store.catalog.connection.execute(query).fetchall():
        file = of_path.get(below(path, root))
        if file is not None and fingerprint not in seen:
            seen.add(fingerprint)
            yield Print(np.array(store.items_of(fingerprint)), file)


def compared(prints: Sequence[Print], claims: set[Paths]) -> Scored:
    pairs = list(itertools.combinations(prints, 2))
    return Scored(
        np.array([expected(a.file, b.file) for a, b in pairs], np.str_),
        np.array([SIGNAL in (a.file.kind, b.file.kind) for a, b in pairs], bool),
        np.array([frozenset((a.file.path, b.file.path)) in claims for a, b in pairs], bool),
        {name: np.array([score(a.items, b.items) for a, b in pairs], float) for name, score in METHODS.items()},
    )


# ---- for people ----


def show(report: dict[str, Any]) -> None:
    print(f"{'pairs of files':22} {'pairs':>7} {'found':>7} {'right':>7}  called")
    for name in (*WEAKER, DIFFERENT, SIGNALS):
        row = report[name]
        for title, of in ((name, row), *((f"  {kind}", of) for kind, of in row.get("classes", {}).items())):
            called = ", ".join(f"{verdict} {n}" for verdict, n in of["verdicts"].items())
            print(f"{title:22} {of['pairs']:7,} {of['found']:7,} {of['right']:7,}  {called}".rstrip())
    for name, title in (
        ("wrong", "pairs of one recording with a wrong verdict"),
        ("false", "false pairs"),
        ("related", "related or transposed, of different recordings"),
    ):
        print(f"\n{len(report[name])} {title}")
        for pair in report[name]:
            print(f"    {described(pair)}")


def described(pair: dict[str, Any]) -> str:
    told = f"{pair['verdict']}: {pair['a']} <-> {pair['b']}"
    if "expect" in pair:
        rate = f", rate {pair['true_rate']:+.4f}" if pair["true_rate"] else ""
        told = f"{pair['expect']}{rate}, called {told}"
    if "score" not in pair:
        return told
    ratios = "  ".join(f"{name} {pair[name]:.3f}" for name in ("score", "kappa", "along", "prominence"))
    times = f"lag {pair['lag_s']:+.2f} s  overlap {pair['overlap_s']:.1f} s  rate {pair['rate']:+.4f}"
    return f"{told}\n        {ratios}  {times}"


def show_methods(methods: dict[str, Any]) -> None:
    for among, rows in methods.items():
        counts = ", ".join(f"{n:,} {name}" for name, n in rows["pairs"].items())
        print(f"\nevery pair of different fingerprints, {among}: {counts}")
        found = " ".join(f"{name:>6}" for name in (*POSITIVE, "false"))
        print(f"{'':16} {'precision':>9} {'margin':>7}   {'as used':7} {found}   {'no false':8} {found}")
        for name in METHODS:
            row = rows[name]
            margin = "none" if row["margin"] is None else f"{row['margin']:+.3f}"
            told = f"{name:16} {row['average_precision']:9.4f} {margin:>7}"
            for at, width in (("as_used", 7), ("no_false", 8)):
                n_found = " ".join(f"{row[at][kind]:6,}" for kind in (*POSITIVE, "false"))
                threshold = row[at]["threshold"]
                shown = "verdict" if threshold is None else f">{'=' * (at == 'as_used')} {threshold:.3f}"
                told += f"   {shown:{width}} {n_found}"
            print(told)


if __name__ == "__main__":
    try:
        main()
        sys.stdout.flush()
    except RepriseError as error:
        sys.exit(str(error))
    except BrokenPipeError:  # the reader has enough: send the rest to nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
