#!/usr/bin/env python3
"""Measures the null test: whether it tells a copy from another mix, and where it finds a bleep.

    scripts/study/nulltest.py [--seed N] [--library STORE GROUND_TRUTH.json] [--json]

Made pairs: for each of five backings and five leads, the music with and without the lead, 12 to 3 dB below it, one of
the two encoded as copies are; and copies of the music alone (encodings down to 48 kbit/s, equalising, compressing,
noise, clipping). Then bleeps of 0.6 s and drop-outs of 0.3 s at known places. With --library, each pair of a labelled
library that must be called the same (`dup`, see `evaluate.py`), as far as the store has it. The constants of
`dedup.nulltest` were chosen on seed 1; judge them on another."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from dedup.fingerprint.decode import decode
from dedup.groups.matches import Matches
from dedup.nulltest.compare import MIX_SHARE, compare, mean_missing
from dedup.nulltest.spectra import SAMPLE_RATE, Pcm
from dedup.settings import MatchSettings
from dedup.store.store import open_for_reading
from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.voices import BACKINGS, LEADS, backing, lead, with_lead
from dedup.synthesis.wear import WEAR, worn
from scripts.study.evaluate import below, expected, labelled

SECONDS = 30.0
LEVELS_DB = (-12, -9, -6, -3)
QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--library", nargs=2, type=Path, metavar=("STORE", "GROUND_TRUTH.json"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = [*made_pairs(args.seed), *places(args.seed)]
    if args.library:
        rows += labelled_pairs(*args.library)
    if args.json:
        print(json.dumps(rows))
    else:
        show(rows)


def heard(path: str) -> Pcm:
    pieces: list[bytes] = []
    decode(os.fsencode(path), SAMPLE_RATE, pieces.append)
    return np.frombuffer(b"".join(pieces), "<i2")


def row(kind: str, name: str, a: Pcm, b: Pcm, lag_s: float = 0.0) -> Row:
    test = compare(a, b, lag_s)
    verdict = "another mix" if test.is_other_mix else "differs" if test.differences else "copy"
    return {"kind": kind, "name": name, "verdict": verdict, "missing": mean_missing(a, b, lag_s)}


# ---- made pairs ----


def made_pairs(seed: int) -> Iterator[Row]:
    """Pairs with and without a lead, and worn copies."""
    names = [name for name in WEAR if name != "shifted"]  # fingerprints say by how much
    with tempfile.TemporaryDirectory() as folder:
        for number, (backing_, lead_) in enumerate(itertools.product(BACKINGS, LEADS)):
            of_one = 1000 * seed + number
            music = backing(backing_, of_one, SECONDS)
            voice = lead(lead_, of_one, SECONDS)
            plain = _written(folder, music, Encoding("flac"))
            for step, level_db in enumerate(LEVELS_DB):
                name = names[(4 * number + step) % len(names)]
                mixed = with_lead(music, voice, level_db)
                mixed = (mixed / max(1.0, float(np.abs(mixed).max()) / 0.95)).astype(np.float32)
                other = _written(folder, mixed, WEAR[name].encoding)
                yield row(f"lead {level_db} dB", f"{backing_}, {lead_}, {name}", plain, other)
            for step in range(3):
                name = names[(3 * number + step) % len(names)]
                yield row(
                    "copy",
                    f"{backing_}, {name}",
                    plain,
                    _written(folder, worn(music, name, of_one), WEAR[name].encoding),
                )


def _written(folder: str, sound: Any, encoding: Encoding) -> Pcm:
    path = f"{folder}/x.{encoding.extension}"
    write(path, sound, encoding)
    return heard(path)


def places(seed: int) -> Iterator[Row]:
    """Bleeps and drop-outs; `error_s` is how far off the place is, None if nothing was found."""
    for number in range(10):
        with tempfile.TemporaryDirectory() as folder:
            music = _written(folder, backing("song", 1000 * seed + 500 + number, SECONDS), Encoding("flac"))
            for kind, seconds in (("bleep", 0.6), ("drop-out", 0.3)):
                start_s = 5.0 + 2 * number
                other = np.array(music)
                first, end = round(start_s * SAMPLE_RATE), round((start_s + seconds) * SAMPLE_RATE)
                t = np.arange(end - first) / SAMPLE_RATE
                other[first:end] = 8000 * np.sin(2 * np.pi * 1000 * t) if kind == "bleep" else 0
                found = compare(music, other, 0.0).differences
                errors = [max(abs(d.start_s - start_s), abs(d.end_s - start_s - seconds)) for d in found]
                yield {"kind": kind, "name": f"at {start_s:g} s", "error_s": min(errors, default=None), "n": len(found)}


# ---- a labelled library ----


def labelled_pairs(store_: Path, truth: Path) -> Iterator[Row]:
    """The pairs of a library that must be called the same."""
    files = {file.path: file for file in map(labelled, json.loads(truth.read_text())["files"])}
    root = bytes((truth.resolve().parent / "library").resolve())
    with open_for_reading(store_) as store:
        pairs = list(Matches(store, MatchSettings()).pairs())
    sounds: dict[bytes, Pcm] = {}
    for pair in pairs:
        a, b = (files.get(below(track.path, root)) for track in (pair.a, pair.b))
        if a is None or b is None or expected(a, b) != "dup":
            continue
        for track in (pair.a, pair.b):
            if track.path not in sounds:
                sounds[track.path] = heard(os.fsdecode(track.path))
        name = f"{a.kind}, {b.kind}"
        yield row("labelled copy", name, sounds[pair.a.path], sounds[pair.b.path], pair.match.lag_s)


# ---- what is shown ----


def show(rows: list[Row]) -> None:
    kinds = dict.fromkeys(row["kind"] for row in rows)
    print(f"mean share of the loudness that one file lacks, {', '.join(f'{q:.0%}' for q in QUANTILES)} of the pairs;")
    print(f"from {MIX_SHARE} on, another mix")
    for kind in kinds:
        of_kind = [row for row in rows if row["kind"] == kind]
        if "error_s" in of_kind[0]:
            errors = [row["error_s"] for row in of_kind if row["error_s"] is not None]
            print(f"{kind:14} {len(errors)} of {len(of_kind)} found, off by {max(errors, default=0):.2f} s at most")
            continue
        spread = " ".join(f"{value:.4f}" for value in np.quantile([row["missing"] for row in of_kind], QUANTILES))
        verdicts = ", ".join(f"{n} {name}" for name, n in Counter(row["verdict"] for row in of_kind).most_common())
        print(f"{kind:14} {len(of_kind):4}  {spread}  {verdicts}")
    for row in rows:
        is_wrong = (row["kind"].endswith("copy") and row["verdict"] != "copy") or (
            row["kind"].startswith("lead") and row["verdict"] == "copy"
        )
        if is_wrong:
            print(f"  {row['kind']}: {row['name']}: {row['verdict']}, {row['missing']:.4f}")


if __name__ == "__main__":
    main()
