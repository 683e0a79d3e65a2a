#!/usr/bin/env python3
"""Times `reprise correlate` on made libraries of several sizes: wall time, pairs per second, memory, overhead, growth.

    scripts/bench/correlate.py [--tracks 1000,5000,10000,20000] [--items 948] [--methods cascade,join,exact]
                               [--workers 1,2] [--exact-max-lag 300] [--exact-up-to 10000] [--added 100]
                               [--block-size 512] [--folder DIR] [--json]

Each figure covers the whole command, start-up included, as a user waits for it, with kernels compiled before.
`exact` tries the lags of `--exact-max-lag` with half of overlap, the others all with a quarter (the defaults). Memory
is the highest sum of the proportional set sizes (shared pages counted once) of launcher and workers. The overhead is
the share of the launcher, including scheduler and catalog, in the total processor time. `--added` fingerprints are then
imported into the largest library and compared with the rest. `make_library.py` makes the libraries, and `--folder`
keeps them. Linux only (/proc)."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

sys.path.insert(0, str(ROOT))

from dedup.correlation.batches import blocks_wanted, worker_bytes
from dedup.settings import CompareSettings
from dedup.store.store import open_for_reading
from scripts.bench.scan import machine

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Measured:
    """One run of `correlate`."""

    tracks: int
    method: str
    workers: int
    wall_s: float
    pairs: int
    pairs_per_s: float
    cpu_s: float
    """Processor time of all processes."""
    computing_s: float
    """Seconds of computing in all workers."""
    launcher_s: float
    """Processor time of the launcher's process."""
    overhead: float
    """Launcher's share of the total processor time."""
    memory_mb: float
    worker_mb: float
    """Peak memory of the largest worker."""
    formula_mb: float
    """Memory of a worker by `batches.worker_bytes`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=numbers, default=[1000, 5000, 10000, 20000])
    parser.add_argument("--items", type=int, default=948)
    parser.add_argument("--methods", type=lambda text: text.split(","), default=["cascade", "join", "exact"])
    parser.add_argument("--workers", type=numbers, default=sorted({1, len(os.sched_getaffinity(0))}))
    parser.add_argument("--exact-max-lag", type=int, default=300)
    parser.add_argument("--exact-up-to", type=int, default=10000, help="largest library for the exact method")
    parser.add_argument("--added", type=int, default=100)
    parser.add_argument("--block-size", type=int, default=512)
    parser.add_argument("--folder", type=Path, help="keep the libraries here, and use existing ones")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = args.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        if not args.json:
            print(machine())
        results = list(measure_all(args, folder))
        if args.json:
            print(json.dumps({"machine": machine(), "runs": [asdict(result) for result in results]}))


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def measure_all(args: argparse.Namespace, folder: Path) -> Iterator[Measured]:
    """Measures each combination of tracks, method and workers, smallest first; then the added tracks."""
    warm(args, folder)
    for n_tracks in sorted(args.tracks):
        store = library(folder, n_tracks, args.items, args.block_size)
        for method, workers in itertools.product(args.methods, args.workers):
            if method == "exact" and n_tracks > args.exact_up_to:
                continue
            with copied(store) as copy:
                yield shown(args, correlate(copy, n_tracks, method, workers, args.exact_max_lag))
                if args.added and method != "exact" and n_tracks == max(args.tracks) and workers == max(args.workers):
                    add(copy, args.added, args.items, folder)
                    for what in (f"{args.added} added", "nothing to do"):
                        again = correlate(copy, n_tracks, method, workers, args.exact_max_lag)
                        again.method = f"{method}, {what}"
                        yield shown(args, again)


def shown(args: argparse.Namespace, result: Measured) -> Measured:
    if not args.json:
        print(
            f"{result.tracks:>9,} tracks  {result.method:<24} {result.workers} workers  {result.wall_s:8.2f} s  "
            f"{result.pairs_per_s:>13,.0f} pairs/s  processors {result.cpu_s:7.2f} s, launcher's share "
            f"{100 * result.overhead:4.1f} %  "
            f"{result.memory_mb:7.0f} MB, a worker {result.worker_mb:.0f} of {result.formula_mb:.0f} MB",
            flush=True,
        )
    return result


def warm(args: argparse.Namespace, folder: Path) -> None:
    """Makes one run of each method, so that kernels are compiled and the program's files are in the cache."""
    store = library(folder, 40, args.items, args.block_size)
    for method in args.methods:
        with copied(store) as copy:
            correlate(copy, 40, method, 1, args.exact_max_lag)


