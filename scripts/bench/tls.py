#!/usr/bin/env python3
"""Times the same comparison on a local cluster with TLS, as always, and without it, in turn.

    scripts/bench/tls.py [--tracks 2000] [--tiles 20000] [--rounds 5] [--workers 2] [--json]

The tracks are those of `make_library.py`: computing takes the time. The tiles have one short fingerprint each, so the
time goes into messages. Each time is that of a whole command, with the processor time of all its processes, which says
more while others use the machine. The ratio is that of neighbours; its median is printed with its range. `making keys`
includes the import of cryptography. Without TLS, the program's own cluster is told to use TCP and no keys; nothing else
differs."""

from __future__ import annotations

import argparse
import json
import math
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.bench.correlate import make
from scripts.bench.dispatch import make_store
from scripts.bench.scan import machine

WAYS = ("tcp", "tls")
KEYS = """
import distributed, time
began = time.perf_counter()
from cluster.run_keys import make_run_keys
make_run_keys()
print(time.perf_counter() - began)
"""
RUN = """
import sys

if __name__ == "__main__":
    if sys.argv.pop(1) == "tcp":
        from scripts.bench.tls import without_tls

        without_tls()
    from jobs.cli import main

    main()
"""
START = """
import sys
from scripts.bench.tls import without_tls
from cluster.open import open_runner
from dedup.runner import Stop, Task

if __name__ == "__main__":
    if sys.argv[1] == "tcp":
        without_tls()
    with open_runner(int(sys.argv[2]), Stop(), few=0) as runner:
        list(runner.run(abs, [Task("1", (1,))]))
"""


def without_tls() -> None:
    """Makes local clusters of this process speak TCP, without keys."""
    from distributed import Client, Security
    from distributed.deploy.spec import SpecCluster

    from cluster import local

    plain: dict[str, Any] = {"security": Security(), "protocol": "tcp://"}

    def cluster(*args: Any, scheduler: dict[str, Any], worker: dict[str, Any], **kwargs: Any) -> SpecCluster:
        for part in (scheduler, worker):
            part["options"] = part["options"] | plain
        return SpecCluster(*args, scheduler=scheduler, worker=worker, **kwargs | {"security": plain["security"]})

    def client(*args: Any, **kwargs: Any) -> Client:
        return Client(*args, **kwargs | {"security": plain["security"]})

    local.SpecCluster, local.Client = cluster, client


@dataclass(frozen=True)
class Spent:
    """What a command took."""

    wall_s: float
    cpu_s: float
    """Processor time of all its processes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, default=2000)
    parser.add_argument("--tiles", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found: dict[str, dict[str, list[Spent]]] = {}
    keys = [printed("-c", KEYS) for _ in range(args.rounds)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder / "tracks", args.tracks, 948, 1)
        make_store(folder / "short.jsonl", folder / "tiles", math.ceil((math.sqrt(8 * args.tiles + 1) - 1) / 2))
        works = {"start and stop": None, f"{args.tracks:,} tracks": "tracks", f"{args.tiles:,} tiny tiles": "tiles"}
        for number in range(args.rounds):
            for work, store in works.items():
                for way in WAYS if number % 2 else reversed(WAYS):
                    found.setdefault(work, {}).setdefault(way, []).append(timed(folder, store, way, args.workers))
    if args.json:
        seconds = {work: {way: list(map(asdict, spent)) for way, spent in ways.items()} for work, ways in found.items()}
        print(json.dumps({"machine": machine(), "keys_s": keys, "seconds": seconds}))
        return
    print(f"{machine()}\nmaking keys {1000 * statistics.median(keys):.0f} ms")
    print(f"{'':<20}{'':<12}{'TCP':>9}{'TLS':>9}{'ratio':>8}")
    for work, ways in found.items():
        for what, of in (("wall", attrgetter("wall_s")), ("processor", attrgetter("cpu_s"))):
            tcp, tls = (list(map(of, ways[way])) for way in WAYS)
            ratios = [b / a for a, b in zip(tcp, tls, strict=True)]
            middle = (
                f"{statistics.median(tcp):>7.2f} s{statistics.median(tls):>7.2f} s{statistics.median(ratios):>8.3f}"
            )
            print(f"{work:<20}{what:<12}{middle}  ({min(ratios):.3f} to {max(ratios):.3f})")


def printed(*arguments: str) -> float:
    """Seconds that a Python program prints."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout)


def timed(folder: Path, store: str | None, way: str, workers: int) -> Spent:
    """What the start and end of a cluster take, or `correlate` on a fresh copy of a store."""
    copy = folder / "copy"
    command = ["-c", START, way, str(workers)]
    if store is not None:
        shutil.copytree(folder / store, copy)
        command = ["-c", RUN, way, "correlate", "--no-varispeed", "--store", str(copy), "--workers", str(workers)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    shutil.rmtree(copy, ignore_errors=True)
    return Spent(wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


if __name__ == "__main__":
    main()
