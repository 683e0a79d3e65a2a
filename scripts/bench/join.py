#!/usr/bin/env python3
"""Times the join of two blocks step by step, beside the cascade, one core, in one run.

    scripts/bench/join.py [STORE] [--tracks 512] [--items 948] [--sounds 0] [--bars 0] [--rounds 7] [--json]

The two blocks hold made tracks of two seeds; or, with --sounds N, N sounds each that are no songs: loops of few
samples, drones, weather, speech; or, with --bars N, tracks that are all put together from the same N bars. With STORE
they hold the fingerprints of its library, every second one in the other block, up to --tracks each, and songs cut to
3,000 items. The clock is the CPU time of the thread.

The steps: `keys` sorts a block's keys, once a block; `meet` finds the keys that both blocks have; `cast` counts their
votes; `keep` takes the votes that may be enough; `decide` looks at the candidates item by item; `near` casts the
votes of tracks with few keys; `tile` is all that a tile takes. `votes` are those cast for a pair of tracks; `kept` the
share that is counted again, of which what collisions let through is `in vain`; `candidates` the share of pairs that are
looked at.

The limit of the votes is a byte of the counters for each, read and written at random: `random` times as many in an
array of that size."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from dedup.correlation import votes as voting
from dedup.correlation.accelerate import jit
from dedup.correlation.join import join_blocks, make_joined
from dedup.correlation.kernels import BlockItems, lag_limits
from dedup.correlation.keys import NOT_FEW, make_keys
from dedup.correlation.tile import correlate_tile
from dedup.correlation.votes import LAG_BITS, ROOM, VOTE_LAGS, VOTES, Room, few_votes, vote, vote_near
from dedup.correlation.worth_storing import floor_of
from dedup.settings import CompareSettings
from dedup.store.blocks import Block, make_block
from dedup.store.items import Items
from dedup.store.store import open_for_reading
from dedup.synthesis import sounds
from dedup.synthesis.fingerprints import Library
from scripts.bench.scan import machine

LONGEST, BAR = 3000, 30
"""Items of a track of a store that are compared, and of a bar."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path, nargs="?")
    parser.add_argument("--tracks", type=int, default=512)
    parser.add_argument("--items", type=int, default=948)
    parser.add_argument("--sounds", type=int, default=0)
    parser.add_argument("--bars", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures = {"machine": machine(), **measured(*map(make_block, blocks(args)), args.rounds)}
    if args.json:
        print(json.dumps(figures))
    else:
        show(figures)


def blocks(args: argparse.Namespace) -> tuple[list[Items], list[Items]]:
    """The fingerprints of the two blocks."""
    if args.store:
        with open_for_reading(args.store) as store:
            rows = [
                store.blocks.read(name).row(row) for name, n in store.catalog.blocks.rows().items() for row in range(n)
            ]
        rows = [row[:LONGEST] for row in rows]
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
            for _ in range(2 * args.tracks)
        ]
        return rows[::2], rows[1::2]
    libraries = Library(1, args.items), Library(2, args.items)
    a, b = ([library.track(number).items for number in range(args.tracks)] for library in libraries)
    return a, b


def measured(a: Block, b: Block, rounds: int) -> dict[str, Any]:
    settings, room = CompareSettings("join"), Room()
    x, y = (make_joined(BlockItems(block.items, block.offsets)) for block in (a, b))
    limits, floor = lag_limits(settings), floor_of(settings)
    n_a, n_b = len(a.offsets) - 1, len(b.offsets) - 1
    votes = vote(x.keys, y.keys, False, 0, n_a, room)
    meetings = room.for_meetings(min(len(x.keys.starts), len(y.keys.starts)))
    n_meetings, n_all = voting.meet(x.keys, y.keys, False, meetings)
    cast = np.empty(n_all, np.uint64)
    work = (x.keys.codes, y.keys.codes, meetings[:n_meetings], False, 0, n_a)
    places = np.random.default_rng(1).integers(0, max(1, len(room.for_counters(ROOM * n_all))), n_all)

    def keep() -> None:
        voting._keep_enough(cast.copy(), room.for_counters(ROOM * n_all))

    def near() -> None:
        for few in few_votes(x.keys, y.keys):
            for _ in vote_near(*few, False, 0, n_a, room):
                pass

    def whole(method: str) -> Callable[[], object]:
        shared = [(f"{block.name} {side}", block.items, block.offsets) for side, block in enumerate((a, b))]
        return lambda: correlate_tile(*shared, CompareSettings(method))

    steps: dict[str, Callable[[], object]] = {
        "keys of a block": lambda: make_keys(a.items, a.offsets),
        "meet": lambda: voting.meet(x.keys, y.keys, False, meetings),
        "cast": lambda: voting._cast(*work, room.for_counters(ROOM * n_all), cast),
        "keep": keep,
        "join": lambda: join_blocks(x, y, False, 0, n_a, limits, floor, room),
        "near": near,
        "tile": whole("join"),
        "cascade": whole("cascade"),
        "random": lambda: touch(room.for_counters(ROOM * n_all), places),
    }
    ms = {name: 1000 * fastest(step, 1 if name == "cascade" else rounds) for name, step in steps.items()}
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
        "m_pairs_per_s": {name: float(f"{n_a * n_b / ms[name] / 1000:.3g}") for name in ("join", "tile", "cascade")},
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
