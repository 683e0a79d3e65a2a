#!/usr/bin/env python3
"""Times the commands that people wait for on a large made library: time and memory.

    scripts/bench/review.py [--tracks 300000] [--groups 20000] [--judged 15000] [--folder DIR] [--json]

The library has groups of three copies, so three pairs each, tracks without a copy, and pairs of the two that a person
called the same though no tile found them. Nothing is decoded or correlated: fingerprints are random items, copies have
1 % of their bits flipped, and the store has the results that `reprise correlate` would give. The first report compares
the judged pairs and remembers them. There are no files: `plan` decides, and finds that it cannot read their tags;
`bench/plan.py` times it with files.

Each command is timed as the first one after a scan that found something, when everything is read, and again, when what
was found before is taken from the cache folder; the first screen of a report also after a person called two copies
different. The cache folder is one of the benchmark's own, except for the compiled kernels.

Figures cover the whole command, start-up included: wall time, processor time, peak resident memory. Linux only
(/proc)."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Literal, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np
import platformdirs

from dedup.clock import utc_now
from dedup.correlation.compare import compare_two
from dedup.correlation.correlate import completeness
from dedup.correlation.match import Match
from dedup.correlation.match import record as pair_record
from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO
from dedup.groups.judgements import find, record
from dedup.library.metadata import AudioProperties, to_json
from dedup.settings import ITEMS_PER_SECOND, CompareSettings, FingerprintSettings
from dedup.store.items import Items, items_digest
from dedup.store.judgements import Judgement
from dedup.store.nulltests import NullTest
from dedup.store.results import TileResult
from dedup.store.store import Store, make_or_open, open_for_writing
from dedup.store.tiles import plan_tiles
from dedup.store.tracks import Track
from scripts.bench.plan import measured
from scripts.bench.scan import machine

COPIES = 3
N_ITEMS, FLIPPED = 400, 0.01
"""Items of a fingerprint, and the share of bits that differ between two copies."""
PASSED = NullTest(residual_db=-45.0, length_a_s=49.0, length_b_s=49.0)
BLOCK_SIZE, CHUNK = 4096, 20_000
SCREEN = ["report", "--limit", "20"]


class Timed(NamedTuple):
    """A command, and what happens before it."""

    name: str
    command: list[str]
    before: Literal["", "scan", "judgement"] = ""


COMMANDS = (
    Timed("report, first", SCREEN),
    *(
        Timed(f"{name}{when}", command, before)
        for name, command in (
            ("first screen", SCREEN),
            ("report", ["report"]),
            ("report --format json", ["report", "--format", "json"]),
            ("plan", ["plan"]),
            ("export groups", ["export", "groups"]),
        )
        for when, before in ((", after a scan", "scan"), (", again", ""))
    ),
    Timed("first screen, after a judgement", SCREEN, "judgement"),
    Timed("export pairs", ["export", "pairs"]),
    Timed("info", ["info"]),
    Timed("check", ["check"]),
)


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, default=300_000)
    parser.add_argument("--groups", type=int, default=20_000)
    parser.add_argument("--judged", type=int, default=15_000)
    parser.add_argument("--folder", type=Path, help="make the library here, or use the one that is there")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.tracks < COPIES * args.groups + args.judged or args.judged > args.groups:
        parser.error(
            "use more --tracks: each group takes three, each judged pair one; and no more --judged than --groups"
        )
    with tempfile.TemporaryDirectory() as temporary:
        kernels = os.environ.get("REPRISE_KERNEL_CACHE") or str(platformdirs.user_cache_path("reprise") / "numba")
        os.environ |= {"REPRISE_KERNEL_CACHE": kernels, "XDG_CACHE_HOME": temporary}
        folder = (args.folder or Path(temporary)) / "store"
        if not folder.exists():
            make_library(folder, args.tracks, args.groups, args.judged)
        results = []
        for number, timed in enumerate(COMMANDS):
            change(folder, timed.before, number, COPIES * args.groups)
            command = [*timed.command, "--store", str(folder)]
            result, _ = measured(timed.name, args.tracks, command, good_codes=(EXIT_DONE, EXIT_NOTHING_TO_DO))
            results.append(result)
            if not args.json:
                print(
                    f"{timed.name:<34} {result.wall_s:>7.1f} s  processor {result.processor_s:>7.1f} s  "
                    f"{result.memory_mb:>6.0f} MB",
                    flush=True,
                )
    if args.json:
        print(json.dumps({"machine": machine(), "runs": [asdict(result) for result in results]}))
    else:
        print(machine())


def make_library(folder: Path, n_tracks: int, n_groups: int, n_judged: int) -> None:
    """A store with groups first, then the judged pairs, then tracks without a copy."""
    compare = CompareSettings(varispeed=False)
    with make_or_open(folder, FingerprintSettings(), BLOCK_SIZE, "bench") as store:
        fingerprints = itertools.chain(itertools.chain.from_iterable(groups(n_groups)), singles())
        for start in range(0, n_tracks, CHUNK):
            with store.catalog.transaction():
                for number in range(start, min(start + CHUNK, n_tracks)):
                    enter(store, place_of(number, COPIES * n_groups), next(fingerprints))
        store.seal_tail()
        n_grouped = COPIES * n_groups
        store_results(store, compare, n_groups)
        judge(store, n_grouped, n_judged)


def change(folder: Path, what: Literal["", "scan", "judgement"], number: int, n_grouped: int) -> None:
    """What a scan does that found one new file, or a person who calls the copies of a group different."""
    if what:
        with open_for_writing(folder, "bench") as store:
            if what == "scan":
                enter(store, place_of(n_grouped + 8_000_000 + number, n_grouped), next(singles(1000 + number)))
            else:
                digests = [find(store, path_of(place_of(at, n_grouped))).content for at in (0, 1)]
                record(store, *digests, False, None)


def judge(store: Store, n_grouped: int, n_judged: int) -> None:
    """Calls the first copy of a group, and a track without a copy, one recording, for so many groups."""
    with store.catalog.transaction():
        for at in range(n_judged):
            places = (place_of(number, n_grouped) for number in (COPIES * at, n_grouped + at))
            tracks = [store.catalog.tracks.get(path_of(place)) for place in places]
            digests = [store.catalog.audios.hallmark(track.audio).digest for track in tracks if track and track.audio]
            store.catalog.judgements.put(Judgement(*sorted(digests), True, None, utc_now()))


def singles(seed: int = 1) -> Iterator[Items]:
    rng = np.random.default_rng(seed)
    while True:
        yield rng.integers(0, 1 << 32, N_ITEMS, np.uint32)


def groups(n_groups: int) -> Iterator[list[Items]]:
    """The fingerprints of each group, the same in each call."""
    rng = np.random.default_rng(2)
    for _ in range(n_groups):
        group = [rng.integers(0, 1 << 32, N_ITEMS, np.uint32)]
        for _ in range(COPIES - 1):
            worn = group[0].copy()
            places = rng.integers(0, N_ITEMS * 32, int(N_ITEMS * 32 * FLIPPED))
            np.bitwise_xor.at(worn, places // 32, np.uint32(1) << (places % 32).astype(np.uint32))
            group.append(worn)
        yield group


class Place(NamedTuple):
    """Where a track is in the library."""

    folder: str
    album: int
    track: int


def place_of(number: int, n_grouped: int) -> Place:
    """The first copies of two groups make an album with eight tracks without a copy; second copies are in a backup,
    third ones in downloads."""
    if number >= n_grouped:
        rest = number - n_grouped
        return Place("Library", rest // 8, 3 + rest % 8)
    group, at = divmod(number, COPIES)
    return Place(("Library", "Backup", "Downloads")[at], group // 2, 1 + group % 2)


def path_of(place: Place) -> bytes:
    artist, album = place.album // 10, place.album
    return f"/music/{place.folder}/Artist {artist:05}/Album {album:06}/{place.track:02} Title.flac".encode()


def enter(store: Store, place: Place, items: Items) -> None:
    audio = store.catalog.audios.add(store.catalog.fingerprints.add(items), None, "", None)
    tags = {
        "title": (f"Title {place.track} of {place.album:06}",),
        "artist": (f"Artist {place.album // 10:05}",),
        "album": (f"Album {place.album:06}",),
        "tracknumber": (str(place.track),),
        "tracktotal": ("10",),
        "date": (str(1960 + place.album % 60),),
        "genre": ("Jazz",),
    }
    lossless = place.folder == "Library" and place.track <= 2  # the first copies, so that they are the best ones
    properties = AudioProperties(
        codec="flac" if lossless else "mp3",
        lossless=lossless,
        bitrate=900_000 if lossless else 192_000,
        sample_rate=44_100,
        channels=2,
        duration_s=round(N_ITEMS / ITEMS_PER_SECOND, 6),
        tags=tags,
    )
    store.catalog.tracks.put(
        Track(
            id=0,
            path=path_of(place),
            root=b"/music",
            volume=b"/",
            size=4_000_000 + 10 * place.album + place.track,
            mtime_ns=0,
            inode=audio,
            device=0,
            state="present",
            audio=audio,
            properties=json.dumps(to_json(properties)),
        )
    )


def store_results(store: Store, compare: CompareSettings, n_groups: int) -> None:
    """The result of every tile: the pairs of each group, and nothing else."""
    place: dict[int, tuple[str, int]] = {}
    for block in store.catalog.blocks.sizes():
        place |= {row.id: (block, row.row) for row in store.catalog.fingerprints.of_block(block)}
    tested: list[tuple[bytes, bytes]] = []
    of_tile: dict[tuple[str, str], list[tuple[int, int, Match]]] = {}
    for group, items in enumerate(groups(n_groups)):
        ids = [1 + COPIES * group + at for at in range(COPIES)]
        for one, other in itertools.combinations(range(COPIES), 2):
            match = compare_two(items[one], items[other], compare)
            assert match is not None
            (block_a, row_a), (block_b, row_b) = place[ids[one]], place[ids[other]]
            if (block_a, row_a) > (block_b, row_b):
                block_a, row_a, block_b, row_b, match = block_b, row_b, block_a, row_a, match.swapped()
            tested.append((items_digest(items[one]), items_digest(items[other])))
            of_tile.setdefault((block_a, block_b), []).append((row_a, row_b, match))
    results = []
    for tile in plan_tiles(store.catalog.blocks.sizes(), compare):
        found = sorted(of_tile.get((tile.block_a, tile.block_b), ()), key=lambda each: each[:2])
        pairs = b"".join(pair_record(row_a, row_b, match).tobytes() for row_a, row_b, match in found)
        results.append(TileResult(tile.name, compare.digest(), tile.block_a, tile.block_b, len(found), pairs))
    store.catalog.results.commit(results)
    with store.catalog.transaction():
        store.catalog.nulltests.put((*digests, PASSED) for digests in tested)
    store.catalog.meta.set("compare", compare.record())
    store.catalog.meta.set(f"compare {compare.digest()}", compare.record())
    store.catalog.meta.set("complete", completeness(store.catalog.blocks.rows(), compare))


if __name__ == "__main__":
    main()
