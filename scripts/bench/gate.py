#!/usr/bin/env python3
"""Times the gate: how long it takes until it can answer, to compare one file with a library, and to answer in all.

    scripts/bench/make_library.py --tracks 100000 --out STORE
    scripts/bench/gate.py STORE [--minutes 5] [--files 2] [--questions 20] [--json]

`start` is from the process's start to the first answer, with what was packed before; `packing` is what only the first
start with this library takes. `comparison` is one fingerprint, half of them of the library and half of none, against
all: by the join, by the cascade, and by the cascade at other speeds too. `answer` is the whole answer
for a made MP3 that the library does not have. `own memory` is what the process has for itself; the shelves are files
that the system maps, and takes the memory for as long as nobody needs it."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from cluster.place import count_cores
from dedup.files.standby import Standby
from dedup.gate.decide import Policy
from dedup.gate.gate import Gate, compile_gate, open_gate
from dedup.gate.readers import Read, Readers
from dedup.gate.shelves import shelves_of
from dedup.observer import Silent
from dedup.settings import MatchSettings, ScanSettings
from dedup.store.store import Store, open_for_reading
from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.fingerprints import Library
from dedup.synthesis.music import compose
from scripts.bench.scan import machine

ROUNDS = 10
"""Questions about each MP3."""

MEMORY = {"own": "RssAnon", "mapped": "RssFile"}
WAYS: dict[str, dict[str, Any]] = {
    "join": {"method": "join", "varispeed": False},
    "cascade": {"method": "cascade", "varispeed": False},
    "speeds": {"method": "cascade", "varispeed": True},
}
TIMES = {
    f"{what}_{way}_s": f"{what}, {text}"
    for what in ("comparison", "answer")
    for way, text in (("join", "join"), ("cascade", "cascade"), ("speeds", "other speeds"))
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0, help="length of the MP3s (default: %(default)s)")
    parser.add_argument("--files", type=int, default=2, help="MP3s to ask about, ten times each (default: %(default)s)")
    parser.add_argument("--questions", type=int, default=20, help="fingerprints to compare (default: %(default)s)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with open_for_reading(args.store) as store:
        packing = seconds(lambda: shelves_of(store))
        compile_gate(store, Silent())
    with tempfile.TemporaryDirectory() as folder:
        paths = songs(Path(folder), args.files, args.minutes)
        n_cores = count_cores()
        figures = {"packing_s": packing, "start_s": started(args.store, paths[0])}
        with (
            open_for_reading(args.store) as store,
            open_gate(store, MatchSettings(), Policy(), ScanSettings(), n_cores, n_cores) as (gate, standby),
        ):
            figures |= measured(store, gate, paths, args.questions)
            figures["files_per_s"] = sustained(gate, standby, paths)
    if args.json:
        print(json.dumps(figures))
    else:
        show(figures)


def songs(folder: Path, n: int, minutes: float) -> list[bytes]:
    """MP3s of 192 kbit/s."""
    paths = [folder / f"{number}.mp3" for number in range(n)]
    for number, path in enumerate(paths):
        write(str(path), compose(number, f"gate {number}", 60 * minutes), Encoding("mp3", 192_000))
    return list(map(os.fsencode, paths))


def started(folder: Path, path: bytes) -> float:
    """Seconds from the start of a process to its first answer."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "jobs", "gate", "check", "--store", str(folder), os.fsdecode(path)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
    if done.returncode not in (0, 6, 7, 8):
        sys.exit(f"gate check ended with {done.returncode}")
    return time.perf_counter() - began


def measured(store: Store, gate: Gate, paths: list[bytes], n_questions: int) -> dict[str, Any]:
    n_tracks, n_items = store.catalog.fingerprints.totals()
    asked = [Library(1 + number % 2 * 8, 948, 0.0, 0.05).track(17 + 31 * number).items for number in range(n_questions)]
    library, compare = gate.library, gate.library.compare
    figures: dict[str, Any] = {
        "machine": machine(),
        "tracks": n_tracks,
        "items": n_items,
        "shelves_bytes": sum(file.stat().st_size for file in store.layout.gate.rglob("*") if file.is_file()),
    }
    files = [path for path in paths for _ in range(ROUNDS)]
    for name, settings in WAYS.items():
        library.compare = replace(compare, **settings)
        library.relations(asked[0])
        figures[f"comparison_{name}_s"] = times(library.relations, asked)
        gate.check(paths[0])
        figures[f"answer_{name}_s"] = times(gate.check, files)
    library.compare = replace(compare, **WAYS["join"])
    memory = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    figures |= {f"{name}_mb": int(memory[key].split()[0]) // 1024 for name, key in MEMORY.items() if key in memory}
    return figures


def sustained(gate: Gate, standby: Standby, paths: list[bytes]) -> float:
    """Files a second, at one speed, when many come at once."""
    done: SimpleQueue[Read] = SimpleQueue()
    with contextlib.closing(Readers(gate.store.layout.folder, standby, gate.scan, count_cores(), done.put)) as readers:
        began, files = time.perf_counter(), [path for path in paths for _ in range(ROUNDS)]
        for path in files:
            readers.put(None, path)
        for _ in files:
            read = done.get()
            if isinstance(read.found, Exception):
                raise read.found
            gate.decide(read.path, read.found)
        return len(files) / (time.perf_counter() - began)


def times(asked: Callable[[Any], object], questions: list[Any]) -> dict[str, float]:
    """Wall time of each question, and processor time of this process for all."""
    taken, began = [], time.process_time()
    for question in questions:
        at = time.perf_counter()
        asked(question)
        taken.append(time.perf_counter() - at)
    cpu = (time.process_time() - began) / len(questions)
    return {"median": statistics.median(taken), "worst": max(taken), "processor": cpu}


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def show(figures: dict[str, Any]) -> None:
    print(f"{figures['machine']}; {figures['tracks']:,} tracks, {figures['items']:,} items")
    print(f"packing     {figures['packing_s']:8.2f} s, once; {figures['shelves_bytes'] / 1e9:.2f} GB on the disk")
    print(f"start       {figures['start_s']:8.2f} s to the first answer")
    for name, text in TIMES.items():
        if name in figures:
            each = figures[name]
            told = f"median {1000 * each['median']:7.1f} ms, worst {1000 * each['worst']:7.1f} ms"
            print(f"{text:26} {told}, processor {1000 * each['processor']:7.1f} ms")
    print(f"{'sustained, join':26} {figures['files_per_s']:.1f} files a second")
    if "own_mb" in figures:
        print(f"memory      {figures['own_mb']:,} MB of its own, {figures['mapped_mb']:,} MB of mapped files")


if __name__ == "__main__":
    main()
