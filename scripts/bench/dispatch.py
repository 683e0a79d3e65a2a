#!/usr/bin/env python3
"""Measures how fast tiles are distributed and their results committed, and what a million of them cost the launcher.

    scripts/bench/dispatch.py [--tiles 1000000] [--workers 2] [--json]

Each block of the library has one short fingerprint, so that a tile is almost no work: the time goes into planning,
batching, Dask and the catalog. Prints tiles per second and the launcher's peak resident memory, then the same for a
second run, which finds all of them done. Linux only (/proc)."""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.bench.scan import machine

N_ITEMS = 100


@dataclass
class Measured:
    """One run of `correlate`."""

    tiles: int
    computed: int
    wall_s: float
    tiles_per_s: float
    launcher_mb: float
    """Peak resident set of the launcher, including the scheduler."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiles", type=int, default=1_000_000, help="least number of tiles (default 1,000,000)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    n_blocks = math.ceil((math.sqrt(8 * args.tiles + 1) - 1) / 2)  # n (n + 1) / 2 tiles of n blocks
    if not args.json:
        print(f"{machine()}\n{'':>12}{'tiles':>12}{'wall':>10}{'tiles/s':>10}{'launcher':>10}")
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        make_store(Path(folder) / "short.jsonl", store, n_blocks)
        runs = [shown(args, what, measure(store, args.workers)) for what in ("all new", "all done")]
    if args.json:
        print(json.dumps({"machine": machine(), "workers": args.workers, "runs": [asdict(run) for run in runs]}))


def make_store(lines: Path, store: Path, n_blocks: int) -> None:
    rng = random.Random(1)
    with lines.open("w") as file:
        for number in range(n_blocks):
            items = [rng.getrandbits(32) for _ in range(N_ITEMS)]
            line = {"path": f"/{number}.mp3", "duration": N_ITEMS / 8.0769, "fingerprint": items}
            file.write(json.dumps(line) + "\n")
    reprise("import", str(lines), "--store", str(store), "--block-size", "1").communicate()


def reprise(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "jobs", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def measure(store: Path, workers: int) -> Measured:
    began = time.perf_counter()
    run = reprise("correlate", "--no-varispeed", "--store", str(store), "--workers", str(workers), "--json")
    peak_kb = 0
    while run.poll() is None:
        peak_kb = max(peak_kb, peak_of(run.pid))
        time.sleep(0.05)
    wall_s = time.perf_counter() - began
    assert run.stdout is not None
    (found,) = [line for line in map(json.loads, run.stdout) if line["event"] == "correlate"]
    n_tiles = found["n_tiles"]
    return Measured(n_tiles, found["n_computed"], wall_s, n_tiles / wall_s, peak_kb / 1024)


def peak_of(pid: int) -> int:
    """Peak resident set so far, in KiB; 0 if the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def shown(args: argparse.Namespace, what: str, run: Measured) -> Measured:
    if not args.json:
        line = f"{what:>12}{run.tiles:>12,}{run.wall_s:>9.1f}s{run.tiles_per_s:>10,.0f}{run.launcher_mb:>7.0f} MB"
        print(line, flush=True)
    return run


if __name__ == "__main__":
    main()
