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
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from dedup.scan.imported import Imported, import_tracks
from dedup.settings import FingerprintSettings
from dedup.store.items import Items
from dedup.store.store import Store, make_or_open
from dedup.synthesis.fingerprints import Library, duration_of, import_line, path_of, planted_pair

BLOCK_SIZE, AT_ONCE, TELL_EVERY_S = 512, 128, 5.0
EVERY_OTHER_BIT = 0x55555555


def made(library: Library, n_tracks: int, truth: IO[str]) -> Iterator[Made]:
    """Each track, made by a process for each core; planted pairs go to `truth`, progress to stderr."""
    began = told = time.monotonic()
    starts = range(0, n_tracks, AT_ONCE)
    with multiprocessing.get_context("spawn").Pool(initializer=_begin, initargs=(library,)) as pool:
        for start, (tracks, pairs) in zip(starts, pool.imap(_make, ((at, n_tracks) for at in starts)), strict=True):
            truth.write(pairs)
            yield from tracks
            now, n_done = time.monotonic(), start + len(tracks)
            if now - told >= TELL_EVERY_S or n_done == n_tracks:
                told = now
                rate = n_done / max(now - began, 1e-9)
                print(f"{n_done:,} of {n_tracks:,} tracks, {rate:,.0f}/s", file=sys.stderr, flush=True)


class Made(NamedTuple):
    """A made track, as it travels between processes."""

    index: int
    items: Items


_library: Library


def _begin(library: Library) -> None:
    global _library  # noqa: PLW0603 - what each process of the pool has
    _library = library


def _make(span: tuple[int, int]) -> tuple[list[Made], str]:
    """The tracks of a chunk, and the true lines about the copies among them."""
    tracks = [_library.track(index) for index in range(span[0], min(span[0] + AT_ONCE, span[1]))]
    pairs = (planted_pair(t, _library.track(t.original).items) for t in tracks if t.original is not None)
    return [Made(track.index, track.items) for track in tracks], "".join(f"{json.dumps(pair)}\n" for pair in pairs)


def make_store(folder: Path, tracks: Iterable[Imported], block_size: int, is_heard: bool = False) -> None:
    settings = FingerprintSettings()
    with make_or_open(folder, settings, block_size, "make_library") as store:
        counts = import_tracks(store, tracks, 1.0)
        if is_heard:
            _hear_at_other_pitches(store)
    if counts.imported != counts.lines:
        sys.exit(f"{counts.lines - counts.imported} of {counts.lines} tracks were not imported")


def _hear_at_other_pitches(store: Store) -> None:
    """Gives each fingerprint items at other pitches: as many, as varied, and like no others."""
    for name in sorted(store.catalog.blocks.names()):
        block = store.blocks.read(name)
        with store.catalog.transaction():
            for each in store.catalog.fingerprints.of_block(name):
                turned = block.row(each.row)[::-1]
                store.catalog.pitches.put(each.id, np.stack([turned, turned ^ np.uint32(EVERY_OTHER_BIT)]))


def arguments() -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, required=True, metavar="N")
    parser.add_argument("--items", type=int, default=948, metavar="L", help="mean length (default: %(default)s)")
    parser.add_argument("--spread", type=float, default=0.0, help="sd of the log of lengths; 0: all are L items long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--duplicates", type=float, default=0.05, metavar="P", help="share of tracks that are copies")
    parser.add_argument("--block-size", type=int, default=BLOCK_SIZE, help="tracks in a block (default: %(default)s)")
    parser.add_argument("--pitches", action="store_true", help="a store whose tracks seem heard at other pitches too")
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
        tracks = made(library, args.tracks, files.enter_context(open(truth, "w", encoding="utf-8")))
        if args.out == "-":
            sys.stdout.buffer.writelines(import_line(*track) for track in tracks)
        elif args.out.endswith(".jsonl"):
            files.enter_context(open(args.out, "wb")).writelines(import_line(*track) for track in tracks)
        else:
            coming = (Imported(path_of(index).encode(), duration_of(items), items) for index, items in tracks)
            make_store(Path(args.out), coming, args.block_size, args.pitches)


if __name__ == "__main__":
    main()
