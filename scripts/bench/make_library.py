#!/usr/bin/env python3
"""Makes a library of any size whose fingerprints behave like those of real music, with known duplicates in it.

    scripts/bench/make_library.py --tracks 20000 --out STORE
    scripts/bench/make_library.py --tracks 500 --items 1500 --spread 0.3 --seed 7 --duplicates 0.2 --out FILE.jsonl

STORE is a new store, ready for `reprise correlate`; FILE.jsonl (or - for stdout) is what `reprise import` reads. The
planted pairs go to STORE.truth.jsonl or FILE.truth.jsonl, one line each: {"a", "b", "index_a", "index_b", "kind",
"lag", "overlap", "errors", "error_share"}. `a` is the original, the lag is in items and positive if `a` has more in
front, errors are the bits that differ over the overlap. Copies of one original are copies of each other too: join on
`a`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from dedup.observer import Silent
from dedup.runner import Stop
from dedup.scan.imported import import_fingerprints
from dedup.settings import FingerprintSettings
from dedup.store.store import make_or_open
from dedup.synthesis.fingerprints import Library, import_line, planted_pair
from dedup.versions import chromaprint_version

BLOCK_SIZE, TELL_EVERY_S = 512, 5.0


def import_lines(library: Library, n_tracks: int, truth: IO[str]) -> Iterator[bytes]:
    """A line for each track; planted pairs go to `truth`, progress to stderr."""
    began = told = time.monotonic()
    for index in range(n_tracks):
        track = library.track(index)
        if track.original is not None:
            print(json.dumps(planted_pair(track, library.track(track.original).items)), file=truth)
        yield import_line(track)
        now = time.monotonic()
        if now - told >= TELL_EVERY_S or index + 1 == n_tracks:
            told = now
            rate = (index + 1) / max(now - began, 1e-9)
            print(f"{index + 1:,} of {n_tracks:,} tracks, {rate:,.0f}/s", file=sys.stderr, flush=True)


def make_store(folder: Path, lines: Iterator[bytes], block_size: int) -> None:
    settings = FingerprintSettings(chromaprint_version())
    with make_or_open(folder, settings, block_size, "make_library") as store:
        counts = import_fingerprints(store, lines, 1.0, Silent(), Stop())
    if counts.imported != counts.lines:
        sys.exit(f"{counts.lines - counts.imported} of {counts.lines} tracks were not imported")


def arguments() -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, required=True, metavar="N")
    parser.add_argument("--items", type=int, default=948, metavar="L", help="mean length (default: %(default)s)")
    parser.add_argument("--spread", type=float, default=0.0, help="sd of the log of lengths; 0: all are L items long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--duplicates", type=float, default=0.05, metavar="P", help="share of tracks that are copies")
    parser.add_argument("--block-size", type=int, default=BLOCK_SIZE, help="tracks in a block (default: %(default)s)")
    parser.add_argument("--out", required=True, metavar="STORE|FILE.jsonl|-")
    args = parser.parse_args()
    if args.tracks < 1 or args.items < 32 or args.spread < 0 or not 0 <= args.duplicates <= 1 or args.seed < 0:
        parser.error("use --tracks from 1, --items from 32, --spread and --seed from 0, --duplicates from 0 to 1")
    if not args.out.endswith(".jsonl") and os.path.exists(args.out):
        parser.error(f"{args.out} already exists: name another")
    return args


def main() -> None:
    args = arguments()
    library = Library(args.seed, args.items, args.spread, args.duplicates)
    truth = os.devnull if args.out == "-" else args.out.removesuffix(".jsonl").rstrip("/") + ".truth.jsonl"
    Path(truth).parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as files:
        lines = import_lines(library, args.tracks, files.enter_context(open(truth, "w", encoding="utf-8")))
        if args.out == "-":
            sys.stdout.buffer.writelines(lines)
        elif args.out.endswith(".jsonl"):
            files.enter_context(open(args.out, "wb")).writelines(lines)
        else:
            make_store(Path(args.out), lines, args.block_size)


if __name__ == "__main__":
    main()