def library(folder: Path, n_tracks: int, n_items: int, block_size: int) -> Path:
    """A store of made fingerprints, made if it does not exist."""
    store = folder / f"{n_tracks}x{n_items}-{block_size}"
    if not (store / "catalog.db").exists():
        make(store, n_tracks, n_items, seed=1, block_size=block_size)
    return store


def make(out: Path, n_tracks: int, n_items: int, seed: int, block_size: int = 512) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "bench" / "make_library.py"), "--tracks", str(n_tracks)]
    command += ["--items", str(n_items), "--seed", str(seed), "--block-size", str(block_size), "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)


def add(store: Path, n_tracks: int, n_items: int, folder: Path) -> None:
    """Imports fingerprints of another seed."""
    lines = folder / "added.jsonl"
    make(lines, n_tracks, n_items, seed=2)
    command = [sys.executable, "-m", "jobs", "import", str(lines), "--store", str(store), "-q"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


@contextlib.contextmanager
def copied(store: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=store.parent) as temporary:
        copy = Path(temporary) / "store"
        shutil.copytree(store, copy)
        yield copy


def correlate(store: Path, n_tracks: int, method: str, workers: int, max_lag: int) -> Measured:
    command = [
        sys.executable,
        "-m",
        "jobs",
        "correlate",
        "--no-varispeed",
        "--store",
        str(store),
        "--workers",
        str(workers),
    ]
    command += ["--method", method, "--json"]
    if method == "exact":
        command += ["--max-lag", str(max_lag), "--min-overlap", "0.5"]
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watch = Watch(process.pid)
    watch.start()
    stdout, stderr = process.communicate()
    wall_s = time.perf_counter() - began
    watch.join()
    if process.returncode != 0:
        sys.exit(stderr)
    (summary,) = (json.loads(line) for line in stdout.splitlines() if '"correlate"' in line)
    pairs, computing_s = summary["n_pairs_compared"], summary["computing_s"]
    everything_s = watch.launcher_s + watch.workers_s
    return Measured(
        tracks=n_tracks,
        method=method,
        workers=workers,
        wall_s=round(wall_s, 3),
        pairs=pairs,
        pairs_per_s=round(pairs / wall_s),
        cpu_s=round(everything_s, 2),
        computing_s=computing_s,
        launcher_s=round(watch.launcher_s, 2),
        overhead=round(watch.launcher_s / everything_s, 4) if everything_s else 0.0,
        memory_mb=round(watch.peak_kb / 1024, 1),
        worker_mb=round(watch.worker_kb / 1024, 1),
        formula_mb=round(formula_bytes(store, method, max_lag) / 2**20, 1),
    )


def formula_bytes(store: Path, method: str, max_lag: int) -> int:
    """Predicted memory of a worker with as many blocks as it may hold."""
    settings = CompareSettings("exact", max_lag, 0.5) if method == "exact" else CompareSettings(method)
    with open_for_reading(store) as opened:
        sizes = [n_items for _, n_items in opened.catalog.blocks.sizes().values()]
        longest = opened.catalog.fingerprints.longest()
    return worker_bytes(min(blocks_wanted(settings), len(sizes)), max(sizes), longest, settings)


class Watch(threading.Thread):
    """Watches a process and its descendants, ten times a second, until it ends."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.peak_kb = 0
        self.worker_kb = 0
        self.launcher_s = 0.0
        self.of_workers: dict[int, float] = {}

    @property
    def workers_s(self) -> float:
        return sum(self.of_workers.values())

    def run(self) -> None:
        while True:
            family = descendants(self.pid)
            if not family:
                return
            sizes = list(map(proportional_kb, family))
            self.peak_kb = max(self.peak_kb, sum(sizes))
            self.worker_kb = max([self.worker_kb, *sizes[1:]])
            for pid in family:
                seconds = cpu_seconds(pid)
                if pid == self.pid:
                    self.launcher_s = max(self.launcher_s, seconds)
                else:
                    self.of_workers[pid] = max(self.of_workers.get(pid, 0.0), seconds)
            time.sleep(0.1)


def descendants(pid: int) -> list[int]:
    """The process, if it is running, and all its descendants."""
    if not running(pid):
        return []
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            for child in task.read_text().split():
                found += descendants(int(child))
    return found


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def proportional_kb(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def cpu_seconds(pid: int) -> float:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    return 0.0


if __name__ == "__main__":
    main()
