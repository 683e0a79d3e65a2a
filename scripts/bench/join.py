#!/usr/bin/env python3
"""Times the join of two blocks step by step, beside the cascade, one core, in one run.

    scripts/bench/join.py [STORE] [--shuffled] [--tracks 512] [--group 16] [--items 948] [--sounds 0] [--bars 0]
                          [--rounds 7] [--json]

The two blocks hold made tracks of two seeds; or, with --sounds N, N sounds each that are no songs: loops of few
samples, drones, weather, speech; or, with --bars N, tracks that are all put together from the same N bars. With STORE
they hold the fingerprints of its library, every second one in the other block, up to --tracks each, and songs cut to
3,000 items; with --shuffled, --tracks each made of these, cut into pieces of 4 s in another order. The clock is the
CPU time of the thread.

The steps: `keys` sorts a block's keys, once a block; `meet` finds the keys that both blocks have; `cast` counts their
votes; `keep` takes the votes that may be enough; `decide` looks at the candidates item by item; `near` casts the
votes of tracks with few keys; `tile` is all that a tile takes; `group` is what it takes if --group first blocks are
looked at as one, as far as there are tracks for them. `votes` are those cast for a pair of tracks; `kept` the
share that is counted again, of which what collisions let through is `in vain`; `candidates` the share of pairs that are
looked at.

The limit of the votes is a byte of the counters for each, read and written at random: `random` times as many in an
array of the size of a share's."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from dedup.correlation import votes as voting
from dedup.correlation.accelerate import jit
from dedup.correlation.join import join_blocks, make_joined
from dedup.correlation.kernels import BlockItems, lag_limits
from dedup.correlation.keys import NOT_FEW, make_keys
from dedup.correlation.tile import Part, correlate_parts, correlate_tile
from dedup.correlation.votes import LAG_BITS, ROOM, VOTE_LAGS, VOTES, Room, Rows, few_votes, vote, vote_near
from dedup.correlation.worth_storing import floor_of
from dedup.settings import CompareSettings
from dedup.store.blocks import make_block
from dedup.store.items import Items
from dedup.store.store import open_for_reading
from dedup.synthesis import sounds
from dedup.synthesis.fingerprints import Library
from scripts.bench.scan import machine

LONGEST, BAR, PIECE = 3000, 30, 32
"""Items of a track of a store that are compared, of a bar, and of a piece."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path, nargs="?")
    parser.add_argument("--shuffled", action="store_true")
    parser.add_argument("--tracks", type=int, default=512)
    parser.add_argument("--group", type=int, default=16)
    parser.add_argument("--items", type=int, default=948)
    parser.add_argument("--sounds", type=int, default=0)
    parser.add_argument("--bars", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures = {"machine": machine(), **measured(*blocks(args), args.tracks, args.rounds)}
    if args.json:
        print(json.dumps(figures))
    else:
        show(figures)


def blocks(args: argparse.Namespace) -> tuple[list[Items], list[Items]]:
    """The fingerprints of the blocks of a group, one after the other, and those of the second block."""
    n_first = args.tracks * args.group
    if args.store:
        with open_for_reading(args.store) as store:
            rows = [
                store.blocks.read(name).row(row) for name, n in store.catalog.blocks.rows().items() for row in range(n)
            ]
        rows = [row[:LONGEST] for row in rows]
        if args.shuffled:
            random = np.random.default_rng(1)
            sides = (rows[::2], n_first), (rows[1::2], args.tracks)
            a, b = ([shuffled(side[k % len(side)], random) for k in range(n)] for side, n in sides)
            return a, b
        return rows[::2][: args.tracks], rows[1::2][: args.tracks]
    if args.sounds:
        chosen = [index for index in range(4 * args.sounds) if sounds.kind_of(index) != "song"]
        rows = [sounds.items_of(sounds.sound(1, index)) for index in chosen[: 2 * args.sounds]]
        return rows[::2], rows[1::2]
    if args.bars:
        random, source = np.random.default_rng(1), Library(1, 200)
        bars = [source.track(number).items[80 : 80 + BAR] for number in range(args.bars)]
        rows = [
            np.concatenate([bars[k] for k in random.integers(args.bars, size=args.items // BAR)])
            for _ in range(n_first + args.tracks)
        ]
        return rows[args.tracks :], rows[: args.tracks]
    libraries = Library(1, args.items), Library(2, args.items)
    numbers = n_first, args.tracks
    a, b = ([library.track(k).items for k in range(n)] for library, n in zip(libraries, numbers, strict=True))
    return a, b


def shuffled(items: Items, random: np.random.Generator) -> Items:
    """In pieces of 4 s, in another order."""
    pieces = np.array_split(items, max(1, len(items) // PIECE))
    return np.concatenate([pieces[k] for k in random.permutation(len(pieces))])


def measured(first: list[Items], second: list[Items], n_tracks: int, rounds: int) -> dict[str, Any]:
    settings, room = CompareSettings("join"), Room()
    group = [make_block(first[start : start + n_tracks]) for start in range(0, len(first), n_tracks)]
    a, b = group[0], make_block(second)
    x, y = (make_joined(BlockItems(block.items, block.offsets)) for block in (a, b))
    limits, floor = lag_limits(settings), floor_of(settings)
    n_a, n_b = len(a.offsets) - 1, len(b.offsets) - 1
    rows = Rows(False, 0, n_a, n_b)
    votes = vote(x.keys, y.keys, rows, Room())
    meetings = room.for_meetings(min(len(x.keys.starts), len(y.keys.starts)))
    n_meetings, n_all = voting.meet(x.keys, y.keys, False, meetings)
    at_most = np.zeros(n_a, np.int64)
    voting.count_at_most(x.keys.codes, meetings[:n_meetings], at_most)
    share_of, starts = voting._shares(at_most)
    n_counters = voting.counters_for(np.diff(starts))
    cast, ends = np.empty(int(starts[-1]), np.uint64), starts[1:]
    counters = np.empty(int(n_counters.max(initial=0)), np.uint8)
    places = np.random.default_rng(1).integers(0, max(1, ROOM * voting.SHARE_VOTES), n_all)

    def keep() -> None:
        voting._keep_enough(cast.copy(), starts, ends.copy(), n_counters, counters)

    def near() -> None:
        for few in few_votes(x.keys, y.keys):
            for _ in vote_near(*few, rows, room):
                pass

    def whole(method: Literal["join", "cascade"]) -> Callable[[], object]:
        one, other = ((f"{block.name} {side}", block.items, block.offsets) for side, block in enumerate((a, b)))
        return lambda: correlate_tile(one, other, replace(settings, method=method))

    shared = [(each.name, each.items, each.offsets) for each in (*group, b)]
    parts = [Part(k, len(group), group=tuple(range(len(group)))) for k in range(len(group))]
    steps: dict[str, Callable[[], object]] = {
        "keys of a block": lambda: make_keys(a.items, a.offsets),
        "meet": lambda: voting.meet(x.keys, y.keys, False, meetings),
        "cast": lambda: voting._cast(
            x.keys.codes, y.keys.codes, meetings[:n_meetings], rows, share_of, starts[:-1].copy(), cast
        ),
        "keep": keep,
        "join": lambda: join_blocks(x, y, rows, limits, floor, room),
        "near": near,
        "tile": whole("join"),
        "group": lambda: correlate_parts(settings, len(group) + 1, parts, *shared),
        "cascade": whole("cascade"),
        "random": lambda: touch(room.for_counters(ROOM * voting.SHARE_VOTES), places),
    }
    ms = {name: 1000 * fastest(step, 1 if name == "cascade" else rounds) for name, step in steps.items()}
    ms["group"] *= n_a / len(first)
    methods = "join", "tile", "group", "cascade"
    enough = votes.codes[VOTES - 1 :] - votes.codes[: 1 - VOTES] < VOTE_LAGS
    candidates = np.unique(votes.codes[: 1 - VOTES][enough] >> np.uint64(LAG_BITS))
    of_candidates = np.isin(votes.codes >> np.uint64(LAG_BITS), candidates)
    return {
        "tracks": [n_a, n_b],
        "items": [round(statistics.mean(np.diff(block.offsets))) for block in (a, b)],
        "few_keys": [int(np.count_nonzero(one.keys.n_few < NOT_FEW)) for one in (x, y)],
        "votes": round(votes.n_cast / (n_a * n_b), 3),
        "kept": round(len(votes.codes) / max(1, votes.n_cast), 3),
        "in_vain": round(float(np.mean(~of_candidates)) if len(of_candidates) else 0.0, 3),
        "candidates": round(len(candidates) / (n_a * n_b), 5),
        "ms": {name: round(value, 2) for name, value in ms.items()},
        "m_pairs_per_s": {name: float(f"{n_a * n_b / ms[name] / 1000:.3g}") for name in methods},
    }


def fastest(step: Callable[[], object], rounds: int) -> float:
    """The seconds of the fastest of some rounds; the first one, which compiles, does not count."""
    step()
    times = []
    for _ in range(rounds):
        began = time.thread_time()
        step()
        times.append(time.thread_time() - began)
    return min(times)


@jit
def touch(counters: Any, places: Any) -> None:
    """Adds one to bytes at random."""
    for place in places:
        counters[place] += np.uint8(1)


def show(figures: dict[str, Any]) -> None:
    print(f"{figures['machine']}; one core")
    (n_a, n_b), (items_a, items_b), few = figures["tracks"], figures["items"], figures["few_keys"]
    print(f"{n_a} tracks of {items_a} items with {n_b} of {items_b}; {few[0]} and {few[1]} have few keys")
    print(
        f"{figures['votes']} votes a pair; {figures['kept']:.1%} of them kept, {figures['in_vain']:.1%} of these in "
        f"vain; {figures['candidates']:.3%} of the pairs are candidates\n"
    )
    for name, value in figures["ms"].items():
        rate = figures["m_pairs_per_s"].get(name)
        print(f"{name:24} {value:10.2f} ms" + (f" {rate:10.4g} M pairs/s" if rate else ""))


if __name__ == "__main__":
    main()
